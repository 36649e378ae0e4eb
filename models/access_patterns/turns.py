"""Turns: the lease on a conversation, and the one transaction by which a turn ends.

The window is read first, so the lease is taken on exactly the conversation that the model will see: the write holds
only if nothing was appended and no other turn began in between (see docs/decisions/0002-read-before-accept.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models import clock
from models.access_patterns.conversations import get_conversation, open_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.messages import Draft, ensure_active, extend, place
from models.changes import condition_failed
from models.conversation import Conversation
from models.errors import Contended, ItemNotFound, LeaseHeld, LeaseLost
from models.ids import moment_of, new_id
from models.message import Message
from models.reading import get
from models.retries import MAX_ATTEMPTS, pause
from models.tenancy import UserId
from models.turn import ID_PREFIX, Turn, TurnEntry, TurnStatus
from models.writing import ConditionFailed, Transaction

Compose = Callable[[tuple[Message, ...]], Sequence[Draft]]


@dataclass(frozen=True)
class Lease:
    """The right to write the end of a turn. It holds as long as the header carries this turn and this fence."""

    turn_id: str
    user_id: UserId
    conversation: Conversation
    fence: int
    started_at: datetime


@dataclass(frozen=True)
class Begun:
    """A turn that has begun: its lease, the messages before it (oldest first) and those that began it.

    `older` says whether messages stand before those that were read.
    """

    lease: Lease
    earlier: tuple[Message, ...]
    messages: tuple[Message, ...]
    older: bool


@access_pattern(
    "AP-50",
    "Begin a turn",
    question="Keep what the user said, and let one worker answer it.",
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
                Write("Update", Conversation),
            ),
        ),
    ),
    budget=Budget(2, 6, 8, "a window of 20 and a message of up to 1 KB; 4 of it only when the activity indexes move"),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
    ),
)
def begin_turn(user_id: UserId, conversation_id: str, compose: Compose, *, window: int, lease: timedelta) -> Begun:
    """Read the conversation's newest messages, take its lease and store the messages that begin the turn.

    A lease that has run out is taken over with a higher fence; the turn that held it is recorded as interrupted.

    Args:
        user_id: whose conversation it must be.
        conversation_id: the conversation.
        compose: gives the messages that begin the turn, in view of those that are there (oldest first); none, to answer
            what is there. It may be called again when another writer came between, and may refuse by raising.
        window: how many of the messages that are there are read.
        lease: for how long; it is renewed while the turn runs.

    Raises:
        ItemNotFound: the user has no such conversation.
        ConversationNotActive: it is completed or archived.
        LeaseHeld: another turn is running.
        ItemTooLarge: a message does not fit in an item.
        Contended: other writers kept coming first; nothing was written.
    """
    for attempt in range(MAX_ATTEMPTS):
        opened = open_conversation(user_id, conversation_id, window)
        conversation = opened.conversation
        ensure_active(conversation)
        moment = clock.now()
        if conversation.leased(moment):
            raise LeaseHeld(conversation.lease_turn, (conversation.lease_expires_at - moment).total_seconds())
        turn_id = new_id(ID_PREFIX, moment)
        drafts = compose(opened.messages)
        messages = place(conversation, [replace(draft, turn_id=turn_id) for draft in drafts])
        transaction = Transaction()
        if conversation.lease_turn is not None:
            _record(transaction, _orphan(conversation, moment), named=False)
        fence = int(conversation.fence) + 1
        extend(
            transaction,
            conversation,
            messages,
            owned_by(user_id) & (Conversation.status == "active") & _free(moment) & (Conversation.fence == fence - 1),
            Conversation.fence.set(fence),
            Conversation.lease_turn.set(turn_id),
            Conversation.lease_expires_at.set(moment + lease),
            Conversation.turn_count.add(1),
        )
        try:
            transaction.commit()
        except ConditionFailed:
            pause(attempt)
            continue
        if messages:
            conversation.last_message_at = messages[-1].ts
        conversation.message_count += len(messages)
        return Begun(
            Lease(turn_id, user_id, conversation, fence, moment), opened.messages, tuple(messages), opened.more
        )
    raise Contended("Other writers kept changing this conversation; nothing was written.")


def _free(moment: datetime) -> Condition:
    condition: Condition = Conversation.lease_turn.does_not_exist() | (Conversation.lease_expires_at <= moment)
    return condition


def _record(transaction: Transaction, turn: Turn, *, named: bool) -> None:
    """Add the record of a turn that has ended to a transaction, and what leads to it if it is `named` by no message."""
    transaction.create("turn", turn)
    if not named:
        transaction.create("entry", TurnEntry(conversation_id=turn.conversation_id, turn_id=turn.turn_id))


def _orphan(conversation: Conversation, moment: datetime) -> Turn:
    turn_id = conversation.lease_turn
    return Turn(
        turn_id=turn_id,
        user_id=conversation.user_id,
        conversation_id=conversation.conversation_id,
        agent_id=conversation.agent_id,
        status="interrupted",
        started_at=moment_of(turn_id, ID_PREFIX) or moment,
        ended_at=moment,
        error={"code": "interrupted", "detail": "The worker that ran this turn stopped before it ended."},
    )


def _holds(lease: Lease) -> Condition:
    condition: Condition = (Conversation.lease_turn == lease.turn_id) & (Conversation.fence == lease.fence)
    return condition


@access_pattern(
    "AP-51",
    "Renew a lease",
    question="Keep the conversation while this turn goes on.",
    requests=(Request("UpdateItem", (Conversation,)),),
    budget=Budget(1, 0, 1, "a header of up to 1 KB; only in turns that outlast a third of their lease"),
)
def renew_lease(lease: Lease, duration: timedelta) -> None:
    """Move the lease's end to `duration` from now.

    Raises:
        LeaseLost: the lease was taken over, or the conversation is being deleted.
    """
    header = Conversation.keyed(conversation_id=lease.conversation.conversation_id)
    try:
        header.update(
            actions=[Conversation.lease_expires_at.set(clock.now() + duration)],
            condition=_holds(lease),
        )
    except UpdateError as error:
        if condition_failed(error):
            raise LeaseLost(lease.turn_id) from error
        raise


@access_pattern(
    "AP-52",
    "End a turn",
    question="Keep what the agent said, or why it said nothing, and free the conversation.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Message, optional=True),
                Write("Put", Turn),
                Write("Put", TurnEntry, optional=True),
                Write("Update", Conversation),
            ),
        ),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
    ),
    budget=Budget(1, 0, 8, "an answer of 1,200 characters, a header and a turn of up to 1 KB"),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
    ),
)
def end_turn(
    lease: Lease, status: TurnStatus, drafts: Sequence[Draft], record: Mapping[str, Any]
) -> tuple[Turn, list[Message]]:
    """Store the answer, the turn's record and the counters and free the lease, all or nothing.

    Args:
        lease: the turn's lease.
        status: how the turn ended.
        drafts: the agent's messages; none of an answer that is not whole.
        record: further fields of the `Turn`: provider, model, tokens, error, partial_text …

    Raises:
        LeaseLost: the lease was taken over; nothing was written.
        Contended: others kept appending; nothing was written.
    """
    conversation = lease.conversation
    for attempt in range(MAX_ATTEMPTS):
        messages = place(conversation, [replace(draft, turn_id=lease.turn_id) for draft in drafts])
        turn = Turn(
            turn_id=lease.turn_id,
            user_id=lease.user_id,
            conversation_id=conversation.conversation_id,
            agent_id=conversation.agent_id,
            status=status,
            started_at=lease.started_at,
            ended_at=clock.now(),
            **record,
        )
        transaction = Transaction()
        _record(transaction, turn, named=bool(messages))
        extend(transaction, conversation, messages, _holds(lease), *_release(record))
        try:
            transaction.commit()
        except ConditionFailed:
            # Either the lease is gone for good, or somebody appended beside us: the header tells.
            conversation = _reread(lease)
            pause(attempt)
        else:
            return turn, messages
    raise Contended("Other writers kept changing this conversation; the turn's end was not written.")


def _release(record: Mapping[str, Any]) -> list[Action]:
    return [
        Conversation.lease_turn.remove(),
        Conversation.lease_expires_at.remove(),
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


@access_pattern(
    "AP-53",
    "Turn by id",
    question="How did this turn end?",
    requests=(Request("GetItem", (Turn,), consistent=True),),
    budget=Budget(1, 1, 0, "a turn of up to 4 KB"),
    routes=("GET /api/v1/turns/{turn_id}",),
)
def get_turn(user_id: UserId, turn_id: str) -> Turn:
    """Return the record of a turn of this user that has ended.

    Raises:
        ItemNotFound: the user has no such turn, or it still runs.
    """
    turn: Turn | None = get(Turn, turn_id=turn_id)
    if turn is None or turn.user_id != user_id:
        raise ItemNotFound("turn")
    return turn
