"""`/v1/models`: the caller's agents, and those shared with the caller."""

from typing import Any, Literal

from pydantic import Field

from bot.http.requests import caller
from bot.http.types import Parameters, View
from bot.openai_api.agents import Model, agent_of_model, models
from bot.openai_api.blueprint import answers, part

api = part("models", "A model is an agent: one of the caller's, or one that is shared with the caller.")


class ModelPath(Parameters):
    """Which model."""

    model: str = Field(min_length=1, max_length=400, description="A slug, or an agent's id.")


class ModelView(View):
    """An agent, as OpenAI's clients see it. `agent_id` and `name` are Turntable's own."""

    id: str = Field(description="The agent's slug, or its id if several of the caller's agents have that slug.")
    object: Literal["model"] = "model"
    created: int = Field(description="When the agent was created, in seconds since 1970.")
    owned_by: str = Field(description="The caller's user id, or `shared` for another user's agent.")
    agent_id: str = Field(description="The agent's id. It never changes.")
    name: str = Field(description="The agent's name.")


class ModelViewList(View):
    """All models of the caller."""

    object: Literal["list"] = "list"
    data: list[ModelView]


def show_model(model: Model) -> ModelView:
    """Return a model as the API shows it."""
    agent = model.agent
    return ModelView(
        id=model.id,
        created=int(agent.created_at.timestamp()),
        owned_by=agent.user_id if agent.user_id == caller().user_id else "shared",
        agent_id=agent.agent_id,
        name=agent.name,
    )


@api.get("/models", responses=answers({200: ModelViewList}), summary="List models")
def list_all() -> dict[str, Any]:
    """The caller's agents, oldest first, then those shared with the caller; with a key of one agent, only that."""
    return ModelViewList(data=[show_model(model) for model in models()]).model_dump(mode="json")


@api.get("/models/<path:model>", responses=answers({200: ModelView}, 404), summary="Read a model")
def read(path: ModelPath) -> dict[str, Any]:
    """One model, by its slug or by its agent's id, which is then its `id`."""
    return show_model(Model(path.model, agent_of_model(path.model))).model_dump(mode="json")
