"""Messages: one item each, in a strict order that does not depend on clocks, read in pages in both directions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, get_args

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.conversations import (
    activity,
    ensure_active,
    get_conversation,
    owned_by,
    without_header,
)
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.forks import create_messages
from models.access_patterns.idempotency import Once
from models.access_patterns.paths import PREFIX, holder_of, page_of_path
from models.access_patterns.retention import expires_after, header_expires
from models.access_patterns.roots import ROOT, entry_of, leave_branches, root_of, touch_root
from models.branch import MAX_HOPS, BranchEntry
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import ID_PREFIX, ROLES, Message, MessageReasoning, MessageType, Sender, parts_in
from models.table import clock
from models.table.attributes import to_json
from models.table.changes import set_or_remove
from models.table.errors import (
    Contended,
    InvalidDraft,
    ItemNotFound,
    ItemTooLarge,
    TooManyWrites,
)
from models.table.ids import moment_of, new_id
from models.table.item import Item
from models.table.long_text import discard, load
from models.table.reading import MAX_LIMIT, Page, get, get_many, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.side_by_side import both
from models.table.sizes import MAX_ITEM_BYTES
from models.table.tenancy import UserId
from models.table.values import checked_map, number_value, text_value
from models.table.writing import ConditionFailed, Transaction
from models.turn import Turn, TurnCount, TurnEntry

# A transaction has at most 100 parts: one for the header, one for a turn or the record of an idempotency key.
MAX_APPEND = 98
# For title and metadata: the fields of a turn in the header need some hundred bytes more.
_MAX_HEADER = MAX_ITEM_BYTES - 4096
_HEADER = Conversation.SK.template.text
_TURN = "turn"
_ELSEWHERE = Request("BatchGetItem", (Message, MessageReasoning), consistent=True, optional=True, in_a_branch=True)
"""The read of a message in a conversation that a branch continues."""


@dataclass(frozen=True)
class Draft:
    """A message that has no timestamp yet; an agent's message can have its model's reasoning.

    Raises:
        InvalidDraft: it cannot be sent to a model; once stored, it would break every later turn.
        InvalidValue: it contains half of a surrogate pair.
    """

    sender: Sender
    content: str
    type: MessageType = "text"
    role: str | None = None
    attributes: Mapping[str, Any] | None = None
    turn_id: str | None = None
    llm_response_id: str | None = None
    reasoning: str | None = None

    def __post_init__(self) -> None:
        """Check that it can be stored and sent to a model."""
        if self.sender not in ROLES:
            raise InvalidDraft("sender", f"one of {', '.join(ROLES)}")
        if self.type not in (types := get_args(MessageType)):
            raise InvalidDraft("type", f"one of {', '.join(types)}")
        if not isinstance(self.content, str):
            raise InvalidDraft("content", "a text, which may be empty")
        text_value("content", self.content)
        if self.reasoning is not None:
            if self.sender != "agent":
                raise InvalidDraft("reasoning", "None: only an agent's message has reasoning")
            text_value("reasoning", self.reasoning)
        if self.attributes is not None:
            checked_map("attributes", self.attributes)
        parts = parts_in(self.content) if self.type == "parts" else []
        if parts is None:
            raise InvalidDraft("content", "for parts, the JSON of a list of objects")
        if parts and "\\u" in self.content:
            to_json(json.loads(self.content), "content")
        for name in _NEEDED.get(self.type, ()):
            value = (self.attributes or {}).get(name)
            if not isinstance(value, str) or not value.strip():
                raise InvalidDraft(f"attributes.{name}", f"a text, which a {self.type} needs")

    def without_reasoning(self) -> "Draft":
        """Return the draft with a note in place of its reasoning, which could not be stored."""
        if self.reasoning is None:
            return self
        return replace(self, reasoning=None, attributes={**(self.attributes or {}), "reasoning_left_out": True})


# A result is found by its call's id, and a call without a name cannot be run.
_NEEDED: dict[str, tuple[str, ...]] = {"function_call": ("call_id", "function_name"), "function_result": ("call_id",)}


@access_pattern(
    "AP-40",
    "Append messages",
    question="Keep what was said, in order, without an answer.",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        ROOT,
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Message),
                Write("Put", MessageReasoning, optional=True),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Update", Conversation),
                Write("Update", BranchEntry, optional=True),
            ),
        ),
    ),
    budget=Budget(
        2,
        1,
        8,
        "a header and one message of up to 1 KB each; 4 WCU only when the activity indexes are updated; in a branch 1 "
        "request, 1 RCU and 2 WCU more, for the root's header",
        in_a_branch=1,
    ),
    routes=('POST /api/v1/conversations/{conversation_id}/messages with "reply": false',),
)
def append_messages(
    user_id: UserId, conversation_id: str, drafts: Sequence[Draft], *, once: Once | None = None
) -> list[Message]:
    """Append up to 98 messages, together, after all existing ones.

    If another writer interferes, it retries with backoff; no message is lost or stored twice.

    Raises:
        ItemNotFound: the user has no such conversation.
        ConversationNotActive: it, or the root of a branch, is completed or archived.
        TooManyWrites: there are more than 98; nothing was sent.
        ItemTooLarge: a message does not fit in an item, and there is no bucket; or the header is full.
        TransactionTooLarge: together they are over 4 MB.
        ContentUnavailable: a message that is too large for an item could not be stored in the bucket.
        Contended: lost the race against other writers too often; nothing was written.
        DoneBefore: another request with the same idempotency key was first.
    """
    if len(drafts) > MAX_APPEND:
        raise TooManyWrites("messages", len(drafts), MAX_APPEND)
    for attempt in range(MAX_ATTEMPTS):
        conversation = get_conversation(user_id, conversation_id)
        ensure_active(conversation)
        ensure_room(conversation)
        root = root_of(user_id, conversation)
        if not drafts:
            return []
        messages = place(conversation, drafts)
        transaction = Transaction()
        allowed = owned_by(user_id) & (Conversation.status == "active")
        extend(transaction, conversation, messages, allowed, *leave_branches(conversation))
        if root is not None:
            touch_root(transaction, user_id, root, conversation, messages[-1].ts)
        if once:
            once.add(transaction, messages[0].message_id)
        try:
            transaction.commit()
        except ConditionFailed:
            pause(attempt)
        else:
            return messages
    raise Contended("Other writers kept appending to this conversation; nothing was written.")


def ensure_room(conversation: Conversation) -> None:
    """Check that a conversation's header has room for the fields of a turn; older versions let it fill up.

    Raises:
        ItemTooLarge: it has none; the error says what to do.
    """
    names, metadata = Conversation.metadata.counts(conversation.metadata)
    size = metadata + len((conversation.title or "").encode())
    if size > _MAX_HEADER:
        hint = (
            f"Most of it is its metadata, {names:,} names of {metadata:,} bytes: change the metadata first, and give "
            "null for names that can go."
        )
        raise ItemTooLarge("conversation", size, _MAX_HEADER, hint=hint)


def place(conversation: Conversation, drafts: Sequence[Draft]) -> list[Message]:
    """Return the drafts as messages with timestamps: right after the conversation's last one, a microsecond apart."""
    messages = []
    moment = clock.strictly_after(conversation.last_message_at)
    for draft in drafts:
        where: dict[str, Any] = {"conversation_id": conversation.conversation_id, "ts": moment}
        ends = expires_after(conversation, moment)
        message = Message(
            **where,
            expires_at=ends,
            message_id=new_id(ID_PREFIX, moment),
            sender=draft.sender,
            role=draft.role or ROLES[draft.sender],
            type=draft.type,
            content=draft.content,
            attributes=dict(draft.attributes) if draft.attributes else None,
            turn_id=draft.turn_id,
            llm_response_id=draft.llm_response_id,
        )
        if draft.reasoning:
            message.reasoned = True
            message.reasoning = MessageReasoning(**where, expires_at=ends, text=draft.reasoning)
        messages.append(message)
        moment += clock.MICROSECOND
    return messages


def extend(
    transaction: Transaction,
    conversation: Conversation,
    messages: Sequence[Message],
    condition: Condition,
    *actions: Action,
) -> None:
    """Add to a transaction the writes that append placed messages to a conversation, as it was read.

    They succeed only if nobody has since appended or changed the status, which is part of an index key. The header's
    update also sets the activity and the counters, and includes the caller's `condition` and `actions`.
    """
    last = conversation.last_message_at
    unmoved = Conversation.last_message_at.does_not_exist() if last is None else Conversation.last_message_at == last
    unmoved &= Conversation.status == conversation.status
    ends = header_expires(conversation, messages[-1].ts if messages else clock.now())
    changes = list(actions)
    if ends != conversation.expires_at:
        changes.append(set_or_remove(Conversation.expires_at, ends))
        if conversation.root_id is None and ends is not None:
            # A branch may have extended it meanwhile.
            unmoved &= (
                Conversation.branched.does_not_exist()
                if conversation.expires_at is None
                else Conversation.expires_at <= ends
            )
        conversation.expires_at = ends
        if conversation.root_id is not None:
            lasts = [set_or_remove(BranchEntry.expires_at, ends)]
            transaction.update("entry", entry_of(conversation), lasts, BranchEntry.PK.exists())
    if messages:
        newest = messages[-1].ts
        changes += [*activity(conversation, newest), Conversation.last_message_at.set(newest)]
        changes.append(Conversation.message_count.add(len(messages)))
    create_messages(transaction, messages)
    transaction.update("conversation", conversation, changes, condition & unmoved)


@access_pattern(
    "AP-41",
    "List messages",
    question="What was said before, or after, or between two times?",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="either",
            page="1 to 1,000 and one more",
        ),
        Request(
            "Query",
            (Message, Conversation),
            sort_key="between MSG#{ts} and THREAD",
            consistent=True,
            order="descending",
            page="header, 1 to 100 and one more",
            alone=True,
        ),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="either",
            page="what is missing and one more",
            optional=True,
            in_a_branch=True,
        ),
    ),
    budget=Budget(
        2,
        15,
        0,
        "a page of 50 messages of 1 KB; 1 request for the newest page; one more Query for each MB, and in a branch for "
        "each conversation on its path that the page reaches",
        in_a_branch=MAX_HOPS,
    ),
    routes=("GET /api/v1/conversations/{conversation_id}/messages", "GET /api/v1/users/{user_id}/export"),
)
def list_messages(
    user_id: UserId,
    conversation_id: str,
    limit: int,
    *,
    descending: bool = False,
    after: datetime | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page[Message]:
    """Return messages of a conversation in order, or newest first.

    Cost: 1 Query for the newest page, newest first: the header sorts right after its messages. Any other page is 1
    GetItem of the header and 1 Query, in parallel. In a branch, 1 Query more for each conversation on its path that
    the page reaches.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation.
        limit: the maximum number of messages.
        descending: newest first.
        after: the `ts` of the last message of the previous page, in the same direction.
        since: only messages at or after this moment.
        until: only messages before this moment.

    Raises:
        InvalidValue: the limit is not allowed, or a time has no time zone.
        ItemNotFound: the user has no such conversation.
    """
    number_value("limit", limit, 1, MAX_LIMIT)
    lower = PREFIX + (clock.to_timestamp(since, "since") if since else "")
    upper = PREFIX + (_just_before("until", until) if until else "~")
    if after and descending:
        upper = min(upper, PREFIX + _just_before("after", after))
    elif after:
        lower = max(lower, PREFIX + clock.to_timestamp(after, "after") + "~")
    check = partial(get_conversation, user_id, conversation_id)
    if lower > upper:
        check()
        return Page((), more=False)
    newest = descending and not until and not after
    read = partial(
        query,
        Message.PK.template.render(conversation_id=conversation_id),
        Message.SK.between(lower, _HEADER if newest else upper),
        limit=limit + newest,
        descending=descending,
        consistent=True,
        whole=False,
    )
    if newest:
        header, own = without_header(user_id, read())
    else:
        # For every page: a cursor could prove who owned the conversation, but not that it still exists.
        header, own = both(check, read)
    page = page_of_path(header, own, lower, upper, limit, descending=descending)
    load(page.items)
    return page


def _just_before(field: str, moment: datetime) -> str:
    """Return a text that sorts just before the timestamp of `moment`: the timestamp without its Z."""
    return clock.to_timestamp(moment, field)[:-1]


@access_pattern(
    "AP-42",
    "Message by id",
    question="What exactly was said in this message?",
    requests=(
        Request("BatchGetItem", (Conversation, Message, MessageReasoning), consistent=True),
        Request("GetItem", (Conversation,), consistent=True, alone=True),
        _ELSEWHERE,
    ),
    budget=Budget(
        1,
        2,
        0,
        "a header and a message of up to 4 KB each; its reasoning is read only if asked for; 1 request more for a "
        "message that a branch continues",
        in_a_branch=1,
    ),
    routes=(
        "GET /api/v1/conversations/{conversation_id}/messages/{message_id}",
        'POST /api/v1/conversations/{conversation_id}/messages with "reply": false and a repeated Idempotency-Key',
    ),
)
def get_message(user_id: UserId, conversation_id: str, message_id: str, *, reasoning: bool = False) -> Message:
    """Return a message by its id, which contains the time in its sort key, so no index is needed.

    With `reasoning`, the message has its reasoning, if there is any.

    Raises:
        ItemNotFound: the user has no such conversation, or it has no such message.
    """
    message = _message(user_id, conversation_id, message_id, reasoning=reasoning)
    load([message])
    if message.reasoning is not None:
        load([message.reasoning])
    return message


def _message(user_id: UserId, conversation_id: str, message_id: str, *, reasoning: bool = False) -> Message:
    """Return a message without texts that are in S3; it, its conversation and its reasoning are read together.

    Cost: 1 BatchGetItem, or 1 GetItem if the id cannot be a message's; 1 BatchGetItem more if the message is in a
    conversation that this branch continues.
    """
    moment = moment_of(message_id, ID_PREFIX)
    if moment is None:
        get_conversation(user_id, conversation_id)
        raise ItemNotFound("message")
    wanted = _at(conversation_id, moment, reasoning=reasoning)
    header, found, *reasoned = get_many(
        [Conversation.from_key(conversation_id=conversation_id), *wanted], consistent=True, whole=False
    )
    if header is None or header.user_id != user_id:
        raise ItemNotFound("conversation")
    holder = holder_of(header, moment)
    if holder != conversation_id:
        found, *reasoned = get_many(_at(holder, moment, reasoning=reasoning), consistent=True, whole=False)
    if found is None or found.message_id != message_id:
        raise ItemNotFound("message")
    message: Message = found
    message.reasoning = reasoned[0] if reasoned else None
    return message


def _at(conversation_id: str, moment: datetime, *, reasoning: bool) -> list[Item]:
    where: dict[str, Any] = {"conversation_id": conversation_id, "ts": moment}
    return [Message.from_key(**where), *([MessageReasoning.from_key(**where)] if reasoning else [])]


@access_pattern(
    "AP-43",
    "Delete a message",
    question="Take back what was said in this message.",
    requests=(
        Request("BatchGetItem", (Conversation, Message), consistent=True),
        Request("GetItem", (Conversation,), consistent=True, alone=True),
        _ELSEWHERE,
        Request("GetItem", (MessageReasoning,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", Turn, optional=True),
                Write("Delete", Message),
                Write("Delete", MessageReasoning, optional=True),
                Write("Delete", Turn, optional=True),
                Write("Put", TurnCount, optional=True),
                Write("Put", TurnEntry, optional=True),
                Write("Update", Conversation),
            ),
        ),
        Request("GetItem", (Turn,), consistent=True, optional=True),
    ),
    budget=Budget(
        4,
        3,
        8,
        "a header, a message and its turn of up to 1 KB each; 3 requests if it has no reasoning; 1 request more for a "
        "message that a branch continues",
        in_a_branch=1,
    ),
    routes=("DELETE /api/v1/conversations/{conversation_id}/messages/{message_id}",),
)
def delete_message(user_id: UserId, conversation_id: str, message_id: str) -> None:
    """Delete a message, its reasoning, and the record of its turn, which may quote it.

    It disappears from every branch that continues its conversation. Branches that begin after it stay, and so does what
    was said in them. The turn's tokens stay counted. The record of a running turn stays, because its end is written
    there.

    Raises:
        ItemNotFound: the user has no such conversation, or it has no such message.
        Contended: other writers kept changing its turn; nothing was deleted.
    """
    message = _message(user_id, conversation_id, message_id)
    if message.reasoned:
        message.reasoning = get(MessageReasoning, conversation_id=message.conversation_id, ts=message.ts, whole=False)
    header = Conversation.from_key(conversation_id=message.conversation_id)
    for attempt in range(MAX_ATTEMPTS):
        transaction = Transaction()
        transaction.delete("message", message, Message.message_id == message_id)
        if message.reasoning is not None:
            transaction.delete("reasoning", message.reasoning)
        if message.turn_id:
            _leave_count(transaction, user_id, message)
        transaction.update("conversation", header, [Conversation.message_count.add(-1)], owned_by(user_id))
        try:
            transaction.commit()
        except ConditionFailed as error:
            if error.parts != {_TURN}:
                raise ItemNotFound("message") from error
            pause(attempt)
        else:
            return discard(message, message.reasoning)
    raise Contended("Other writers kept changing the turn of this message; nothing was deleted.")


def _leave_count(transaction: Transaction, user_id: UserId, message: Message) -> None:
    """Add to a transaction the writes that replace the record of a message's turn by its count.

    While the turn runs, its record stays, and gets a `TurnEntry`. The transaction fails if the turn's status changes
    after it is read here.

    Cost: 1 GetItem, and 4 WCU in the transaction for a record of up to 1 KB.
    """
    turn: Turn | None = get(Turn, user_id=user_id, turn_id=message.turn_id)
    if turn is None:
        # It is a plain turn that is running, or another of its messages was deleted before.
        absent = Turn.PK.does_not_exist() | (Turn.expires_at <= int(clock.now().timestamp()))
        transaction.delete(_TURN, Turn.from_key(user_id=user_id, turn_id=message.turn_id), absent)
    elif turn.conversation_id != message.conversation_id:
        # The message is a copy. The turn stays with the original.
        return
    elif turn.status == "running":
        transaction.check(_TURN, turn, Turn.status == "running")
        entry = TurnEntry(conversation_id=turn.conversation_id, turn_id=turn.turn_id, expires_at=turn.expires_at)
        transaction.put("entry", entry)
    else:
        transaction.delete(_TURN, turn, Turn.status == turn.status)
        transaction.put("count", turn.as_counted())
