"""Odd arguments to the access patterns: each is refused with an error that names the field, and nothing is written."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from models.access_patterns import (
    agents,
    allowances,
    api_keys,
    audit,
    conversations,
    entries,
    identities,
    messages,
    roles,
    sharing,
    states,
    turn_beginnings,
    turn_events,
    turns,
    usage,
    users,
)
from models.access_patterns.conversations import Position
from models.access_patterns.messages import Draft
from models.access_patterns.states import Owner
from models.table.errors import InvalidDraft, InvalidValue
from models.turn import EventId
from tests.factories import make_agent, make_conversation, make_user, new_email
from tests.raw import whole_table

pytestmark = pytest.mark.usefixtures("table")

HALF = "cut \ud83d"
NAN = float("nan")
NAIVE = datetime(2026, 11, 26, 12, 0)  # noqa: DTZ001 - the point of the test
BEFORE_TIME = datetime.min.replace(tzinfo=timezone(timedelta(hours=2)))
NO_TEXT: list[Any] = [5, NAN, b"bytes", ["a"], HALF]
NO_ID: list[Any] = [None, "", 5, "a#b", "a\x00b", HALF, "x" * 2000]
NO_NUMBER: list[Any] = [None, "5", 5.5, NAN, True]
NO_LIMIT: list[Any] = [*NO_NUMBER, 0, -1, 10**40]
NO_MAP: list[Any] = [5, "text", ["a"], {1: 2}, {"a": NAN}, {"a": HALF}, {HALF: 1}, {"a": {"b": {1}}}]
NO_TIME: list[Any] = ["2026-11-26", 5, NAIVE, BEFORE_TIME, date(2026, 11, 26)]
NO_CHOICE: list[Any] = [None, "", "other", 5, HALF]

Act = Callable[[Any, Any], object]
# The field in the error, a call with a value, and the values.
CASES: dict[str, tuple[str, Act, list[Any]]] = {
    "create_user email": ("email", lambda _, odd: users.create_user(odd), [None, "", 5, HALF, f"{HALF}@example.com"]),
    "create_user name": ("name", lambda _, odd: users.create_user(new_email(), name=odd), NO_TEXT),
    "create_user role": ("role", lambda _, odd: users.create_user(new_email(), role=odd), NO_CHOICE),
    "create_user settings": ("settings", lambda _, odd: users.create_user(new_email(), settings=odd), [None, *NO_MAP]),
    "create_user colour": ("colour", lambda _, odd: users.create_user(new_email(), colour=odd), [1]),
    "get_user": ("user_id", lambda _, odd: users.get_user(odd), NO_ID),
    "update_user name": ("name", lambda ids, odd: users.update_user(ids.user, {"name": odd}), NO_TEXT),
    "update_user map": ("preferences", lambda ids, odd: users.update_user(ids.user, {"preferences": odd}), NO_MAP),
    "update_user empty name": ("settings", lambda ids, odd: users.update_user(ids.user, {"settings": odd}), [{"": 1}]),
    "update_user field": ("role", lambda ids, odd: users.update_user(ids.user, {"role": odd}), ["admin"]),
    "update_user changes": ("changes", lambda ids, odd: users.update_user(ids.user, odd), [None, 5, "name", ["name"]]),
    "change_email": ("email", lambda ids, odd: users.change_email(ids.user, odd), [None, "", 5, HALF]),
    "change_credentials": ("api_", lambda ids, odd: users.change_credentials(ids.user, odd), [None, *NO_MAP]),
    "change_role": ("role", lambda ids, odd: roles.change_role(ids.user, odd), NO_CHOICE),
    "list_users": ("limit", lambda _, odd: users.list_users(odd), NO_LIMIT),
    "create_agent owner": (
        "user_id",
        lambda _, odd: agents.create_agent(odd, name="Ada", provider="echo", model="echo-1"),
        NO_ID,
    ),
    "create_agent name": ("name", lambda ids, odd: make_agent(ids, name=odd), [None, *NO_TEXT]),
    "create_agent model": ("model", lambda ids, odd: make_agent(ids, model=odd), [None, *NO_TEXT]),
    "create_agent functions": (
        "functions",
        lambda ids, odd: make_agent(ids, functions=odd),
        [NAN, {1: 2}, [{"a": HALF}]],
    ),
    "create_agent settings": ("settings", lambda ids, odd: make_agent(ids, settings=odd), [None, *NO_MAP]),
    "create_agent lent": ("share_cred", lambda ids, odd: make_agent(ids, share_credentials=odd), ["no", 1, 0, NAN]),
    "get_agent": ("agent_id", lambda ids, odd: agents.get_agent(ids.user, odd), NO_ID),
    "update_agent name": ("name", lambda ids, odd: agents.update_agent(ids.user, ids.agent, {"name": odd}), NO_TEXT),
    "update_agent without a name": (
        "name",
        lambda ids, odd: agents.update_agent(ids.user, ids.agent, {"name": odd}),
        [None],
    ),
    "update_agent map": (
        "settings",
        lambda ids, odd: agents.update_agent(ids.user, ids.agent, {"settings": odd}),
        NO_MAP,
    ),
    "update_agent field": (
        "version",
        lambda ids, odd: agents.update_agent(ids.user, ids.agent, {"version": odd}),
        [5, None],
    ),
    "list_agents": ("limit", lambda ids, odd: agents.list_agents(ids.user, odd), NO_LIMIT),
    "list_agents after": ("agent_id", lambda ids, odd: agents.list_agents(ids.user, 5, odd), ["a#b", HALF, 5]),
    "share_agent": ("user_id", lambda ids, odd: sharing.share_agent(ids.user, ids.agent, odd), NO_ID),
    "publish_agent": (
        "published",
        lambda ids, odd: sharing.publish_agent(ids.user, ids.agent, published=odd),
        [None, 0, 1, "no", NAN],
    ),
    "create_api_key hash": ("key_hash", lambda ids, odd: new_key(ids, key_hash=odd), NO_ID),
    "create_api_key name": ("name", lambda ids, odd: new_key(ids, name=odd), NO_TEXT),
    "create_api_key scope": ("scope", lambda ids, odd: new_key(ids, scope=odd), NO_CHOICE),
    "create_api_key role": ("role", lambda ids, odd: new_key(ids, role=odd), NO_CHOICE),
    "create_api_key expires": ("expires_at", lambda ids, odd: new_key(ids, expires=odd), NO_TIME),
    "create_identity subject": (
        "subject",
        lambda _, odd: identities.create_identity("https://issuer.example", odd),
        [None, *NO_TEXT],
    ),
    "create_identity name": (
        "name",
        lambda ids, odd: identities.create_identity("https://issuer.example", ids.fresh, name=odd),
        NO_TEXT,
    ),
    "create_conversation agent": ("agent_id", lambda ids, odd: conversations.create_conversation(ids.user, odd), NO_ID),
    "create_conversation title": ("title", lambda ids, odd: new_conversation(ids, title=odd), NO_TEXT),
    "create_conversation metadata": ("metadata", lambda ids, odd: new_conversation(ids, metadata=odd), NO_MAP),
    "create_conversation retention": (
        "retention_days",
        lambda ids, odd: new_conversation(ids, retention_days=odd),
        [each for each in NO_LIMIT if each is not None],
    ),
    "get_conversation": ("conversation_id", lambda ids, odd: conversations.get_conversation(ids.user, odd), NO_ID),
    "open_conversation": (
        "limit",
        lambda ids, odd: conversations.open_conversation(ids.user, ids.conversation, odd),
        [-1, 5.5, NAN, 10**40],
    ),
    "list_conversations": ("limit", lambda ids, odd: conversations.list_conversations(ids.user, odd), NO_LIMIT),
    "list_conversations status": (
        "status",
        lambda ids, odd: conversations.list_conversations(ids.user, 5, status=odd),
        ["", "other", "deleting", 5],
    ),
    "list_conversations after": (
        "listed_at",
        lambda ids, odd: conversations.list_conversations(ids.user, 5, after=Position(odd, ids.conversation)),
        [NAIVE, BEFORE_TIME],
    ),
    "update_conversation title": (
        "title",
        lambda ids, odd: conversations.update_conversation(ids.user, ids.conversation, {"title": odd}),
        [*NO_TEXT, "x" * 201],
    ),
    "update_conversation metadata": (
        "metadata",
        lambda ids, odd: conversations.update_conversation(ids.user, ids.conversation, {"metadata": odd}),
        [*NO_MAP, {"": 1}],
    ),
    "update_conversation field": (
        "fence",
        lambda ids, odd: conversations.update_conversation(ids.user, ids.conversation, {"fence": odd}),
        [0, None],
    ),
    "set_conversation_status": (
        "status",
        lambda ids, odd: conversations.set_conversation_status(ids.user, ids.conversation, odd),
        [*NO_CHOICE, "deleting"],
    ),
    "append_messages sender": ("sender", lambda ids, odd: say(ids, Draft(odd, "Hello")), NO_CHOICE),
    "append_messages content": ("content", lambda ids, odd: say(ids, Draft("user", odd)), [None, *NO_TEXT]),
    "append_messages long content": ("content", lambda ids, odd: say(ids, Draft("user", odd)), [HALF * 2000]),
    "append_messages parts": (
        "content",
        lambda ids, odd: say(ids, Draft("user", odd, type="parts")),
        ["{", "5", '[{"type": "text", "text": "\\ud83d"}]'],
    ),
    "append_messages attributes": (
        "attributes",
        lambda ids, odd: say(ids, Draft("user", "Hello", attributes=odd)),
        NO_MAP,
    ),
    "append_messages role": ("role", lambda ids, odd: say(ids, Draft("user", "Hello", role=odd)), NO_TEXT),
    "append_messages response": (
        "llm_response_id",
        lambda ids, odd: say(ids, Draft("user", "Hello", llm_response_id=odd)),
        NO_TEXT,
    ),
    "list_messages limit": ("limit", lambda ids, odd: listed(ids, odd), NO_LIMIT),
    "list_messages since": ("since", lambda ids, odd: listed(ids, 5, since=odd), NO_TIME),
    "list_messages until": ("until", lambda ids, odd: listed(ids, 5, until=odd), NO_TIME),
    "list_messages after": ("after", lambda ids, odd: listed(ids, 5, after=odd), NO_TIME),
    "begin_turn window": ("window", lambda ids, odd: begin(ids, window=odd), [*NO_NUMBER, -1, 10**40]),
    "begin_turn lease": ("lease", lambda ids, odd: begin(ids, lease=odd), [None, 5, timedelta.max]),
    "begin_turn retention": ("retention_days", lambda ids, odd: begin(ids, retention_days=odd), [0, "5", 5.5, 10**40]),
    "end_turn status": ("status", lambda ids, odd: end(ids, odd), [*NO_CHOICE, "running"]),
    "end_turn record": (
        "record",
        lambda ids, odd: turns.end_turn(ids.lease, "failed", [], {odd: 1}),
        ["colour", "status", "PK"],
    ),
    "end_turn tokens": ("input_tokens", lambda ids, odd: end(ids, "failed", input_tokens=odd), [NAN, "5", 5.5, 10**40]),
    "end_turn text": ("partial_text", lambda ids, odd: end(ids, "failed", partial_text=odd), NO_TEXT),
    "end_turn error": ("error", lambda ids, odd: end(ids, "failed", error=odd), [{"a": NAN}, {1: 2}, {"a": HALF}]),
    "append_events last": (
        "last",
        lambda _, odd: turn_events.append_events("turn_1", EventId(odd), ["a"]),
        NO_LIMIT,
    ),
    "append_events texts": (
        "texts",
        lambda _, odd: turn_events.append_events("turn_1", EventId(1), odd),
        [[HALF], [NAN]],
    ),
    "put_state kind": ("kind", lambda ids, odd: states.put_state(ids.owner, odd, "key", 1), NO_CHOICE),
    "put_state key": ("key", lambda ids, odd: states.put_state(ids.owner, "session", odd, 1), NO_ID),
    "put_state value": (
        "value",
        lambda ids, odd: states.put_state(ids.owner, "session", "key", odd),
        [NAN, HALF, {1: 2}],
    ),
    "put_state version": (
        "if_version",
        lambda ids, odd: states.put_state(ids.owner, "session", "key", 1, if_version=odd),
        [-1, "1", 1.5, NAN, True],
    ),
    "put_state ttl": (
        "ttl",
        lambda ids, odd: states.put_state(ids.owner, "session", "key", 1, ttl=odd),
        [5, timedelta(0), timedelta.max],
    ),
    "list_states": ("limit", lambda ids, odd: states.list_states(ids.owner, odd), NO_LIMIT),
    "change_limits": ("changes", lambda ids, odd: allowances.change_limits(ids.user, odd), [None, 5, {"colour": 1}]),
    "change_limits to": (
        "tokens_per_day",
        lambda ids, odd: allowances.change_limits(ids.user, {"tokens_per_day": odd}),
        ["many", -1, 1.5, NAN, True, 10**40],
    ),
    "usage first": ("first", lambda ids, odd: usage.usage(ids.user, odd, date(2026, 1, 1)), [None, 5, "x", NAIVE]),
    "usage last": (
        "last",
        lambda ids, odd: usage.usage(ids.user, date(2026, 1, 1), odd),
        [None, 5, "x", datetime(2026, 1, 1, tzinfo=UTC)],
    ),
    "record_event": ("action", lambda ids, odd: audit.record_event(ids.user, odd), NO_CHOICE),
    "record_event details": (
        "details",
        lambda ids, odd: audit.record_event(ids.user, "signed_in", details={"a": odd}),
        [NAN, HALF, {1: 2}],
    ),
    "list_events": ("limit", lambda ids, odd: audit.list_events(ids.user, odd), NO_LIMIT),
    "list_turns": ("limit", lambda ids, odd: entries.list_turns(ids.user, odd), NO_LIMIT),
}


def new_key(ids: Any, **details: Any) -> object:
    return api_keys.create_api_key(ids.user, **{"key_hash": ids.fresh, "hint": "abcd", "role": "user", **details})


def new_conversation(ids: Any, **details: Any) -> object:
    return conversations.create_conversation(ids.user, ids.agent, **details)


def say(ids: Any, draft: Draft) -> object:
    return messages.append_messages(ids.user, ids.conversation, [Draft("user", "before"), draft])


def listed(ids: Any, limit: Any, **between: Any) -> object:
    return messages.list_messages(ids.user, ids.conversation, limit, **between)


def begin(ids: Any, **options: Any) -> turn_beginnings.Begun:
    given = {"window": 5, "lease": timedelta(seconds=30), **options}
    return turn_beginnings.begin_turn(ids.user, ids.conversation, lambda _: [Draft("user", "Hello")], **given)


def end(ids: Any, status: Any, **record: Any) -> object:
    return turns.end_turn(ids.lease, status, [Draft("agent", "Hello")], record)


@pytest.fixture(scope="module")
def ids(table: object) -> SimpleNamespace:
    user = make_user()
    agent = make_agent(user)
    made = SimpleNamespace(user=user.user_id, user_id=user.user_id, agent=agent.agent_id, fresh="fresh")
    made.conversation = make_conversation(agent).conversation_id
    made.owner = Owner(user.user_id)
    running = SimpleNamespace(user=user.user_id, conversation=make_conversation(agent).conversation_id)
    made.lease = begin(running).lease
    return made


@pytest.mark.parametrize("case", CASES)
def test_an_odd_argument_is_refused_by_field_name_and_nothing_is_written(case: str, ids: SimpleNamespace) -> None:
    field, act, values = CASES[case]
    before = whole_table()
    for odd in values:
        with pytest.raises((InvalidValue, InvalidDraft)) as refusal:
            act(ids, odd)
        said = str(refusal.value)
        assert refusal.value.field.startswith(field), (odd, said)
        assert len(said.split()) >= 4
        assert said.isprintable(), "no part of a value that could not be printed"
    assert whole_table() == before
