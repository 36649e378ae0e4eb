"""Every list can be read to its end page by page: each item once, in order, and every page full except the last."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import cycle
from typing import Any

import pytest

from models.access_patterns.agents import list_agents
from models.access_patterns.api_keys import create_api_key, list_api_keys
from models.access_patterns.conversations import (
    Position,
    list_agent_conversations,
    list_conversations,
    set_conversation_status,
)
from models.access_patterns.messages import list_messages
from models.access_patterns.states import Owner, list_states, put_state
from models.access_patterns.users import list_users
from models.agent import Agent
from models.conversation import STATUSES, Conversation
from models.state import KINDS
from models.table.item import Item
from tests.erasing import delete_conversation
from tests.factories import make_agent, make_conversation, make_user, noise, say
from tests.fake_clock import FakeClock
from tests.integration.models.paging import Fetch, read_to_the_end
from tests.raw import change, hide
from tests.wire import Cut, cut_off, recorded

pytestmark = pytest.mark.usefixtures("table")

LIMIT = 3


@dataclass(frozen=True)
class Filled:
    """A list with items: how to read a page, and the expected items in order."""

    fetch: Fetch[Any]
    items: list[Any]


def users(count: int, text: str) -> Filled:
    first = make_user()
    made = [make_user(name=text) for _ in range(count)]
    return Filled(lambda limit, last: list_users(limit, (last or first).user_id), made)


def agents(count: int, text: str) -> Filled:
    user = make_user()
    made = [make_agent(user, system_message=text) for _ in range(count)]
    return Filled(lambda limit, last: list_agents(user.user_id, limit, last and last.agent_id), made)


def api_keys(count: int, text: str) -> Filled:
    user = make_user()
    made = [
        create_api_key(user.user_id, key_hash=f"{user.user_id}-{number}", hint="abcd", name=text, role="user")
        for number in range(count)
    ]
    return Filled(lambda limit, last: list_api_keys(user.user_id, limit, last and last.key_id), made)


def latest_first(made: list[Conversation]) -> list[Conversation]:
    return sorted(made, key=lambda each: (each.listed_at, each.conversation_id), reverse=True)


def position(last: Conversation | None) -> Position | None:
    return Position(last.listed_at, last.conversation_id) if last else None


def titled(agent: Agent, text: str) -> Conversation:
    """Return a new conversation with a title of any length, which an older version allowed."""
    conversation = make_conversation(agent, title="short")
    change(conversation, "title", {"S": text})
    return conversation


def conversations_of_one_status(count: int, text: str) -> Filled:
    agent = make_agent()
    made = [titled(agent, text) for _ in range(count)]
    archived = make_conversation(agent)
    set_conversation_status(agent.user_id, archived.conversation_id, "archived")

    def fetch(limit: int, last: Conversation | None) -> Any:
        return list_conversations(agent.user_id, limit, status="active", after=position(last))

    return Filled(fetch, latest_first(made))


def conversations_of_all_statuses(count: int, text: str) -> Filled:
    agent = make_agent()
    made = []
    for number in range(count):
        conversation = titled(agent, text)
        # Of many, most are archived, so that DynamoDB ends the query for one status early.
        set_conversation_status(agent.user_id, conversation.conversation_id, STATUSES[min(number, 8) % 3])
        made.append(conversation)

    def fetch(limit: int, last: Conversation | None) -> Any:
        return list_conversations(agent.user_id, limit, after=position(last))

    return Filled(fetch, latest_first(made))


def conversations_with_an_agent(count: int, text: str) -> Filled:
    user = make_user()
    agent, other = make_agent(user), make_agent(user)
    made = [titled(agent, text) for _ in range(count)]
    make_conversation(other)

    def fetch(limit: int, last: Conversation | None) -> Any:
        return list_agent_conversations(user.user_id, agent.agent_id, limit, after=position(last))

    return Filled(fetch, latest_first(made))


def messages_oldest_first(count: int, text: str) -> Filled:
    conversation = make_conversation()
    made = say(conversation, *[text] * count)

    def fetch(limit: int, last: Any) -> Any:
        return list_messages(conversation.user_id, conversation.conversation_id, limit, after=last and last.ts)

    return Filled(fetch, made)


def messages_newest_first(count: int, text: str) -> Filled:
    conversation = make_conversation()
    made = say(conversation, *[text] * count)

    def fetch(limit: int, last: Any) -> Any:
        return list_messages(
            conversation.user_id, conversation.conversation_id, limit, descending=True, after=last and last.ts
        )

    return Filled(fetch, made[::-1])


def messages_between(descending: bool) -> Callable[[int, str], Filled]:
    def fill(count: int, text: str) -> Filled:
        conversation = make_conversation()
        first, *made, last_one = say(conversation, "before", *[text] * count, "after")

        def fetch(limit: int, last: Any) -> Any:
            return list_messages(
                conversation.user_id,
                conversation.conversation_id,
                limit,
                descending=descending,
                after=last and last.ts,
                since=first.ts + timedelta(microseconds=1),
                until=last_one.ts,
            )

        return Filled(fetch, made[::-1] if descending else made)

    return fill


def states_of(owner_of: Callable[[], Owner], *, one_kind: bool) -> Callable[[int, str], Filled]:
    def fill(count: int, text: str) -> Filled:
        owner = owner_of()
        made = [
            put_state(owner, "session" if one_kind else KINDS[number % 2], f"key-{number:03}", text)
            for number in range(count)
        ]
        if one_kind:
            put_state(owner, "application", "another", 0)

        def fetch(limit: int, last: Any) -> Any:
            after = (last.kind, last.key) if last else None
            return list_states(owner, limit, kind="session" if one_kind else None, after=after)

        return Filled(fetch, sorted(made, key=lambda state: (state.kind, state.key)))

    return fill


def a_user() -> Owner:
    return Owner(make_user().user_id)


def a_conversation() -> Owner:
    conversation = make_conversation()
    return Owner(conversation.user_id, conversation.conversation_id)


LISTS: dict[str, Callable[[int, str], Filled]] = {
    "all users": users,
    "a user's agents": agents,
    "a user's API keys": api_keys,
    "a user's conversations of one status": conversations_of_one_status,
    "a user's conversations of all statuses": conversations_of_all_statuses,
    "the conversations with an agent": conversations_with_an_agent,
    "messages, oldest first": messages_oldest_first,
    "messages, newest first": messages_newest_first,
    "messages between two times, oldest first": messages_between(descending=False),
    "messages between two times, newest first": messages_between(descending=True),
    "a user's state of both kinds": states_of(a_user, one_kind=False),
    "a conversation's state of one kind": states_of(a_conversation, one_kind=True),
}
every_list = pytest.mark.parametrize("fill", LISTS.values(), ids=LISTS.keys())


def keys_of(items: list[Any]) -> list[tuple[str, str]]:
    return [(item.PK, item.SK) for item in items]


@every_list
@pytest.mark.parametrize("count", [0, 1, LIMIT, LIMIT + 1, 3 * LIMIT])
def test_a_list_is_read_to_its_end(fill: Callable[[int, str], Filled], count: int) -> None:
    filled = fill(count, "short")
    assert len(filled.items) == count
    assert keys_of(read_to_the_end(filled.fetch, LIMIT)) == keys_of(filled.items)


@every_list
def test_a_page_is_full_even_if_dynamodb_ends_its_query_after_a_megabyte(fill: Callable[[int, str], Filled]) -> None:
    filled = fill(14, noise(120_000))
    pages = 0

    def fetch(limit: int, last: Any) -> Any:
        nonlocal pages
        pages += 1
        return filled.fetch(limit, last)

    with recorded() as sent:
        found = read_to_the_end(fetch, 11)
    assert keys_of(found) == keys_of(filled.items)
    assert pages == 2
    queries = [request for request in sent if request.operation == "Query"]
    assert len(queries) > pages, "the items were too small to cut a query"


def hidden_in(name: str) -> list[str]:
    if "conversations" in name:
        return ["by its removal"]
    if name == "all users":
        return ["deleting"]
    return ["unknown", "expired", *(["deleting"] if "agents" in name else [])]


def disappear(item: Item, how: str) -> None:
    if how != "by its removal":
        hide(item, how)
        return
    assert isinstance(item, Conversation)
    with pytest.raises(Cut), cut_off(after=1):
        delete_conversation(item.user_id, item.conversation_id)


@pytest.mark.parametrize("name", LISTS)
def test_hidden_items_leave_no_gap_in_a_page(name: str) -> None:
    filled = LISTS[name](3 * LIMIT, "short")
    shown = filled.items[1::3]
    for item, how in zip(filled.items[0::3] + filled.items[2::3], cycle(hidden_in(name)), strict=False):
        disappear(item, how)
    assert keys_of(read_to_the_end(filled.fetch, LIMIT)) == keys_of(shown)
    assert keys_of(read_to_the_end(filled.fetch, 1)) == keys_of(shown)


def test_conversations_with_the_same_time_are_paged_without_a_gap(fake_clock: FakeClock) -> None:
    agent = make_agent()
    made = []
    for number in range(9):
        conversation = make_conversation(agent)
        set_conversation_status(agent.user_id, conversation.conversation_id, STATUSES[number % 3])
        made.append(conversation)
        if number in (4, 5):
            fake_clock.advance(seconds=1)
    expected = [each.conversation_id for each in latest_first(made)]
    for limit in (1, 2, 4, 8, 9, 10):
        found = read_to_the_end(
            lambda limit, last: list_conversations(agent.user_id, limit, after=position(last)), limit
        )
        assert [each.conversation_id for each in found] == expected


def test_the_last_item_of_a_page_may_be_deleted_before_the_next_page_is_read() -> None:
    for name, fill in LISTS.items():
        filled = fill(3, "short")
        first = filled.fetch(1, None).items[0]
        disappear(first, hidden_in(name)[0])
        assert keys_of(list(filled.fetch(2, first).items)) == keys_of(filled.items[1:]), name


@pytest.mark.parametrize("descending", [False, True])
def test_a_position_outside_the_requested_period_is_not_an_error(descending: bool) -> None:
    conversation = make_conversation()
    said = say(conversation, *"abcdef")

    def contents(after: int, since: int, until: int) -> list[str]:
        page = list_messages(
            conversation.user_id,
            conversation.conversation_id,
            10,
            descending=descending,
            after=said[after].ts,
            since=said[since].ts,
            until=said[until].ts,
        )
        return [message.content for message in page.items]

    assert contents(0, 2, 4) == ([] if descending else ["c", "d"])
    assert contents(5, 2, 4) == (["d", "c"] if descending else [])
