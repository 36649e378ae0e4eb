"""All data of a user as JSON Lines, in a fixed order, with at most one page in memory.

Each line is an object with a `type`. The last line has the type `end` and counts the others: an export without it was
cut off. Conversations are read from the base table, not from an index, so none that existed at the start is missing.

`bot.api.export_scope` declares what is exported and what is left out.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from bot.api.shapes import agents, api_keys, audit, conversations, messages, share_links, states, turns, users
from bot.http.types import AgentId, Moment, TurnId, View
from models.access_patterns.agents import list_agents
from models.access_patterns.api_keys import list_api_keys
from models.access_patterns.audit import list_events
from models.access_patterns.branches import BranchPosition, list_branches
from models.access_patterns.conversations import get_conversation
from models.access_patterns.entries import list_conversation_entries, list_turn_counts, list_turns
from models.access_patterns.identities import find_identity
from models.access_patterns.messages import list_messages
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.share_links import list_share_links
from models.access_patterns.states import Owner, State, list_states
from models.branch import BranchEntry
from models.message import Message
from models.share_link import ShareLinkEntry
from models.state import StateKind
from models.table.errors import ItemNotFound
from models.table.long_text import LongItem, load
from models.table.reading import Page
from models.table.tenancy import UserId
from models.turn import TurnCount
from models.user import User

_PAGE = 100
T = TypeVar("T")
Line = tuple[str, dict[str, Any]]


def export(user: User, owner: UserId) -> Iterator[str]:
    """Yield the lines of a user's export: profile, identity, keys, agents, state, each conversation with its contents,
    turns, the usage of deleted turns, and the audit trail, newest first.

    It has no secrets: only the hints of keys and credentials, as the API shows them.

    Cost: 1 Query for each 100 items of a kind or each MB; per conversation 1 GetItem and 2 more requests; for the
    identity of a user who signed in with a token 1 GetItem.
    """
    counts: Counter[str] = Counter()
    for kind, content in _all(user, owner):
        counts[kind] += 1
        yield _line(kind, content)
    yield _line("end", {"complete": True, "counts": dict(sorted(counts.items()))})


def _line(kind: str, content: dict[str, Any]) -> str:
    # A message has a `type` of its own, which is renamed.
    renamed = {"message_type" if name == "type" else name: value for name, value in content.items()}
    return json.dumps({"type": kind, **renamed}, ensure_ascii=False, separators=(",", ":")) + "\n"


def _all(user: User, owner: UserId) -> Iterator[Line]:
    yield "user", users.show_user(user).model_dump(mode="json")
    yield from _identity(user)
    for key in _each(lambda after: list_api_keys(owner, _PAGE, after.key_id if after else None)):
        yield "api_key", api_keys.show_key(key).model_dump(mode="json")
    for agent in _each(lambda after: list_agents(owner, _PAGE, after.agent_id if after else None)):
        yield "agent", agents.show_agent(agent).model_dump(mode="json")
    yield from _state(Owner(owner), {})
    for entry in _each(lambda after: list_conversation_entries(owner, _PAGE, after)):
        yield from _conversation(owner, entry.conversation_id)
    for turn in _each(lambda after: list_turns(owner, _PAGE, after.turn_id if after else None)):
        yield "turn", turns.show_turn(turn).model_dump(mode="json")
    for count in _each(lambda after: list_turn_counts(owner, _PAGE, after.turn_id if after else None)):
        yield "turn_count", _turn_count(count).model_dump(mode="json")
    for event in _each(lambda after: list_events(owner, _PAGE, after.event_id if after else None)):
        yield "audit_event", audit.show_event(event).model_dump(mode="json")


class IdentityView(View):
    """The identity of a user at the issuer whose token they signed in with."""

    issuer: str
    subject: str
    created_at: Moment


def _identity(user: User) -> Iterator[Line]:
    if user.identity_hash is None:
        return
    with suppress(ItemNotFound):
        found = find_identity(user.identity_hash)
        # If it has been closed meanwhile, it no longer belongs to the user.
        if found.user_id == user.user_id:
            view = IdentityView(issuer=found.issuer, subject=found.subject, created_at=found.created_at)
            yield "identity", view.model_dump(mode="json")


class TurnCountView(View):
    """The usage of a turn, which itself may have been deleted."""

    turn_id: TurnId
    agent_id: AgentId
    model: str | None
    usage: turns.TurnUsage


def _turn_count(count: TurnCount) -> TurnCountView:
    return TurnCountView(turn_id=count.turn_id, agent_id=count.agent_id, model=count.model, usage=turns.usage_of(count))


def _conversation(owner: UserId, conversation_id: str) -> Iterator[Line]:
    """Yield a conversation with its own messages and state, and after it, for a root, its branches."""
    try:
        header = get_conversation(owner, conversation_id)
        yield "conversation", conversations.show_conversation(header).model_dump(mode="json")
        yield from _state(Owner(owner, conversation_id), {"conversation_id": conversation_id})
        if header.linked:
            for link in _each(partial(_links, owner, conversation_id)):
                yield "share_link", share_links.show_link(link).model_dump(mode="json")

        def page(after: Message | None) -> Page[Message]:
            # What a branch continues is in the lines of other conversations; copies are its own.
            start = header.path[-1].until if header.path else None
            found = list_messages(owner, conversation_id, _PAGE, after=after.ts if after else start)
            read_reasoning(found.items)
            return found

        for message in _each(page):
            yield "message", messages.show_message(message, reasoning=True).model_dump(mode="json")
        if header.branched:
            for entry in _each(partial(_branches, owner, conversation_id)):
                yield from _conversation(owner, entry.branch_id)
    except ItemNotFound:
        # It has expired, or is being deleted right now: there is nothing more to export.
        return


def _branches(owner: UserId, conversation_id: str, after: BranchEntry | None) -> Page[BranchEntry]:
    position = BranchPosition(after.parent_id, after.left_at, after.branch_id) if after else None
    return list_branches(owner, conversation_id, _PAGE, after=position)


def _links(owner: UserId, conversation_id: str, after: ShareLinkEntry | None) -> Page[ShareLinkEntry]:
    return list_share_links(owner, conversation_id, _PAGE, after.link_id if after else None)


def _state(owner: Owner, of: dict[str, Any]) -> Iterator[Line]:
    kind = "conversation_state" if of else "user_state"

    def page(after: State | None) -> Page[State]:
        return list_states(owner, _PAGE, after=(cast(StateKind, after.kind), after.key) if after else None)

    for state in _each(page):
        yield kind, {**of, **states.show_state(state).model_dump(mode="json")}


def _each(read: Callable[[T | None], Page[T]]) -> Iterator[T]:
    """Yield the items of all pages; `read` reads the page after an item."""
    page = read(None)
    yield from _whole(page.items)
    while page.more:
        page = read(page.items[-1])
        yield from _whole(page.items)


def _whole(items: Iterable[T]) -> Iterator[T]:
    """Yield items with their texts. One that was too large for its page is fetched alone, and dropped afterwards."""
    for item in items:
        texts = [each for each in (item, getattr(item, "reasoning", None)) if isinstance(each, LongItem)]
        large = [each for each in texts if each.unavailable is not None and each.unavailable.left_out]
        for each in large:
            load([each])
        yield item
        for each in large:
            each.drop()
