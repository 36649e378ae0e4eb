"""Completions: answers of agents of which nothing is stored but the tokens, for usage sums and limits.

A completion has no conversation, so it has no lease either: it takes its slot among the user's running turns for a
limited time. If its worker dies, the slot is free after that time; the reserved tokens stay claimed, because the user
may have received the answer.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.users import is_active
from models.allowance import Allowance, Claim, Quota, settle_reservation, slot_until
from models.idempotency import IdempotencyRecord
from models.table import clock
from models.table.errors import Contended, ItemNotFound
from models.table.ids import new_id
from models.table.reading import get
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.turn import ID_PREFIX, TurnCount
from models.user import User

SLOT_KEPT = timedelta(minutes=15)
"""How long a completion counts among its user's running turns at most; OpenAI's clients wait ten minutes."""

_END_ATTEMPTS = 40
_RECORD = "record"


@dataclass(frozen=True)
class BegunCompletion:
    """A completion that has begun: its id, which is a turn's, and what it has claimed of its user's allowance, if any.

    `slot` is its place among the user's running turns; `once` the request's idempotency key, whose record has no answer
    yet.
    """

    turn_id: str
    user_id: UserId
    started_at: datetime
    slot: tuple[str, str]
    claim: Claim | None = None
    once: Once | None = None


def new_completion(user_id: UserId) -> BegunCompletion:
    """Return a completion that claims nothing and has no idempotency key; nothing is written before it ends."""
    started = clock.now()
    turn_id = new_id(ID_PREFIX, started)
    return BegunCompletion(turn_id, user_id, started, (slot_until(clock.table_now() + SLOT_KEPT), turn_id))


@access_pattern(
    "AP-84",
    "Begin a completion",
    question="May this user have another answer, of which nothing is stored? With limits or an idempotency key.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", User, optional=True),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Update", Allowance, optional=True),
            ),
        ),
        Request("GetItem", (Allowance,), consistent=True, optional=True),
    ),
    budget=Budget(
        1,
        0,
        2,
        "an allowance of up to 1 KB; one more GetItem if others claim at the same time; 4 WCU for an idempotency key",
    ),
    routes=(
        "POST /v1/chat/completions with a limit, or with an Idempotency-Key",
        "POST /v1/responses with a limit, or with an Idempotency-Key",
    ),
)
def begin_completion(user_id: UserId, quota: Quota | None, once: Once | None = None) -> BegunCompletion:
    """Claim the most that a completion may use of its user's allowance, and its request's idempotency key.

    Args:
        user_id: the calling user.
        quota: the user's limits, if any.
        once: the request's idempotency key, if any. Its record is kept as long as the slot, so that a dead worker does
            not block the key for longer.

    Raises:
        LimitReached: the claim would exceed one of the user's limits; nothing was written.
        ItemNotFound: with an idempotency key, the user is being deleted; nothing was written.
        DoneBefore: another request with the same idempotency key runs, or has been answered; nothing was written.
        Contended: lost the race against other writers too often; nothing was written.
    """
    for attempt in range(MAX_ATTEMPTS):
        begun = new_completion(user_id)
        transaction = Transaction()
        claim = None
        if quota is not None:
            claim = quota.claim(transaction, begun.slot, begun.started_at, ((), (), False))
        if once is not None:
            transaction.check("user", User.from_key(user_id=user_id), is_active())
            once.announce(transaction, begun.turn_id, SLOT_KEPT)
        try:
            transaction.commit()
        except ConditionFailed as failed:
            if "user" in failed.parts:
                raise ItemNotFound("user") from failed
            if quota is not None:
                quota = replace(quota, allowance=get(Allowance, user_id=user_id) or quota.allowance)
            pause(attempt)
            continue
        return replace(begun, claim=claim, once=once)
    raise Contended("Other turns of this user kept claiming the allowance; nothing was written.")


@access_pattern(
    "AP-85",
    "End a completion",
    question="Count the tokens of an answer of which nothing else is stored.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", User),
                Write("Delete", IdempotencyRecord, optional=True),
                Write("Put", TurnCount, optional=True),
                Write("Update", Allowance, optional=True),
                Write("Update", IdempotencyRecord, optional=True),
            ),
        ),
    ),
    budget=Budget(1, 0, 4, "a profile of up to 1 KB; 2 WCU more with limits, 2 to 4 with an idempotency key"),
    routes=("POST /v1/chat/completions", "POST /v1/responses"),
)
def end_completion(
    begun: BegunCompletion, agent_id: str, model: str, tokens: tuple[int, int] | None, answer: str | None = None
) -> None:
    """Count a completion's tokens, settle its claim and store its answer with its idempotency key, all or nothing.

    Args:
        begun: the completion.
        agent_id: the agent that answered.
        model: the provider's name for the model.
        tokens: those of the input and of the output; None if none were used.
        answer: what a repeated request gets, encrypted; None leaves the idempotency key free.

    Raises:
        ItemNotFound: the user is being deleted; nothing was written.
        ItemTooLarge: the answer is too large to be stored with the idempotency key; nothing was written.
        Contended: lost the race against other writers too often; nothing was written.
    """
    try:
        _end(begun, agent_id, model, tokens, answer, once=begun.once)
    except ConditionFailed as failed:
        if _RECORD not in failed.parts:
            raise ItemNotFound("user") from failed
        # The record has expired, and perhaps belongs to another request by now.
        try:
            _end(begun, agent_id, model, tokens, None, once=None)
        except ConditionFailed as again:
            raise ItemNotFound("user") from again


def _end(
    begun: BegunCompletion,
    agent_id: str,
    model: str,
    tokens: tuple[int, int] | None,
    answer: str | None,
    *,
    once: Once | None,
) -> None:
    transaction = Transaction()
    # What is written after the user's data was removed would stay for ever.
    transaction.check("user", User.from_key(user_id=begun.user_id), is_active())
    if tokens is not None:
        count = TurnCount(user_id=begun.user_id, turn_id=begun.turn_id, agent_id=agent_id, model=model)
        count.input_tokens, count.output_tokens = tokens
        transaction.put("count", count)
    if once is not None and answer is not None:
        once.conclude(transaction, _RECORD, begun.turn_id, answer)
    elif once is not None:
        once.withdraw(transaction, _RECORD, begun.turn_id)
    if begun.claim is not None:
        settle_reservation(transaction, begun.user_id, begun.slot, begun.claim, sum(tokens or ()))
    transaction.commit(_END_ATTEMPTS if begun.claim is not None else MAX_ATTEMPTS)
