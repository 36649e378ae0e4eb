"""Agents as models: a `model` is the id of an agent that the caller may use, or its slug.

A slug is made from the agent's name: `travel-guide` for "Travel guide", and `shared:travel-guide` for another user's
agent, so that no other user can take over or block the slugs of a caller's own agents. A slug that several agents have
names none of them. Ids contain `_`, which slugs never do.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bot.errors import ModelNotFound
from bot.http.requests import caller
from bot.http.types import ID_PATTERN, MAX_LIMIT
from models.access_patterns.agents import get_agent, list_agents
from models.access_patterns.sharing import get_shared_agent, list_shared_agents
from models.agent import ID_PREFIX, Agent
from models.table.errors import ItemNotFound
from models.table.reading import Page
from models.table.side_by_side import both
from models.table.tenancy import UserId

SHARED = "shared:"
_SEPARATORS = re.compile(r"[\W_]+")
_ID = re.compile(ID_PATTERN)


@dataclass(frozen=True)
class Model:
    """An agent as a model: `id` is its slug, or the agent's id if the slug is not its alone."""

    id: str
    agent: Agent


def slug_of(agent: Agent, user_id: UserId) -> str:
    """Return an agent's slug for a user; `""` if its name has no letters and digits.

    All letters are kept, in lower case; everything else becomes a hyphen.
    """
    name = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", agent.name).casefold())
    slug = _SEPARATORS.sub("-", name).strip("-")
    return slug if not slug or agent.user_id == user_id else f"{SHARED}{slug}"


def models() -> list[Model]:
    """Return the models of the caller: their own agents, oldest first, then those shared with them.

    With a key of one agent, only that agent.

    Cost: AP-12 and AP-19 in parallel, for each 1,000 agents; with a key of one agent AP-11.
    """
    own, shared = both(lambda: list(_own()), lambda: list(_shared()))
    return _named([*own, *shared])


def agent_of_model(model: str) -> Agent:
    """Return the agent that a request's `model` names, for the caller.

    Cost: AP-11 for the id of an agent of the caller's, then AP-18 for another user's; for a slug AP-12, or AP-19 if it
    begins with `shared:`. With a key of one agent always AP-11.

    Raises:
        ModelNotFound: the caller may use no such agent, or several have this slug.
    """
    if model.startswith(f"{ID_PREFIX}_") and _ID.fullmatch(model):
        return _by_id(model)
    agents = _shared() if model.startswith(SHARED) else _own()
    found = [agent for agent in agents if model and slug_of(agent, caller().user_id) == model]
    if len(found) > 1:
        ids = ", ".join(f"`{agent.agent_id}`" for agent in found[:5])
        raise ModelNotFound(
            f"The model `{model[:200]}` could be any of {len(found)} agents. Name one by its id: {ids}."
        )
    if not found:
        raise _missing(model)
    return found[0]


def _by_id(agent_id: str) -> Agent:
    who = caller()
    try:
        who.check_agent(agent_id)
        try:
            return get_agent(who.user_id, agent_id)
        except ItemNotFound:
            return get_shared_agent(who.user_id, agent_id)
    except ItemNotFound as error:
        raise _missing(agent_id) from error


def _missing(model: str) -> ModelNotFound:
    return ModelNotFound(
        f"The model `{model[:200]}` does not exist, or you may not use it. A model is one of your agents: "
        "GET /v1/models lists them."
    )


def _own() -> Iterator[Agent]:
    who = caller()
    if who.agent_id is None:
        yield from _all(lambda after: list_agents(who.user_id, MAX_LIMIT, after))
        return
    try:
        yield get_agent(who.user_id, who.agent_id)
    except ItemNotFound:
        return


def _shared() -> Iterator[Agent]:
    who = caller()
    if who.agent_id is None:
        agents = _all(lambda after: list_shared_agents(who.user_id, MAX_LIMIT, after))
        yield from (agent for agent in agents if agent.user_id != who.user_id)


def _all(page_after: Callable[[str | None], Page[Agent]]) -> Iterator[Agent]:
    after: str | None = None
    while True:
        page = page_after(after)
        yield from page.items
        if not page.more:
            return
        after = page.items[-1].agent_id


def _named(agents: list[Agent]) -> list[Model]:
    slugs = [slug_of(agent, caller().user_id) for agent in agents]
    count = Counter(slugs)
    return [
        Model(slug if slug and count[slug] == 1 else agent.agent_id, agent)
        for slug, agent in zip(slugs, agents, strict=True)
    ]
