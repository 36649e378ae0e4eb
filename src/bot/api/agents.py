"""Agents: which model answers, and how it is configured."""

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field, JsonValue

from bot.api.shapes.agents import AgentPath, AgentView, show_agent
from bot.api.shapes.erasures import DELETED, deleted
from bot.http.blueprint import answers, resource
from bot.http.context import services
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import WHOLE, Body, Json, Name, PageQuery
from bot.llm.providers import DEFAULT_OPENAI_MODEL
from models.access_patterns import agents
from models.agent import Agent
from models.table.errors import ItemNotFound
from models.table.reading import Page

api = resource("agents", "An agent has a provider, a model, a system message, functions and settings.")

ProviderName = Literal["embedded", "openai", "echo"]
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
SystemMessage = Annotated[str, Field(max_length=65_536)]
Description = Annotated[str, Field(max_length=2000)]
# U+0085 is white space for pydantic, but not for readers of the OpenAPI document.
ModelName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\s\x85]+$")]


def _no_arguments() -> dict[str, JsonValue]:
    return {"type": "object", "properties": {}}


class Function(Body):
    """A function that the agent may call; the caller runs it and sends the result."""

    name: FunctionName
    description: Annotated[str, Field(max_length=4096)] | None = None
    parameters: dict[str, Json] = Field(default_factory=_no_arguments, description="A JSON Schema of the arguments.")
    strict: bool | None = None


class AgentSettings(Body):
    """The parameters of model requests. Those that are not set are left to the provider."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = None
    stop: Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=4)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**53), le=2**53), WHOLE] | None = None
    tool_choice: Literal["auto", "none", "required"] | None = None
    parallel_tool_calls: bool | None = None
    window: Annotated[int, Field(ge=1, le=200), WHOLE] | None = Field(
        None, description="Maximum number of messages that the model sees; 20 by default."
    )
    context_tokens: Annotated[int, Field(ge=256, le=2_000_000), WHOLE] | None = Field(
        None, description="Maximum number of tokens of the context; by default 16,000, or the embedded model's limit."
    )
    images: bool | None = Field(
        None,
        description="Whether images are sent to the model. `false`: a note replaces each image. Not set: they are "
        "sent; once the provider has refused images, notes replace those of earlier messages.",
    )
    retention_days: Annotated[int, Field(ge=1, le=36_500), WHOLE] | None = Field(
        None, description="Days after which its conversations expire, if the deployment keeps them longer."
    )
    keep_streams: bool | None = Field(
        None,
        description="Whether its streams are stored while they run; not set: as the deployment does. A request can "
        "override it.",
    )


Functions = Annotated[list[Function], Field(max_length=128)]


_LENT = (
    "Whether a shared agent uses the owner's own credentials for other users' turns too; only with the deployment's "
    "base URL, never with one of the owner's own. If not, those turns use the deployment's credentials."
)


class AgentCreate(Body):
    """A new agent. Only `name` is required; the rest has defaults."""

    name: Name
    description: Description | None = None
    provider: ProviderName | None = Field(None, description="By default the deployment's default provider.")
    model: ModelName | None = Field(None, description="By default the provider's default model.")
    credentials: Literal["deployment", "own"] = Field(
        "deployment", description="Which credentials are used: the deployment's, or the user's own."
    )
    share_credentials: bool = Field(False, description=_LENT)
    system_message: SystemMessage | None = None
    functions: Functions = Field(default_factory=list)
    settings: AgentSettings = Field(default_factory=lambda: AgentSettings())


class AgentPatch(Body):
    """Changes to an agent. A setting sent as null is removed; settings that are not sent stay unchanged."""

    name: Name | None = None
    description: Description | None = None
    provider: ProviderName | None = None
    model: ModelName | None = None
    credentials: Literal["deployment", "own"] | None = None
    share_credentials: bool | None = Field(None, description=_LENT)
    system_message: SystemMessage | None = None
    functions: Functions | None = None
    settings: AgentSettings | None = None


AgentViewList = list_of(AgentView)


@api.post("/agents", responses=answers({201: AgentView}, 400, 404, 413, 415), summary="Create an agent")
@repeatable()
def create(body: AgentCreate) -> tuple[dict[str, Any], int]:
    """Only `name` is required."""
    provider, model = _provider_and_model(body.provider, body.model)
    details = body.model_dump(exclude={"name", "provider", "model"}, exclude_none=True)
    details["functions"] = _plain(body.functions)
    # Absent means false: the common case takes no space in the item.
    details["share_credentials"] = body.share_credentials or None
    agent = agents.create_agent(
        caller().user_id, name=body.name, provider=provider, model=model, once=once(_created), **details
    )
    return _created(agent)


def _created(agent: Agent) -> tuple[dict[str, Any], int]:
    return show_agent(agent).model_dump(mode="json"), 201


def _provider_and_model(provider: str | None, model: str | None) -> tuple[str, str]:
    """Return the provider and model, with the deployment's defaults for those that are not named."""
    default_provider, default_model = services().providers.default()
    provider = provider or default_provider
    if model is None and provider != default_provider:
        model = _openai_default() if provider == "openai" else provider
    return provider, model or default_model


def _openai_default() -> str:
    return services().settings.default_model or DEFAULT_OPENAI_MODEL


def _plain(functions: list[Function]) -> list[dict[str, Any]]:
    return [function.model_dump(exclude_none=True) for function in functions]


@api.get("/agents", responses=answers({200: AgentViewList}, 400), summary="List agents")
def list_all(query: PageQuery) -> dict[str, Any]:
    """The caller's agents, oldest first; with an API key for one agent, only that one."""
    only = caller().agent_id
    listing = Listing("agents", query.cursor, only=only)
    if only is not None:
        return listing.answer(_alone(only), show_agent, lambda agent: [agent.agent_id])
    after = listing.position[0] if listing.position else None
    page = agents.list_agents(caller().user_id, query.limit, after)
    return listing.answer(page, show_agent, lambda agent: [agent.agent_id])


def _alone(agent_id: str) -> Page[Agent]:
    try:
        return Page((agents.get_agent(caller().user_id, agent_id),), more=False)
    except ItemNotFound:
        return Page((), more=False)


@api.get("/agents/<agent_id>", responses=answers({200: AgentView}, 404), summary="Read an agent")
def read(path: AgentPath) -> dict[str, Any]:
    """One of the caller's agents."""
    return show_agent(agents.get_agent(caller().user_id, path.agent_id)).model_dump(mode="json")


@api.patch("/agents/<agent_id>", responses=answers({200: AgentView}, 400, 404, 413, 415), summary="Update an agent")
def update(path: AgentPath, body: AgentPatch) -> dict[str, Any]:
    """Fields that are not sent stay unchanged. Changes apply from the next turn on."""
    changes = body.model_dump(exclude_unset=True)
    if body.functions is not None:
        changes["functions"] = _plain(body.functions)
    # An agent always has these; null leaves them unchanged.
    kept = {"name", "provider", "model", "credentials", "share_credentials", "settings"}
    changes = {name: value for name, value in changes.items() if value is not None or name not in kept}
    if changes:
        agent = agents.update_agent(caller().user_id, path.agent_id, changes)
    else:
        agent = agents.get_agent(caller().user_id, path.agent_id)
    return show_agent(agent).model_dump(mode="json")


@api.delete("/agents/<agent_id>", responses=answers(DELETED, 404), summary="Delete an agent")
def delete(path: AgentPath) -> Response:
    """Also deletes all conversations that the caller had with it.

    204 if everything is removed. 202 if that takes longer: it is unreachable at once; `Location` shows the progress.
    """
    user_id = caller().user_id
    return deleted(services().erasures.agent(user_id, path.agent_id, asked_by=user_id))
