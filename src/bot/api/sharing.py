"""Sharing: an agent's owner lets others talk to it; they see only its name and description."""

from typing import Any

from flask import Response
from pydantic import ConfigDict, Field

from bot.api.shapes.agents import AgentPath, AgentView, show_agent
from bot.api.shapes.users import Email
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import AgentId, Body, PageQuery, Parameters, UserId, View
from models.access_patterns import sharing
from models.access_patterns.agents import get_agent
from models.access_patterns.users import get_user_by_email
from models.agent import Agent
from models.table.errors import ItemNotFound

api = resource("sharing", "Agents that others may talk to, without seeing their configuration.")

_NOBODY = "must be another user of this deployment"


# As `_grantee` checks it.
_ONE_OF_THEM: dict[str, Any] = {
    "oneOf": [
        {"required": [name], "properties": {name: {"type": "string"}, other: {"type": "null"}}}
        for name, other in (("user_id", "email"), ("email", "user_id"))
    ]
}


class ShareCreate(Body):
    """The user to share with, by id or by email."""

    model_config = ConfigDict(json_schema_extra=_ONE_OF_THEM)

    user_id: UserId | None = None
    email: Email | None = None


class SharePath(Parameters):
    """Which agent, and with whom it is shared."""

    agent_id: AgentId
    user_id: UserId


class Publication(Body):
    """Whether all users of this deployment may talk to the agent."""

    published: bool


class SharedAgentView(View):
    """A shared agent, as the users who may talk to it see it."""

    id: AgentId
    name: str
    description: str | None
    published: bool = Field(description="Whether all users of this deployment may talk to it.")


SharedAgentViewList = list_of(SharedAgentView)


def show_shared(agent: Agent) -> SharedAgentView:
    """Return what a user who may talk to an agent sees of it."""
    return SharedAgentView(
        id=agent.agent_id, name=agent.name, description=agent.description, published=bool(agent.published)
    )


@api.post(
    "/agents/<agent_id>/shares",
    responses=answers({201: AgentView}, 400, 404, 409, 413, 415),
    summary="Share an agent with a user",
)
@repeatable()
def create(path: AgentPath, body: ShareCreate) -> tuple[dict[str, Any], int]:
    """Takes effect at once; sharing again with the same user changes nothing."""
    # Ownership is checked first: another user's agent must not reveal which users exist.
    get_agent(caller().user_id, path.agent_id)
    field, grantee_id = _grantee(body)
    try:
        agent = sharing.share_agent(caller().user_id, path.agent_id, grantee_id, once=once(_created))
    except ItemNotFound as error:
        if error.what != "user":
            raise
        raise _refused(field) from error
    return _created(agent)


def _created(agent: Agent) -> tuple[dict[str, Any], int]:
    return show_agent(agent).model_dump(mode="json"), 201


def _grantee(body: ShareCreate) -> tuple[str, str]:
    """Return the field that names the other user, and the user's id."""
    match body.user_id, body.email:
        case str(user_id), None:
            found = "user_id", user_id
        case None, str(email):
            try:
                found = "email", str(get_user_by_email(email).user_id)
            except ItemNotFound as error:
                raise _refused("email") from error
        case _:
            problem = "send either user_id or email"
            raise ValidationFailed(f"user_id: {problem}", fields=(FieldError("user_id", problem),))
    if found[1] == caller().user_id:
        raise _refused(found[0])
    return found


def _refused(field: str) -> ValidationFailed:
    return ValidationFailed(f"{field}: {_NOBODY}", fields=(FieldError(field, _NOBODY),))


@api.delete(
    "/agents/<agent_id>/shares/<user_id>",
    responses=answers({204: None}, 404),
    summary="Stop sharing an agent with a user",
)
def delete(path: SharePath) -> Response:
    """The user can start no more turns with it, but keeps the conversations."""
    sharing.unshare_agent(caller().user_id, path.agent_id, path.user_id)
    return Response(status=204)


@api.put(
    "/agents/<agent_id>/publication",
    responses=answers({200: AgentView}, 400, 404, 413, 415),
    summary="Publish or withdraw an agent",
)
def publish(path: AgentPath, body: Publication) -> dict[str, Any]:
    """Publishes to all users of this deployment. Once withdrawn, only users it is shared with have access."""
    agent = sharing.publish_agent(caller().user_id, path.agent_id, published=body.published)
    return show_agent(agent).model_dump(mode="json")


@api.get("/shared-agents", responses=answers({200: SharedAgentViewList}, 400), summary="List shared agents")
def list_all(query: PageQuery) -> dict[str, Any]:
    """Published agents and those shared with the caller, oldest first."""
    listing = Listing("shared-agents", query.cursor)
    after = listing.position[0] if listing.position else None
    page = sharing.list_shared_agents(caller().user_id, query.limit, after)
    return listing.answer(page, show_shared, lambda agent: [agent.agent_id])


@api.get("/shared-agents/<agent_id>", responses=answers({200: SharedAgentView}, 404), summary="Read a shared agent")
def read(path: AgentPath) -> dict[str, Any]:
    """Its name and description, never its configuration."""
    return show_shared(sharing.get_shared_agent(caller().user_id, path.agent_id)).model_dump(mode="json")
