"""How a turn begins: the lease is taken and the first messages are stored, in a conversation or in a new branch of one.

The window is read first, so the lease is taken on exactly the conversation that the model will see: the write succeeds
only if no message was appended and no other turn began in between (see docs/decisions/0002-read-before-accept.md).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any, Protocol

from pynamodb.exceptions import PynamoDBException

from models.access_patterns.conversations import (
    PATH,
    Opened,
    ensure_active,
    open_conversation,
    owned_by,
)
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.forks import FORK_WRITES, PARENT, Fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft, ensure_room, extend, place
from models.access_patterns.orphans import running_turn
from models.access_patterns.retention import checked_days
from models.access_patterns.roots import ROOT, leave_branches, root_of, touch_root
from models.access_patterns.turn_errors import BeginUncertain, LeaseExpired, LeaseHeld
from models.access_patterns.turns import Lease, record_turn
from models.allowance import PART, Allowance, Quota
from models.branch import MAX_HOPS, BranchEntry
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.table import clock
from models.table.changes import set_or_remove
from models.table.errors import Contended, InvalidValue, ItemNotFound
from models.table.ids import new_id
from models.table.reading import MAX_LIMIT, get
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.values import number_value
from models.table.writing import ConditionFailed, Transaction
from models.turn import ID_PREFIX, Turn, TurnEntry

_LONGEST_LEASE = timedelta(days=1)

Compose = Callable[[tuple[Message, ...]], Sequence[Draft]]

_BEGINNING = (
    Write("Put", Message, optional=True),
    Write("Put", Turn, optional=True),
    Write("Put", TurnEntry, optional=True),
    Write("Put", IdempotencyRecord, optional=True),
    Write("Update", Allowance, optional=True),
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
        PATH,
        ROOT,
        Request(
            "TransactWriteItems",
            writes=(
                *_BEGINNING,
                Write("Update", Conversation),
                Write("Update", BranchEntry, optional=True),
            ),
        ),
        Request("GetItem", (Allowance,), consistent=True, optional=True),
    ),
    budget=Budget(
        2,
        6,
        8,
        "a plain turn with a window of 20 and a message of up to 1 KB; 4 of the 8 WCU only when the activity indexes "
        "are updated; 2 WCU more for a streamed or background turn, 2 with limits, 2 with an idempotency key; in a "
        "branch 1 request and 1 RCU more for the root, 1 Query for each conversation on its path that the window "
        "reaches, and 4 WCU for the root and the turn's record",
        in_a_branch=MAX_HOPS + 1,
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
    return _begin(
        _Existing(user_id, conversation_id),
        user_id,
        compose,
        window=window,
        lease=lease,
        announced=announced,
        kept=kept,
        retention_days=retention_days,
        quota=quota,
        once=once,
    )


@access_pattern(
    "AP-38",
    "Begin a turn in a new branch",
    question="Let me say this differently, or let the agent answer again, and keep what was said before.",
    requests=(
        PATH,
        Request("TransactWriteItems", writes=(*_BEGINNING, *FORK_WRITES)),
        ROOT,
        Request("GetItem", (Allowance,), consistent=True, optional=True),
    ),
    budget=Budget(
        2,
        5,
        14,
        "a plain turn with a window of 20 and a message of up to 1 KB, in a branch of a root: 2 WCU each for the "
        "branch, its entry, the root, the message and the turn's record, 4 in the user's and the agent's index at most "
        "once a minute; 1 Query for each conversation that the window reaches; 2 WCU more for one that leaves a branch",
        in_a_branch=MAX_HOPS,
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/branches",),
)
def begin_turn_in_branch(
    fork: Fork,
    compose: Compose,
    *,
    window: int,
    lease: timedelta,
    kept: bool = True,
    retention_days: int | None = None,
    quota: Quota | None = None,
    once: Once | None = None,
) -> Begun:
    """Make a branch and begin a turn in it, both or neither.

    It needs no lease of the conversation that the branch leaves, and does not wait for a turn that runs there.

    Args:
        fork: the branch to be made, with a path that is short enough.
        compose: as in `begin_turn`; it gets the messages up to the one that the branch continues.
        window: how many of the newest messages are read.
        lease: the lease's duration.
        kept: as in `begin_turn`.
        retention_days: as in `begin_turn`.
        quota: as in `begin_turn`.
        once: the request's idempotency key.

    Raises:
        ItemNotFound: the conversation that it leaves is being deleted.
        ConversationNotActive: the tree's root is completed or archived.

    The other errors are those of `begin_turn`, except `LeaseHeld` and `LeaseExpired`.
    """
    return _begin(
        fork,
        fork.user_id,
        compose,
        window=window,
        lease=lease,
        announced=True,
        kept=kept,
        retention_days=retention_days,
        quota=quota,
        once=once,
    )


class _Place(Protocol):
    """Where a turn begins: in a conversation, or in a branch that is made for it."""

    def open(self, newest: int) -> Opened:
        """Return the header, and the newest messages before the turn."""

    def add(
        self,
        transaction: Transaction,
        conversation: Conversation,
        messages: Sequence[Message],
        fields: Mapping[str, Any],
    ) -> None:
        """Add to a transaction the messages that begin the turn, and these fields of the header."""


@dataclass(frozen=True)
class _Existing:
    """A conversation whose lease is free."""

    user_id: UserId
    conversation_id: str

    def open(self, newest: int) -> Opened:
        """Read the conversation."""
        return open_conversation(self.user_id, self.conversation_id, newest)

    def add(
        self,
        transaction: Transaction,
        conversation: Conversation,
        messages: Sequence[Message],
        fields: Mapping[str, Any],
    ) -> None:
        """Append the messages and take the lease, if nobody else has."""
        root = root_of(self.user_id, conversation)
        attributes = Conversation.get_attributes()
        kept = [set_or_remove(attributes[name], value) for name, value in fields.items()]
        extend(
            transaction,
            conversation,
            messages,
            owned_by(self.user_id)
            & (Conversation.status == "active")
            & Conversation.lease_turn.does_not_exist()
            & (Conversation.fence == fields["fence"] - 1),
            *kept,
            Conversation.cancel_turn.remove(),
            Conversation.turn_count.add(1),
            *leave_branches(conversation),
        )
        if root is not None:
            touch_root(transaction, self.user_id, root, conversation, messages[-1].ts if messages else clock.now())
        if messages:
            transaction.on_commit(partial(_appended, conversation, messages))


def _appended(conversation: Conversation, messages: Sequence[Message]) -> None:
    conversation.last_message_at = messages[-1].ts
    conversation.message_count += len(messages)


def _begin(
    where: _Place,
    user_id: UserId,
    compose: Compose,
    *,
    window: int,
    lease: timedelta,
    announced: bool,
    kept: bool,
    retention_days: int | None,
    quota: Quota | None,
    once: Once | None,
) -> Begun:
    number_value("window", window, 0, MAX_LIMIT - 1)
    checked_days(retention_days)
    if not isinstance(lease, timedelta) or abs(lease) > _LONGEST_LEASE:
        raise InvalidValue("lease", "must be a duration of up to a day")
    for attempt in range(MAX_ATTEMPTS):
        opened = where.open(window)
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
        fields: dict[str, Any] = {}
        if retention_days != conversation.retention_days:
            fields["retention_days"] = conversation.retention_days = retention_days
        drafts = compose(opened.messages)
        messages = place(conversation, [replace(draft, turn_id=turn_id) for draft in drafts])
        fence = int(conversation.fence) + 1
        began = messages[0].ts if messages else None
        transaction = Transaction()
        claim = None
        if quota is not None:
            seen = (opened.messages, messages, opened.more)
            claim = quota.claim(transaction, (conversation.conversation_id, turn_id), started, seen)
            if claim:
                fields["lease_claim"] = [claim.day, claim.tokens]
        # A branch is in no index, by which a turn without a record is found.
        announced = announced or conversation.root_id is not None
        held = Lease(turn_id, user_id, conversation, fence, started, announced, began, claim, kept)
        if announced:
            record_turn(transaction, held.turn, named=bool(messages))
        if once:
            once.add(transaction, turn_id)
        fields |= {"fence": fence, "lease_turn": turn_id, "lease_expires_at": moment + lease}
        where.add(transaction, conversation, messages, fields)
        try:
            transaction.commit()
        except ConditionFailed as failed:
            if PARENT in failed.parts:
                raise ItemNotFound("conversation") from failed
            if quota is not None and PART in failed.parts:
                quota = replace(quota, allowance=get(Allowance, user_id=user_id) or quota.allowance)
            pause(attempt)
            continue
        except PynamoDBException as error:
            raise BeginUncertain(held.turn, error) from error
        return Begun(held, opened.messages, tuple(messages), opened.more)
    raise Contended("Other writers kept changing this conversation; nothing was written.")
