"""Allowance: how much a user may use, how much of it is claimed, and by which running turns.

A turn claims its estimated maximum before the model is called and settles the claim with its actual use. Limits are
conditions of the claiming write, so turns that begin at the same time cannot exceed them together.
"""

from calendar import monthrange
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pynamodb.attributes import UnicodeSetAttribute
from pynamodb.expressions.condition import Condition, size
from pynamodb.expressions.update import Action

from models.message import Message
from models.table.attributes import JsonMapAttribute, NumberMapAttribute
from models.table.changes import entry
from models.table.clock import from_timestamp, to_timestamp
from models.table.errors import LimitReached
from models.table.item import Item
from models.table.keys import Key, KeyField
from models.table.writing import Transaction

PART = "allowance"
# Ended turns can be settled on this many days; older periods are dropped.
_DAYS_KEPT = 3
_UNTIL = "until="


class Allowance(Item):
    """A user's own limits, which override the deployment's, and what is claimed of them.

    `tokens` has the tokens by day (`2026-11-22`) and month (`2026-11`), in UTC: those of ended turns, and the
    reservations of running ones. `running` has the running turns, each as `{conversation_id} {turn_id}`; a completion,
    which has no conversation, has `until={time}` instead (`slot_until`).
    """

    ENTITY = "Allowance"
    CHANGEABLE = ("limits",)

    PK = Key("USER#{user_id}", hash_key=True)
    # It sorts before PROFILE, so the removal of a user finds it.
    SK = Key("ALLOWANCE", range_key=True)

    user_id = KeyField()
    limits = JsonMapAttribute(default=dict)
    tokens = NumberMapAttribute(default=dict)
    running = UnicodeSetAttribute(null=True)


@dataclass(frozen=True)
class Limits:
    """A user's limits; None means unlimited. Days and months are in UTC."""

    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    turns_at_once: int | None = None

    def but(self, own: dict[str, Any]) -> "Limits":
        """Return these limits, overridden by a user's own."""
        known = {each.name for each in fields(self)}
        return replace(self, **{name: value for name, value in own.items() if name in known})

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return self != Limits()

    @property
    def of_tokens(self) -> bool:
        """Whether tokens are limited."""
        return self.tokens_per_day is not None or self.tokens_per_month is not None


@dataclass(frozen=True)
class Claim:
    """A turn's claim: tokens on this day (0 if tokens are not limited), and one slot for a running turn."""

    day: str
    tokens: int

    @property
    def periods(self) -> tuple[str, str]:
        """The day and its month."""
        return self.day, self.day[:7]


@dataclass(frozen=True)
class Quota:
    """What a turn needs to make its claim: the user's allowance as it was read, the limits, and an estimate.

    `estimate` takes the stored messages, the messages that begin the turn, and whether older ones exist; it returns the
    maximum number of tokens that the turn may use.
    """

    allowance: Allowance
    limits: Limits
    estimate: Callable[[Sequence[Message], Sequence[Message], bool], int]

    def claim(
        self,
        transaction: Transaction,
        running: tuple[str, str],
        moment: datetime,
        messages: tuple[Sequence[Message], Sequence[Message], bool],
    ) -> Claim:
        """Add a turn's claim to a transaction, with the condition that it stays within the limits.

        Args:
            transaction: the transaction that begins the turn; the part is called `allowance`.
            running: the ids of the conversation and the turn.
            moment: the current time.
            messages: the arguments of `estimate`.

        Raises:
            LimitReached: the allowance, as it was read, already leaves no room.
        """
        tokens = max(1, self.estimate(*messages)) if self.limits.of_tokens else 0
        claim = Claim(moment.astimezone(UTC).date().isoformat(), tokens)
        condition = self._within_limits(claim)
        actions: list[Action] = [Allowance.running.add({" ".join(running)})]
        if tokens:
            for period in claim.periods:
                path = entry(Allowance.tokens, period)
                actions.append(path.set((path | 0) + tokens))
            actions += [entry(Allowance.tokens, period).remove() for period in self._old_periods(moment)]
        transaction.update(PART, self.allowance, actions, condition)
        return claim

    def _within_limits(self, claim: Claim) -> Condition:
        condition: Condition = Allowance.PK.exists()
        wanted = zip(("tokens_per_day", "tokens_per_month"), claim.periods, strict=True)
        for name, period in wanted if claim.tokens else ():
            limit = getattr(self.limits, name)
            if limit is None:
                continue
            used = int((self.allowance.tokens or {}).get(period, 0))
            if used + claim.tokens > limit:
                raise LimitReached(name, limit, used, claim.tokens, period_end(period))
            path = entry(Allowance.tokens, period)
            condition &= path.does_not_exist() | (path <= limit - claim.tokens)
        if (most := self.limits.turns_at_once) is not None:
            running = len(self.allowance.running or ())
            if running >= most:
                raise LimitReached("turns_at_once", most, running, 1, None)
            taken = size(Allowance.running)  # type: ignore[no-untyped-call]
            condition &= Allowance.running.does_not_exist() | (taken < most)
        return condition

    def _old_periods(self, moment: datetime) -> list[str]:
        oldest = (moment - timedelta(days=_DAYS_KEPT)).date().isoformat()
        return [period for period in self.allowance.tokens or {} if period < oldest[: len(period)]]


def settle_reservation(
    transaction: Transaction, user_id: str, running: tuple[str, str], claim: Claim, used: int
) -> None:
    """Add to a transaction the update that replaces a turn's reserved tokens by those it used, and frees its slot."""
    actions: list[Action] = [Allowance.running.delete({" ".join(running)})]
    for period in claim.periods if claim.tokens else ():
        path = entry(Allowance.tokens, period)
        actions.append(path.set((path | claim.tokens) + (used - claim.tokens)))
    transaction.update(PART, Allowance.from_key(user_id=user_id), actions, Allowance.PK.exists())


def slot_until(moment: datetime) -> str:
    """Return what a completion has among the running turns instead of a conversation: until when its slot is kept."""
    return f"{_UNTIL}{to_timestamp(moment)}"


def kept_until(name: str) -> datetime | None:
    """Return until when a slot is kept; None for a turn, whose conversation decides that."""
    return from_timestamp(name.removeprefix(_UNTIL)) if name.startswith(_UNTIL) else None


def period_end(period: str) -> datetime:
    """Return when a day or a month ends."""
    if len(period) == len("2026-11-22"):
        return datetime.fromisoformat(period).replace(tzinfo=UTC) + timedelta(days=1)
    first = datetime.fromisoformat(f"{period}-01").replace(tzinfo=UTC)
    return first + timedelta(days=monthrange(first.year, first.month)[1])
