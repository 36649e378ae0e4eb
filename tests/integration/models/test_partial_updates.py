"""An update changes only its own attributes and leaves all others unchanged, even those of a newer version."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from models.access_patterns.agents import update_agent
from models.access_patterns.conversations import create_conversation, set_conversation_status, update_conversation
from models.access_patterns.messages import Draft, append_messages, delete_message
from models.access_patterns.roles import change_role
from models.access_patterns.states import Owner, put_state
from models.access_patterns.turns import end_turn, renew_lease
from models.access_patterns.users import change_email, update_user
from models.agent import Agent
from models.conversation import Conversation
from models.state import ConversationState, UserState
from models.table.item import Item
from models.user import User
from tests.factories import new_email
from tests.fake_clock import FakeClock
from tests.integration.models.everything import LEASE, Ids, begin, make_everything
from tests.raw import change, stored

pytestmark = pytest.mark.usefixtures("table")

FUTURE = {"from_the_future": {"M": {"a": {"SS": ["x", "y"]}, "b": {"NULL": True}, "c": {"B": "AA=="}}}}
ACTIVITY = {"last_active_at", "last_message_at", "message_count", "user_activity", "agent_activity"}


def header(ids: Ids) -> Conversation:
    return Conversation.from_key(conversation_id=ids.conversation_id, user_id=ids.user_id)


def user(ids: Ids) -> User:
    return User.from_key(user_id=ids.user_id)


def agent(ids: Ids) -> Agent:
    return Agent.from_key(user_id=ids.user_id, agent_id=ids.agent_id)


def end(ids: Ids, *answer: Draft) -> None:
    end_turn(begin(header(ids)).lease, "completed", answer, {"input_tokens": 1, "output_tokens": 1})


CASES: list[tuple[str, Callable[[Ids], Item], Callable[[Ids], object], set[str]]] = [
    ("update a user's name", user, lambda ids: update_user(ids.user_id, {"name": "New"}), {"name", "updated_at"}),
    (
        "update a user's maps",
        user,
        lambda ids: update_user(ids.user_id, {"settings": {"a": 1}, "preferences": {"a": 1}}),
        {"settings", "preferences", "updated_at"},
    ),
    ("change an email", user, lambda ids: change_email(ids.user_id, new_email()), {"email", "updated_at"}),
    ("change a role", user, lambda ids: change_role(ids.user_id, "admin"), {"role", "updated_at"}),
    ("start a conversation", user, lambda ids: create_conversation(ids.user_id, ids.agent_id), {"last_active_at"}),
    (
        "update an agent",
        agent,
        lambda ids: update_agent(ids.user_id, ids.agent_id, {"model": "new"}),
        {"model", "updated_at", "version"},
    ),
    (
        "rename a conversation",
        header,
        lambda ids: update_conversation(ids.user_id, ids.conversation_id, {"title": "New"}),
        {"title"},
    ),
    (
        "archive a conversation",
        header,
        lambda ids: set_conversation_status(ids.user_id, ids.conversation_id, "archived"),
        {"status", "user_activity"},
    ),
    (
        "append a message",
        header,
        lambda ids: append_messages(ids.user_id, ids.conversation_id, [Draft("user", "Hello")]),
        ACTIVITY,
    ),
    (
        "delete a message",
        header,
        lambda ids: delete_message(ids.user_id, ids.conversation_id, ids.message_id),
        {"message_count"},
    ),
    (
        "begin a turn",
        header,
        lambda ids: begin(header(ids), "Hello"),
        ACTIVITY | {"fence", "turn_count", "lease_turn", "lease_expires_at"},
    ),
    (
        "renew a lease",
        header,
        lambda ids: renew_lease(begin(header(ids)).lease, LEASE + timedelta(seconds=1)),
        {"fence", "turn_count", "lease_turn", "lease_expires_at"},
    ),
    (
        "end a turn",
        header,
        lambda ids: end(ids, Draft("agent", "Hi!")),
        ACTIVITY | {"fence", "turn_count", "input_tokens", "output_tokens"},
    ),
    ("end a turn without an answer", header, end, {"fence", "turn_count", "input_tokens", "output_tokens"}),
    (
        "put a user's state",
        lambda ids: UserState.from_key(user_id=ids.user_id, kind="session", key="key"),
        lambda ids: put_state(Owner(ids.user_id), "session", "key", 2, ttl=timedelta(minutes=1)),
        {"value", "version", "updated_at", "expires_at"},
    ),
    (
        "put a conversation's state",
        lambda ids: ConversationState.from_key(conversation_id=ids.conversation_id, kind="session", key="key"),
        lambda ids: put_state(ids.owner, "session", "key", 2),
        {"value", "version", "updated_at"},
    ),
]


@pytest.mark.parametrize(("item", "update", "changed"), [pytest.param(*case, id=name) for name, *case in CASES])
def test_an_update_leaves_everything_else_unchanged(
    item: Callable[[Ids], Item], update: Callable[[Ids], object], changed: set[str], fake_clock: FakeClock
) -> None:
    ids = make_everything()
    for name, value in FUTURE.items():
        change(item(ids), name, value)
    before = stored(item(ids))
    fake_clock.advance(minutes=2)
    update(ids)
    after = stored(item(ids))
    assert {name for name in before | after if before.get(name) != after.get(name)} == changed
    assert after["from_the_future"] == before["from_the_future"]


def test_an_item_of_a_newer_version_can_still_be_read_and_listed() -> None:
    from models.access_patterns.agents import get_agent, list_agents
    from models.access_patterns.conversations import open_conversation

    ids = make_everything()
    things: list[Any] = [agent(ids), header(ids)]
    for item in things:
        change(item, "from_the_future", {"BOOL": True})
    assert get_agent(ids.user_id, ids.agent_id).name == "Ada"
    assert len(list_agents(ids.user_id, 10).items) == 1
    assert open_conversation(ids.user_id, ids.conversation_id, 10).conversation.message_count == 2
