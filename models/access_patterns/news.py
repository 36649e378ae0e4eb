"""What is new in a conversation, for clients that follow it: its header now and then, and what was added since."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from models.access_patterns.declare import Budget, Request, access_pattern
from models.conversation import Conversation
from models.message import Message
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.ids import new_id
from models.table.long_text import load
from models.table.reading import Page, get, get_many, keys, query
from models.table.tenancy import UserId
from models.turn import ID_PREFIX, Turn, TurnEntry

_FOLLOW = "GET /api/v1/conversations/{conversation_id}/events"
# More than a turn has messages, so that a page has at least one whole turn.
_PAGE = 200
_BATCH = 100
# Turns' ids have the time of the hosts that began them, and messages that of the hosts that wrote them.
_CLOCKS_APART = timedelta(minutes=15)


@dataclass(frozen=True)
class News:
    """The next messages of a conversation, in order, and its header; None if more messages follow."""

    header: Conversation | None
    messages: tuple[Message, ...]


@access_pattern(
    "AP-65",
    "Check a conversation for news",
    question="Has anything happened in this conversation since I last looked?",
    requests=(Request("GetItem", (Conversation,), consistent="either"),),
    budget=Budget(1, 0.5, 0, "a header of up to 4 KB; 1 RCU if strongly consistent"),
    routes=(_FOLLOW,),
)
def glance(user_id: UserId, conversation_id: str, *, consistent: bool = False) -> Conversation:
    """Return a conversation's header, by default as it was a moment ago.

    Raises:
        ItemNotFound: the user has no such conversation, or had none a moment ago.
    """
    found: Conversation | None = get(Conversation, conversation_id=conversation_id, consistent=consistent)
    if found is None or found.user_id != user_id:
        raise ItemNotFound("conversation")
    return found


@access_pattern(
    "AP-66",
    "News of a conversation",
    question="What was said in this conversation since then, and which turn is running?",
    requests=(
        Request(
            "Query",
            (Message, Conversation),
            sort_key="between MSG#{ts} and THREAD",
            consistent=True,
            order="ascending",
            page="200 and one more",
        ),
    ),
    budget=Budget(1, 1, 0, "the header and a message of 300 characters"),
    routes=(_FOLLOW,),
)
def read_news(user_id: UserId, conversation_id: str, after: datetime | None) -> News:
    """Return the messages after a moment, oldest first, and the header if these are all; no turn is split.

    Raises:
        ItemNotFound: the user has no such conversation, any more.
    """
    prefix = Message.SK.template.prefix
    page: Page[Any] = query(
        Conversation.PK.template.render(conversation_id=conversation_id),
        # "~" sorts after the message at that moment, and before the next one.
        Conversation.SK.between(
            f"{prefix}{clock.to_timestamp(after, 'after')}~" if after else prefix, Conversation.SK.template.text
        ),
        limit=_PAGE,
        consistent=True,
        whole=False,
    )
    if page.more:
        header = None
        messages = _whole_turns([item for item in page.items if isinstance(item, Message)])
    else:
        header = page.items[-1] if page.items else None
        if not isinstance(header, Conversation) or header.user_id != user_id:
            raise ItemNotFound("conversation")
        # A Query is no snapshot: messages that are newer than the header are left for the next one.
        newest = header.last_message_at
        messages = [item for item in page.items[:-1] if newest is not None and item.ts <= newest]
    load(messages)
    return News(header, tuple(messages))


def _whole_turns(messages: Sequence[Message]) -> list[Message]:
    """Return a full page without the turn at its end, which may go on on the next page."""
    groups = [list(group) for _, group in groupby(messages, key=lambda message: message.turn_id)]
    kept = groups[:-1] if len(groups) > 1 and groups[-1][0].turn_id is not None else groups
    return [message for group in kept for message in group]


@access_pattern(
    "AP-67",
    "Turns without messages",
    question="Which turns began and ended in this conversation without leaving a message?",
    requests=(
        Request(
            "Query",
            (TurnEntry,),
            sort_key="between ENDED#{turn_id} and ENDED#~",
            consistent=True,
            order="ascending",
            page="100",
        ),
        Request("BatchGetItem", (Turn,), consistent=True, optional=True),
    ),
    budget=Budget(2, 2, 0, "one such turn of up to 4 KB; only if a turn is missing among those of the messages"),
    routes=(_FOLLOW,),
)
def silent_turns(conversation: Conversation, since: datetime | None, fences: range) -> list[Turn]:
    """Return the ended turns whose fencing numbers are in `fences` and that stored no message, in order.

    They are searched among those that began after `since`, or a few minutes earlier, because hosts' clocks differ. It
    does not check the owner: the conversation was read for that user.
    """
    prefix = TurnEntry.SK.template.prefix
    first = prefix + (_lowest_id(since - _CLOCKS_APART) if since else "")
    found: list[Turn] = []
    after = None
    while True:
        page: Page[Any] = query(
            TurnEntry.PK.template.render(conversation_id=conversation.conversation_id),
            TurnEntry.SK.between(first, f"{prefix}~"),
            limit=_BATCH,
            after=after,
            consistent=True,
        )
        wanted = [Turn.from_key(user_id=conversation.user_id, turn_id=entry.turn_id) for entry in page.items]
        found += [turn for turn in get_many(wanted, consistent=True) if turn is not None]
        if not page.more:
            break
        after = keys(page.items[-1])
    silent = [turn for turn in found if turn.status != "running" and turn.first_message_at is None]
    numbered = [turn for turn in silent if turn.fence is not None and int(turn.fence) in fences]
    return sorted(numbered, key=lambda turn: int(turn.fence))


def _lowest_id(moment: datetime) -> str:
    """Return an id that sorts before those of all turns that began at `moment` or later."""
    milliseconds = new_id(ID_PREFIX, moment)[: len(ID_PREFIX) + 1 + 10]
    return milliseconds + "0" * 16
