"""Turns: the lease on a conversation, and the one transaction that ends a turn.

The window is read first, so the lease is taken on exactly the conversation that the model will see: the write succeeds
only if no message was appended and no other turn began in between (see docs/decisions/0002-read-before-accept.md).
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from pynamodb.exceptions import PynamoDBException, UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.conversations import get_conversation, open_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft, ensure_active, ensure_room, extend, place
from models.access_patterns.orphans import running_turn
from models.access_patterns.retention import checked_days, expires_after, retain
from models.access_patterns.turn_errors import BeginUncertain, CancelRequested, LeaseExpired, LeaseHeld
from models.access_patterns.turn_events import turn_messages
from models.allowance import PART, Allowance, Claim, Quota, settle_reservation
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import Message, MessageReasoning
from models.table import clock
from models.table.changes import condition_failed, set_or_remove
from models.table.errors import Contended, ContentUnavailable, InvalidValue, ItemNotFound, ItemTooLarge, LeaseLost
from models.table.ids import new_id
from models.table.reading import MAX_LIMIT, get
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.values import number_value, one_of
from models.table.writing import ConditionFailed, Transaction
from models.turn import ID_PREFIX, Turn, TurnCount, TurnEnd, TurnEntry

log = logging.getLogger(__name__)

_END_ATTEMPTS = 40
_LONGEST_LEASE = timedelta(days=1)

# The fields that the end of a turn may set.
_RECORDED = (
    "provider",
    "model",
    "last_event",
    "finish_reason",
    "input_tokens",
    "output_tokens",
    "error",
    "partial_text",
    "pieces",
)

Compose = Callable[[tuple[Message, ...]], Sequence[Draft]]


@dataclass(frozen=True)
class Lease:
    """The right to write the end of a turn. It is valid as long as the header has this turn and this fencing number.

    `announced`: the turn already has a record with the status `running`. `first_message_at`: the `ts` of the message
    that began it. `claim`: what it has reserved of its user's allowance, if that is limited. `kept`: whether it
    stores events while it runs.
    """

    turn_id: str
    user_id: UserId
    conversation: Conversation
    fence: int
    started_at: datetime
    announced: bool = False
    first_message_at: datetime | None = None
    claim: Claim | None = None
    kept: bool = True

    @property
    def turn(self) -> Turn:
        """The turn's record while it runs."""
        return Turn(
            user_id=self.user_id,
            turn_id=self.turn_id,
            conversation_id=self.conversation.conversation_id,
            agent_id=self.conversation.agent_id,
            status="running",
            started_at=self.started_at,
            first_message_at=self.first_message_at,
            expires_at=expires_after(self.conversation, self.started_at),
            kept=self.kept if self.announced else None,
            fence=self.fence,
        )


@dataclass(frozen=True)
class Begun:
    """A turn that has begun: its lease, the messages before it (oldest first) and the messages that began it.

    `older` says whether there are messages before the ones that were read.
    """

    lease: Lease
    earlier: tuple[Message, ...]
    messages: tuple[Message, ...]
    older: bool


@access_pattern(
    "AP-50",
    "Begin a turn",
    question="Store what the user said, and let exactly one worker answer it.",
    requests=(
        Request(
            "Query",
            (Conversation, Message),
            sort_key="between MSG# and THREAD",
            consistent=True,
            order="descending",
            page="header, window and one more",
        ),
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Message, optional=True),
                Write("Put", Turn, optional=True),
                Write("Put", TurnEntry, optional=True),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Update", Conversation),
                Write("Update", Allowance, optional=True),
            ),
        ),
        Request("GetItem", (Allowance,), consistent=True, optional=True),
    ),
    budget=Budget(
        2,
        6,
        8,
        "a plain turn with a window of 20 and a message of up to 1 KB; 4 of the 8 WCU only when the activity indexes "
        "are updated; 2 WCU more for a streamed or background turn, 2 with limits, 2 with an idempotency key",
    ),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
    ),
)
def begin_turn(
    user_id: UserId,
    conversation_id: str,
    compose: Compose,
    *,
    window: int,
    lease: timedelta,
    announced: bool = False,
    kept: bool = True,
    retention_days: int | None = None,
    quota: Quota | None = None,
    once: Once | None = None,
) -> Begun:
    """Read the conversation's newest messages, take its lease and store the messages that begin the turn.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation.
        compose: returns the messages that begin the turn, given the existing ones (oldest first); none, to answer the
            existing ones. It may be called again if another writer interfered, and may raise to refuse the turn.
        window: how many of the newest messages are read.
        lease: the lease's duration; it is renewed while the turn runs.
        announced: also write the turn's record with the status `running`, so that it can be followed from the start.
        kept: whether the turn will store events while it runs; if not, its record says so.
        retention_days: days after which what is written from now on expires (see `retention`).
        quota: claims the turn's estimated use of its user's allowance in the same transaction; None claims nothing.
        once: the request's idempotency key.

    Raises:
        ItemNotFound: the user has no such conversation.
        ConversationNotActive: it is completed or archived.
        LeaseHeld: another turn is running.
        LeaseExpired: the worker of the last turn died; reconcile that turn first.
        InvalidValue: the window, the lease or the retention is not allowed.
        ItemTooLarge: a message does not fit in an item, or the header is full.
        TransactionTooLarge: the messages are over 4 MB in total.
        TooManyWrites: there are too many messages for one transaction.
        LimitReached: the claim would exceed one of the user's limits; nothing was written.
        Contended: lost the race against other writers too often; nothing was written.
        DoneBefore: another request with the same idempotency key was first.
        BeginUncertain: DynamoDB did not acknowledge the write, so the turn may have begun.
    """
    number_value("window", window, 0, MAX_LIMIT - 1)
    checked_days(retention_days)
    if not isinstance(lease, timedelta) or abs(lease) > _LONGEST_LEASE:
        raise InvalidValue("lease", "must be a duration of up to a day")
    for attempt in range(MAX_ATTEMPTS):
        opened = open_conversation(user_id, conversation_id, window)
        conversation = opened.conversation
        ensure_active(conversation)
        ensure_room(conversation)
        moment = clock.table_now()
        if conversation.leased(moment):
            raise LeaseHeld(conversation.lease_turn, (conversation.lease_expires_at - moment).total_seconds())
        if conversation.lease_turn is not None:
            raise LeaseExpired(running_turn(conversation))
        started = clock.now()
        turn_id = new_id(ID_PREFIX, started)
        keep = retain(conversation, retention_days)
        drafts = compose(opened.messages)
        messages = place(conversation, [replace(draft, turn_id=turn_id) for draft in drafts])
        fence = int(conversation.fence) + 1
        began = messages[0].ts if messages else None
        transaction = Transaction()
        claim = None
        if quota is not None:
            seen = (opened.messages, messages, opened.more)
            claim = quota.claim(transaction, (conversation_id, turn_id), started, seen)
        held = Lease(turn_id, user_id, conversation, fence, started, announced, began, claim, kept)
        if announced:
            _record(transaction, held.turn, named=bool(messages))
        if once:
            once.add(transaction, turn_id)
        extend(
            transaction,
            conversation,
            messages,
            owned_by(user_id)
            & (Conversation.status == "active")
            & Conversation.lease_turn.does_not_exist()
            & (Conversation.fence == fence - 1),
            Conversation.fence.set(fence),
            Conversation.lease_turn.set(turn_id),
            Conversation.lease_expires_at.set(moment + lease),
            Conversation.cancel_turn.remove(),
            Conversation.turn_count.add(1),
            *keep,
            *([Conversation.lease_claim.set([claim.day, claim.tokens])] if claim else []),
        )
        try:
            transaction.commit()
        except ConditionFailed as failed:
            if quota is not None and PART in failed.parts:
                quota = replace(quota, allowance=get(Allowance, user_id=user_id) or quota.allowance)
            pause(attempt)
            continue
        except PynamoDBException as error:
            raise BeginUncertain(held.turn, error) from error
        if messages:
            conversation.last_message_at = messages[-1].ts
        conversation.message_count += len(messages)
        return Begun(held, opened.messages, tuple(messages), opened.more)
    raise Contended("Other writers kept changing this conversation; nothing was written.")


def _record(transaction: Transaction, turn: Turn, *, named: bool) -> None:
    """Add a turn's record to a transaction, and its `TurnEntry` unless a message names the turn (`named`)."""
    transaction.create("turn", turn)
    if not named:
        entry = TurnEntry(conversation_id=turn.conversation_id, turn_id=turn.turn_id, expires_at=turn.expires_at)
        transaction.create("entry", entry)


def _holds(lease: Lease) -> Condition:
    condition: Condition = (Conversation.lease_turn == lease.turn_id) & (Conversation.fence == lease.fence)
    return condition


@access_pattern(
    "AP-51",
    "Renew a lease",
    question="Keep the conversation locked while this turn runs.",
    requests=(Request("UpdateItem", (Conversation,)),),
    budget=Budget(1, 0, 1, "a header of up to 1 KB; only in turns that outlast a third of their lease"),
)
def renew_lease(lease: Lease, duration: timedelta) -> None:
    """Move the lease's end to `duration` from now.

    Raises:
        LeaseLost: another worker took over the lease, or the conversation is being deleted.
    """
    header = Conversation.from_key(conversation_id=lease.conversation.conversation_id)
    try:
        header.update(
            actions=[Conversation.lease_expires_at.set(clock.table_now() + duration)],
            condition=_holds(lease),
        )
    except UpdateError as error:
        if condition_failed(error):
            raise LeaseLost(lease.turn_id) from error
        raise


@access_pattern(
    "AP-52",
    "End a turn",
    question="Store the agent's answer, or why there is none, and free the conversation.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Message, optional=True),
                Write("Put", MessageReasoning, optional=True),
                Write("Put", Turn, optional=True),
                Write("Put", TurnEntry, optional=True),
                Write("Put", TurnCount, optional=True),
                Write("Update", Conversation),
                Write("Update", Turn, optional=True),
                Write("Update", Allowance, optional=True),
            ),
        ),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
        Request("GetItem", (Turn,), consistent=True, optional=True),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="ascending",
            page="100",
            optional=True,
        ),
    ),
    budget=Budget(
        1,
        0,
        8,
        "an answer of 1,200 characters, a header and a turn of up to 1 KB; 2 WCU more if the user's turns are limited, "
        "2 if the turn's record expires, 2 for each KB of reasoning",
    ),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
    ),
)
def end_turn(
    lease: Lease, status: TurnEnd, drafts: Sequence[Draft], record: Mapping[str, Any]
) -> tuple[Turn, list[Message]]:
    """Store the answer, the turn's record and the counters, settle the claim and free the lease, all or nothing.

    If this worker has already stored an end of this turn and only the acknowledgement was lost, that end is returned.

    If the answer cannot be stored with its reasoning, it is stored without, and its attributes say so.

    Args:
        lease: the turn's lease.
        status: how the turn ended.
        drafts: the agent's messages; none if the answer is incomplete.
        record: further fields of the `Turn`: provider, model, tokens, error, partial_text …

    Raises:
        InvalidValue: the status or a field of the record is unknown, or has an invalid value.
        ItemTooLarge: a message does not fit in an item.
        TransactionTooLarge: the messages are over 4 MB in total.
        TooManyWrites: there are too many messages for one transaction.
        LeaseLost: another worker took over the lease; nothing was written.
        CancelRequested: the turn was about to complete, but has been cancelled; nothing was written.
        Contended: lost the race against other writers too often; nothing was written.
    """
    one_of("status", status, get_args(TurnEnd))
    for name in record:
        one_of("record", name, _RECORDED)
    conversation = lease.conversation
    condition = _holds(lease)
    if status == "completed":
        condition &= Conversation.cancel_turn.does_not_exist()
    claim = lease.claim
    for attempt in range(MAX_ATTEMPTS):
        messages = place(conversation, [replace(draft, turn_id=lease.turn_id) for draft in drafts])
        turn = _ended(lease, status, messages, record)
        transaction = Transaction()
        if lease.announced:
            transaction.update("turn", turn, _conclusion(turn), Turn.status == "running")
        else:
            _record(transaction, turn, named=bool(messages))
        if turn.expires_at is not None:
            transaction.put("count", turn.as_counted())
        if claim is not None:
            used = sum(record.get(name) or 0 for name in ("input_tokens", "output_tokens"))
            settle_reservation(transaction, lease.user_id, (conversation.conversation_id, lease.turn_id), claim, used)
        try:
            extend(transaction, conversation, messages, condition, *_release(record, claim))
            # An answer is worth more retries than a question, and all turns of a user update the same allowance.
            transaction.commit(_END_ATTEMPTS if claim is not None else MAX_ATTEMPTS)
        except ConditionFailed:
            # The end is stored already, the lease is lost, or another writer appended: the header tells which.
            try:
                conversation = _reread(lease)
            except LeaseLost:
                return _stored_end(lease)
            if status == "completed" and conversation.cancel_turn == lease.turn_id:
                raise CancelRequested(lease.turn_id) from None
            pause(attempt)
        except (ItemTooLarge, ContentUnavailable) as error:
            if not any(draft.reasoning for draft in drafts):
                raise
            log.warning("the reasoning of turn %s was left out: %s", lease.turn_id, error)
            drafts = [draft.without_reasoning() for draft in drafts]
        else:
            return turn, messages
    raise Contended("Other writers kept changing this conversation; the turn's end was not written.")


def _ended(lease: Lease, status: TurnEnd, messages: Sequence[Message], record: Mapping[str, Any]) -> Turn:
    turn = lease.turn
    turn.status = status
    turn.ended_at = clock.now()
    if messages:
        turn.first_message_at = lease.first_message_at or messages[0].ts
        turn.last_message_at = messages[-1].ts
    for name, value in record.items():
        setattr(turn, name, value)
    return turn


def _conclusion(turn: Turn) -> list[Action]:
    """Return the actions that turn a running turn's record into that of an ended one."""
    attributes = Turn.get_attributes()
    fixed = {"PK", "SK", "entity", "user_id", "turn_id", "conversation_id", "agent_id", "started_at"}
    values = {name: getattr(turn, name) for name in sorted(set(attributes) - fixed)}
    return [set_or_remove(attributes[name], value) for name, value in values.items() if value is not None]


def _release(record: Mapping[str, Any], claim: Claim | None) -> list[Action]:
    return [
        *([Conversation.lease_claim.remove()] if claim is not None else []),
        Conversation.lease_turn.remove(),
        Conversation.lease_expires_at.remove(),
        Conversation.cancel_turn.remove(),
        Conversation.input_tokens.add(record.get("input_tokens") or 0),
        Conversation.output_tokens.add(record.get("output_tokens") or 0),
    ]


def _reread(lease: Lease) -> Conversation:
    try:
        conversation = get_conversation(lease.user_id, lease.conversation.conversation_id)
    except ItemNotFound as error:
        raise LeaseLost(lease.turn_id) from error
    if conversation.lease_turn != lease.turn_id or conversation.fence != lease.fence:
        raise LeaseLost(lease.turn_id)
    return conversation


def _stored_end(lease: Lease) -> tuple[Turn, list[Message]]:
    """Return the end of a turn that this worker stored without receiving the acknowledgement.

    Raises:
        LeaseLost: it stored none: the turn was recorded as interrupted, or the conversation was deleted.
    """
    turn: Turn | None = get(Turn, user_id=lease.user_id, turn_id=lease.turn_id)
    # Any other status can only come from the turn's own worker.
    if turn is None or turn.status in ("running", "interrupted"):
        raise LeaseLost(lease.turn_id)
    return turn, [message for message in turn_messages(turn) if message.sender == "agent"]
