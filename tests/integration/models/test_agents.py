"""Agents: accessible only to their owner, changed field by field, with a version that counts the changes."""

import json
from functools import partial

import pytest

from models.access_patterns.agents import create_agent, find_agent_owner, get_agent, list_agents, update_agent
from models.access_patterns.sharing import publish_agent, share_agent
from models.agent import MAX_SHARED_WITH
from models.table.errors import ItemNotFound, ItemTooLarge, MapTooLarge
from tests.factories import make_agent, make_user
from tests.fake_clock import FakeClock
from tests.raw import change
from tests.together import at_once

pytestmark = pytest.mark.usefixtures("table")


def test_an_agent_reads_back_unchanged(fake_clock: FakeClock) -> None:
    user = make_user()
    functions = [{"name": "add", "parameters": {"type": "object", "properties": {"": {}}}}]
    made = create_agent(
        user.user_id,
        name="Ada",
        provider="openai",
        model="gpt-test",
        description="",
        system_message="Be brief.",
        functions=functions,
        settings={"temperature": 0.5, "max_tokens": 100},
    )
    found = get_agent(user.user_id, made.agent_id)
    assert found.serialize() == made.serialize()
    assert (found.name, found.provider, found.model) == ("Ada", "openai", "gpt-test")
    assert (found.description, found.system_message, found.functions) == ("", "Be brief.", functions)
    assert (found.settings, found.version) == ({"temperature": 0.5, "max_tokens": 100}, 1)
    assert found.created_at == found.updated_at == fake_clock.moment
    assert get_agent(user.user_id, made.agent_id, consistent=False).serialize() == made.serialize()


def test_an_agent_needs_an_existing_user() -> None:
    with pytest.raises(ItemNotFound, match="user"):
        create_agent("usr_none", name="Ada", provider="echo", model="echo-1")
    assert list_agents("usr_none", 10).items == ()


def test_single_fields_of_an_agent_change_and_increment_its_version(fake_clock: FakeClock) -> None:
    agent = make_agent(system_message="Be brief.", settings={"temperature": 1, "top_p": 0.5})
    fake_clock.advance(seconds=1)
    changed = update_agent(
        agent.user_id, agent.agent_id, {"model": "echo-2", "system_message": None, "settings": {"top_p": None, "n": 2}}
    )
    assert (changed.model, changed.system_message, changed.settings) == ("echo-2", None, {"temperature": 1, "n": 2})
    assert (changed.name, changed.provider, changed.version) == ("Ada", "echo", 2)
    assert (changed.created_at, changed.updated_at) == (agent.created_at, fake_clock.moment)
    assert get_agent(agent.user_id, agent.agent_id).serialize() == changed.serialize()


def test_functions_can_be_replaced_and_removed() -> None:
    agent = make_agent(functions=[{"name": "a"}])
    assert update_agent(agent.user_id, agent.agent_id, {"functions": [{"name": "b"}]}).functions == [{"name": "b"}]
    assert update_agent(agent.user_id, agent.agent_id, {"functions": None}).functions is None


def test_eight_concurrent_changes_are_all_kept() -> None:
    agent = make_agent()
    changes = [{"settings": {f"name{number}": number}} for number in range(8)]
    at_once([partial(update_agent, agent.user_id, agent.agent_id, change) for change in changes])
    changed = get_agent(agent.user_id, agent.agent_id)
    assert changed.settings == {f"name{number}": number for number in range(8)}
    assert changed.version == 9


def test_an_agent_that_is_too_large_is_refused() -> None:
    with pytest.raises(ItemTooLarge, match=r"401,408 bytes fit. Most of it is its system_message"):
        make_agent(system_message="x" * 410_000)
    agent = make_agent(system_message="x" * 200_000)
    with pytest.raises(ItemTooLarge, match=r"401,408 bytes fit. Most of it is its description, with 250,000"):
        update_agent(agent.user_id, agent.agent_id, {"description": "x" * 250_000})
    assert get_agent(agent.user_id, agent.agent_id).version == 1


def test_the_largest_agent_can_be_shared_and_published() -> None:
    agent = make_agent(system_message="x" * 401_000)
    for _ in range(MAX_SHARED_WITH):
        share_agent(agent.user_id, agent.agent_id, make_user().user_id)
    assert publish_agent(agent.user_id, agent.agent_id, published=True).published


def test_an_agent_that_is_already_too_large_can_shrink() -> None:
    agent = make_agent(system_message="x" * 300_000)
    settings = {str(number): {"S": json.dumps("x" * 1000)} for number in range(90)}
    change(agent, "settings", {"M": settings})
    for changes in ({"settings": {"new": 1}}, {"system_message": "x" * 350_000}):
        with pytest.raises((ItemTooLarge, MapTooLarge)):
            update_agent(agent.user_id, agent.agent_id, changes)
    smaller = update_agent(agent.user_id, agent.agent_id, {"settings": {"0": None}, "name": "Smaller"})
    assert (len(smaller.settings), smaller.name) == (89, "Smaller")
    assert get_agent(agent.user_id, agent.agent_id).serialize() == smaller.serialize()


def test_an_operator_finds_the_owner_of_an_agent() -> None:
    agent = make_agent()
    assert find_agent_owner(agent.agent_id) == agent.user_id
    with pytest.raises(ItemNotFound, match="agent"):
        find_agent_owner("agt_none")
