"""Turns: the lease on a conversation, and the one transaction that ends a turn."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.conversations import (
    get_conversation,
)
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.messages import Draft, extend, place
from models.access_patterns.retention import expires_after
from models.access_patterns.roots import keep_root
from models.access_patterns.turn_errors import CancelRequested
from models.access_patterns.turn_events import turn_messages
from models.allowance import Allowance, Claim, settle_reservation
from models.branch import BranchEntry
from models.conversation import Conversation
from models.message import Message, MessageReasoning
from models.table import clock
from models.table.changes import condition_failed, set_or_remove
from models.table.errors import Contended, ContentUnavailable, ItemNotFound, ItemTooLarge, LeaseLost
from models.table.reading import get
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.values import one_of
from models.table.writing import ConditionFailed, Transaction
from models.turn import Turn, TurnCount, TurnEnd, TurnEntry

log = logging.getLogger(__name__)

_END_ATTEMPTS = 40

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


def record_turn(transaction: Transaction, turn: Turn, *, named: bool) -> None:
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
                Write("Update", BranchEntry, optional=True),
                Write("Update", Allowance, optional=True),
            ),
        ),
        Request("TransactWriteItems", writes=(Write("Update", Conversation),), optional=True, in_a_branch=True),
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
        "2 if the turn's record expires, 2 for each KB of reasoning; in a branch whose messages expire 1 request and 2 "
        "WCU more, for the root's header",
        in_a_branch=1,
    ),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
        "POST /api/v1/conversations/{conversation_id}/branches",
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
            record_turn(transaction, turn, named=bool(messages))
        if turn.expires_at is not None:
            transaction.put("count", turn.as_counted())
        if claim is not None:
            used = sum(record.get(name) or 0 for name in ("input_tokens", "output_tokens"))
            settle_reservation(transaction, lease.user_id, (conversation.conversation_id, lease.turn_id), claim, used)
        ends = conversation.expires_at
        try:
            extend(transaction, conversation, messages, condition, *_release(record, claim))
            if conversation.root_id is not None and conversation.expires_at not in (None, ends):
                keep_root(conversation)
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
