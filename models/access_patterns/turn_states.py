"""A turn's status: looked up by id while it runs or later, cancelled, and reconciled when its worker died."""

from collections.abc import Sequence
from datetime import timedelta

from pynamodb.exceptions import UpdateError

from models.access_patterns.conversations import LISTING_INTERVAL
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.orphans import WORKER_STOPPED, record_orphan, running_turn
from models.allowance import Allowance, Claim, settle_reservation
from models.conversation import Conversation
from models.table import clock
from models.table.changes import condition_failed
from models.table.errors import ItemNotFound
from models.table.ids import moment_of
from models.table.reading import get, get_many, query
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.turn import ID_PREFIX, Turn, TurnCount, TurnEntry, TurnEvents

_CANCEL = "POST /api/v1/turns/{turn_id}/cancel"
_FOLLOW = ("GET /api/v1/turns/{turn_id}/events", "GET /api/v1/conversations/{conversation_id}/events")
_BEGIN = (
    "POST /api/v1/conversations/{conversation_id}/messages with an orphaned turn",
    "POST /api/v1/conversations/{conversation_id}/turns with an orphaned turn",
    "POST /v1/chat/completions with a limit that is reached, and an orphaned turn",
    "POST /v1/responses with a limit that is reached, and an orphaned turn",
)
_READ = "GET /api/v1/turns/{turn_id}"
_AGAIN = (
    "POST /api/v1/conversations/{conversation_id}/messages with an Idempotency-Key",
    "POST /api/v1/conversations/{conversation_id}/turns with an Idempotency-Key",
    "POST /api/v1/conversations/{conversation_id}/branches with an Idempotency-Key",
)
# A turn's message updates its conversation's index keys, unless they were updated less than this before.
_MARGIN = LISTING_INTERVAL + timedelta(seconds=5)
_BATCH = 100


@access_pattern(
    "AP-53",
    "Turn by id",
    question="What is the status of this turn?",
    requests=(
        Request("GetItem", (Turn,), consistent=True),
        Request(
            "Query",
            (Conversation,),
            index="conversations_by_user",
            sort_key="between active#{listed_at} and active#{listed_at}",
            order="ascending",
            page="100",
            optional=True,
        ),
        Request("BatchGetItem", (Conversation,), optional=True),
    ),
    budget=Budget(3, 2, 0, "a plain turn that is running; 1 request and 1 RCU for a turn of up to 4 KB with a record"),
    routes=(_READ, *_FOLLOW, _CANCEL, *_AGAIN),
)
def get_turn(user_id: UserId, turn_id: str) -> Turn:
    """Return a turn of this user.

    A plain turn has no record while it runs, only the lease on its conversation's header. Its conversation is listed
    as active since at most a minute before the turn began, and the turn's id carries that time, so the search covers
    only a few conversations.

    Raises:
        ItemNotFound: the user has no such turn.
    """
    turn: Turn | None = get(Turn, user_id=user_id, turn_id=turn_id)
    return turn or _unannounced(user_id, turn_id)


def _unannounced(user_id: UserId, turn_id: str) -> Turn:
    began = moment_of(turn_id, ID_PREFIX)
    if began is None or clock.now() - began > timedelta(days=1):
        raise ItemNotFound("turn")
    since = clock.to_timestamp(began - _MARGIN)
    after = None
    while True:
        page = query(
            user_id,
            Conversation.user_activity.between(f"active#{since}", "active#~"),
            index="conversations_by_user",
            entity=Conversation,
            limit=_BATCH,
            after=after,
        )
        headers = get_many([Conversation.from_key(conversation_id=each.conversation_id) for each in page.items])
        for header in headers:
            if header is not None and header.user_id == user_id and header.lease_turn == turn_id:
                return running_turn(header)
        if not page.more:
            raise ItemNotFound("turn")
        last = page.items[-1]
        after = {"PK": last.PK, "SK": last.SK, "user_id": last.user_id, "user_activity": last.user_activity}


@access_pattern(
    "AP-54",
    "Reconcile a turn",
    question="Is the worker of this running turn still alive?",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        Request("GetItem", (Turn,), consistent=True, optional=True),
        Request(
            "Query",
            (TurnEvents,),
            sort_key="SK > EVENT#{last}",
            consistent=True,
            order="ascending",
            page="100",
            optional=True,
        ),
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Turn, optional=True),
                Write("Put", TurnEntry, optional=True),
                Write("Put", TurnCount, optional=True),
                Write("Update", Turn, optional=True),
                Write("Update", Conversation),
                Write("Update", Allowance, optional=True),
            ),
            optional=True,
        ),
    ),
    budget=Budget(
        4, 3, 6, "an orphaned turn with up to 4 KB of streamed text; 1 request and 1 RCU while the lease holds"
    ),
    routes=(_READ, *_FOLLOW, _CANCEL, *_BEGIN, *_AGAIN),
)
def reconcile_turn(turn: Turn, *, abandoned: str | None = None) -> Turn:
    """Record a running turn as interrupted if its lease has expired, and free its conversation.

    Args:
        turn: the turn, with the status `running`.
        abandoned: why its own worker abandons it, as a sentence; then its lease need not have expired.

    Returns:
        The turn with its current status; unchanged while it runs.

    Raises:
        ItemNotFound: it was deleted with its conversation.
    """
    header: Conversation | None = get(Conversation, conversation_id=turn.conversation_id)
    if header is None or header.user_id != turn.user_id:
        raise ItemNotFound("turn")
    if header.lease_turn != turn.turn_id:
        return _now_ended(turn)
    if abandoned is None and header.leased():
        return turn
    transaction = Transaction()
    recorded = record_orphan(transaction, header, abandoned or WORKER_STOPPED)
    expires_at = header.lease_expires_at
    transaction.update(
        "conversation",
        header,
        [
            Conversation.lease_turn.remove(),
            Conversation.lease_expires_at.remove(),
            Conversation.cancel_turn.remove(),
            *([Conversation.lease_claim.remove()] if header.lease_claim else []),
        ],
        (Conversation.lease_turn == turn.turn_id) & (Conversation.lease_expires_at == expires_at),
    )
    if header.lease_claim:
        # Its whole reservation is released, because what it used is unknown.
        settle_reservation(
            transaction, turn.user_id, (turn.conversation_id, turn.turn_id), Claim(*header.lease_claim), 0
        )
    try:
        transaction.commit()
    except ConditionFailed:
        # Its worker renewed the lease or ended the turn, or another process reconciled it.
        return get(Turn, user_id=turn.user_id, turn_id=turn.turn_id) or turn
    return recorded


def _now_ended(turn: Turn) -> Turn:
    found: Turn | None = get(Turn, user_id=turn.user_id, turn_id=turn.turn_id)
    if found is None:
        raise ItemNotFound("turn")
    return found


@access_pattern(
    "AP-55",
    "Cancel a turn",
    question="Stop this turn: I have heard enough.",
    requests=(Request("UpdateItem", (Conversation,)),),
    budget=Budget(1, 0, 1, "a header of up to 1 KB"),
    routes=(_CANCEL,),
)
def request_cancel(turn: Turn) -> bool:
    """Ask the worker of a running turn to stop. From then on the turn can no longer complete.

    Returns:
        Whether the turn was still running. Idempotent.
    """
    header = Conversation.from_key(conversation_id=turn.conversation_id)
    try:
        header.update(
            actions=[Conversation.cancel_turn.set(turn.turn_id)],
            condition=(Conversation.user_id == turn.user_id) & (Conversation.lease_turn == turn.turn_id),
        )
    except UpdateError as error:
        if condition_failed(error):
            return False
        raise
    return True


@access_pattern(
    "AP-59",
    "Check for cancellation requests",
    question="Has one of the turns that run in this process been cancelled?",
    requests=(Request("BatchGetItem", (Conversation,)),),
    budget=Budget(1, 0.5, 0, "a header of up to 4 KB; twice a second for each turn that takes longer than that"),
)
def cancelled_turns(conversation_ids: Sequence[str]) -> set[str]:
    """Return the ids of the cancelled turns among those that hold the leases of these conversations."""
    found = set()
    for start in range(0, len(conversation_ids), _BATCH):
        some = conversation_ids[start : start + _BATCH]
        for header in get_many([Conversation.from_key(conversation_id=each) for each in some]):
            if header is not None and header.cancel_turn is not None:
                found.add(header.cancel_turn)
    return found
