"""How an agent is shown."""

from typing import Literal

from pydantic import Field

from bot.http.types import AgentId, Json, Moment, Parameters, UserId, View
from models.agent import Agent


class AgentView(View):
    """An agent. `version` counts its changes."""

    id: AgentId
    user_id: UserId
    name: str
    description: str | None
    provider: str
    model: str
    credentials: Literal["deployment", "own"]
    system_message: str | None
    functions: list[dict[str, Json]]
    settings: dict[str, Json]
    published: bool = Field(description="Whether all users of this deployment may talk to it.")
    shared_with: list[UserId] = Field(description="The users it is shared with individually.")
    share_credentials: bool
    version: int
    created_at: Moment
    updated_at: Moment


class AgentPath(Parameters):
    """Which agent."""

    agent_id: AgentId


def show_agent(agent: Agent) -> AgentView:
    """Return an agent as the API shows one."""
    return AgentView(
        id=agent.agent_id,
        user_id=agent.user_id,
        name=agent.name,
        description=agent.description,
        provider=agent.provider,
        model=agent.model,
        credentials=agent.credentials,
        system_message=agent.system_message,
        functions=agent.functions or [],
        settings=agent.settings,
        published=bool(agent.published),
        shared_with=sorted(agent.shared_with_users),
        share_credentials=bool(agent.share_credentials),
        version=int(agent.version),
        created_at=agent.created_at,
        updated_at=agent.updated_at,
    )
