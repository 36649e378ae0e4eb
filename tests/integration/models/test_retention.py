"""Retention: items expire on time, the header is kept as long as any of them, and nothing is left."""

from datetime import timedelta

import pytest

from models.access_patterns.conversations import create_conversation, get_conversation, list_conversations
from models.access_patterns.messages import Draft, append_messages, list_messages
from models.access_patterns.states import Owner, get_state, put_state
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_states import get_turn
from models.access_patterns.turns import end_turn
from models.conversation import Conversation
from models.table.errors import ItemNotFound
from models.table.item import expiry
from tests.factories import make_agent
from tests.fake_clock import FakeClock
from tests.raw import whole_table

pytestmark = pytest.mark.usefixtures("empty_table")

DAY = timedelta(days=1)


def make(days: int | None) -> Conversation:
    agent = make_agent()
    return create_conversation(agent.user_id, agent.agent_id, retention_days=days)


def say(conversation: Conversation, content: str = "Hello") -> None:
    append_messages(conversation.user_id, conversation.conversation_id, [Draft("user", content)])


def turn(conversation: Conversation, days: int | None) -> str:
    begun = begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", "Hello")],
        window=20,
        lease=timedelta(seconds=30),
        retention_days=days,
    )
    ended, _ = end_turn(begun.lease, "completed", [Draft("agent", "Hi!")], {})
    return str(ended.turn_id)


def header(conversation: Conversation) -> Conversation:
    return get_conversation(conversation.user_id, conversation.conversation_id)


def contents(conversation: Conversation) -> list[str]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 100)
    return [message.content for message in page.items]


def test_expired_messages_are_hidden_and_so_is_the_header_after_the_last_one(fake_clock: FakeClock) -> None:
    conversation = make(2)
    say(conversation, "first")
    fake_clock.advance(days=1)
    say(conversation, "second")
    fake_clock.advance(days=1, seconds=1)
    assert contents(conversation) == ["second"]
    fake_clock.advance(days=1)
    for look in (header, say):
        with pytest.raises(ItemNotFound):
            look(conversation)


def test_everything_in_a_conversation_has_an_expiry(fake_clock: FakeClock) -> None:
    conversation = make(30)
    turn_id = turn(conversation, 30)
    owner = Owner(conversation.user_id, conversation.conversation_id)
    put_state(owner, "session", "kept", 1)
    put_state(owner, "session", "short", 1, ttl=timedelta(hours=1))
    last = expiry(fake_clock.moment + 30 * DAY)
    ends = {
        keys[1].partition("#")[0]: int(item["expires_at"]["N"])
        for keys, item in whole_table().items()
        if conversation.conversation_id in str((keys, item)) and "expires_at" in item and "short" not in keys[1]
    }
    assert set(ends) == {"MSG", "THREAD", "KV", "TURN"}
    assert all(last <= end <= last + 1 for end in ends.values())
    assert get_state(owner, "session", "short").expires_at == expiry(fake_clock.moment + timedelta(hours=1))
    fake_clock.advance(days=30, seconds=2)
    with pytest.raises(ItemNotFound):
        get_turn(conversation.user_id, turn_id)


def test_each_message_extends_the_headers_expiry(fake_clock: FakeClock) -> None:
    conversation = make(30)
    turn(conversation, 30)
    far = header(conversation).expires_at
    turn(conversation, 1)
    assert header(conversation).expires_at == far, "the first turn's messages are still in it"
    fake_clock.advance(days=29, hours=12)
    say(conversation)
    assert header(conversation).expires_at == expiry(fake_clock.moment + DAY)
    assert header(conversation).expires_at > far


def test_without_retention_nothing_expires(fake_clock: FakeClock) -> None:
    conversation = make(None)
    turn(conversation, None)
    put_state(Owner(conversation.user_id, conversation.conversation_id), "session", "key", 1)
    assert not [item for item in whole_table().values() if "expires_at" in item]


def test_a_later_retention_applies_to_later_items(fake_clock: FakeClock) -> None:
    conversation = make(None)
    say(conversation, "for ever")
    turn(conversation, 1)
    fake_clock.advance(days=2)
    assert contents(conversation) == ["for ever"]
    assert header(conversation).expires_at is None, "it holds something without an end"


def test_items_written_after_retention_is_removed_are_kept(fake_clock: FakeClock) -> None:
    conversation = make(1)
    say(conversation, "for a day")
    turn(conversation, None)
    fake_clock.advance(days=2)
    assert contents(conversation) == ["Hello", "Hi!"]
    assert header(conversation).retention_days is None


def test_an_expired_conversation_is_in_no_response(fake_clock: FakeClock) -> None:
    conversation = make(1)
    say(conversation)
    fake_clock.advance(days=1, seconds=2)
    owner = Owner(conversation.user_id, conversation.conversation_id)
    for look in (
        lambda: put_state(owner, "session", "key", 1),
        lambda: turn(conversation, 1),
        lambda: header(conversation),
    ):
        with pytest.raises(ItemNotFound):
            look()
    assert list_conversations(conversation.user_id, 10).more is False
