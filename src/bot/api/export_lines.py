"""Everything of a user's as JSON Lines, in one order, with no more than a page of it in memory.

Each line is an object with a `type`. The last line has the type `end` and counts the others: an export without it was
cut off. Conversations are found in the base table and not in an index, so none is missing that was there at the start.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from bot.api import agents, api_keys, conversations, message_views, states, users
from models.access_patterns.agents import list_agents
from models.access_patterns.api_keys import list_api_keys
from models.access_patterns.conversations import get_conversation
from models.access_patterns.entries import list_conversation_entries, list_turns
from models.access_patterns.messages import list_messages
from models.access_patterns.states import Owner, State, list_states
from models.conversation import ConversationEntry
from models.errors import ItemNotFound
from models.long_text import LongItem, load
from models.message import Message
from models.reading import Page
from models.state import StateKind
from models.tenancy import UserId
from models.user import User

_PAGE = 100
T = TypeVar("T")
Line = tuple[str, dict[str, Any]]


def export(user: User, owner: UserId) -> Iterator[str]:
    """Give the lines of a user's export: profile, keys, agents, state, each conversation with what is in it, turns.

    Secrets are not in it: of keys and credentials the hints, as the API shows them.

    Cost: 1 Query for each 100 items of a kind or each MB; for each conversation 1 GetItem and 2 requests more.
    """
    counts: Counter[str] = Counter()
    for kind, content in _all(user, owner):
        counts[kind] += 1
        yield _line(kind, content)
    yield _line("end", {"complete": True, "counts": dict(sorted(counts.items()))})


def _line(kind: str, content: dict[str, Any]) -> str:
    # The kind's own `type`, which a message has, stands under another name.
    renamed = {"message_type" if name == "type" else name: value for name, value in content.items()}
    return json.dumps({"type": kind, **renamed}, ensure_ascii=False, separators=(",", ":")) + "\n"


def _all(user: User, owner: UserId) -> Iterator[Line]:
    yield "user", users.show(user).model_dump(mode="json")
    for key in _each(lambda after: list_api_keys(owner, _PAGE, after.key_id if after else None)):
        yield "api_key", api_keys.show(key).model_dump(mode="json")
    for agent in _each(lambda after: list_agents(owner, _PAGE, after.agent_id if after else None)):
        yield "agent", agents.show(agent).model_dump(mode="json")
    yield from _state(Owner(owner), {})
    for entry in _each(lambda after: list_conversation_entries(owner, _PAGE, after)):
        yield from _conversation(owner, entry)
    for turn in _each(lambda after: list_turns(owner, _PAGE, after.turn_id if after else None)):
        yield "turn", message_views.show_turn(turn).model_dump(mode="json")


def _conversation(owner: UserId, entry: ConversationEntry) -> Iterator[Line]:
    conversation_id = entry.conversation_id
    try:
        header = get_conversation(owner, conversation_id)
        yield "conversation", conversations.show(header).model_dump(mode="json")
        yield from _state(Owner(owner, conversation_id), {"conversation_id": conversation_id})

        def page(after: Message | None) -> Page[Message]:
            return list_messages(owner, conversation_id, _PAGE, after=after.ts if after else None)

        for message in _each(page):
            yield "message", message_views.show_message(message).model_dump(mode="json")
    except ItemNotFound:
        # It has expired, or is being deleted at this moment: there is no more of it.
        return


def _state(owner: Owner, of: dict[str, Any]) -> Iterator[Line]:
    kind = "conversation_state" if of else "user_state"

    def page(after: State | None) -> Page[State]:
        return list_states(owner, _PAGE, after=(cast(StateKind, after.kind), after.key) if after else None)

    for state in _each(page):
        yield kind, {**of, **states.show(state).model_dump(mode="json")}


def _each(read: Callable[[T | None], Page[T]]) -> Iterator[T]:
    """Give the items of all pages; `read` reads the page after an item."""
    page = read(None)
    yield from _whole(page.items)
    while page.more:
        page = read(page.items[-1])
        yield from _whole(page.items)


def _whole(items: Iterable[T]) -> Iterator[T]:
    """Give items with their texts: one that was too much for its page is fetched by itself, and dropped after it."""
    for item in items:
        if isinstance(item, LongItem) and item.unavailable is not None and item.unavailable.left_out:
            load([item])
            yield item
            item.drop()
        else:
            yield item
