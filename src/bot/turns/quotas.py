"""A user's quotas for turns: claimed when a turn begins, and not used up by turns whose worker died."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from models.access_patterns.allowances import get_allowance, release_ended_turns
from models.access_patterns.turn_states import reconcile_turn
from models.allowance import Limits, Quota
from models.message import Message
from models.table.errors import LimitReached
from models.table.tenancy import UserId

T = TypeVar("T")

ANSWER_TOKENS = 2048
"""The longest answer of an agent that sets no `max_tokens`, if tokens are limited: the reservation must be enough."""

Estimate = Callable[[Sequence[Message], Sequence[Message], bool], int]


class Quotas:
    """The deployment's limits for turns; one per process."""

    def __init__(self, limits: Limits) -> None:
        """Take the default limits of a user; if they are all unlimited, nothing is claimed or read."""
        self.limits = limits

    def begun(self, user_id: UserId, estimate: Estimate, begin: Callable[[Quota | None], T]) -> T:
        """Return the result of `begin`, called with the quota to claim, or None without limits.

        Before a turn is refused, orphaned turns are reconciled, and their claims released.

        Cost: nothing without limits; AP-80 with them; at a limit AP-82, and AP-54 for each orphaned turn.

        Raises:
            LimitReached: the user's allowance does not permit this turn.
        """
        if not self.limits.any:
            return begin(None)
        try:
            return begin(self._quota(user_id, estimate))
        except LimitReached:
            orphans, freed = release_ended_turns(user_id)
            for turn in orphans:
                reconcile_turn(turn)
            if not orphans and not freed:
                raise
        return begin(self._quota(user_id, estimate))

    def _quota(self, user_id: UserId, estimate: Estimate) -> Quota:
        allowance = get_allowance(user_id)
        return Quota(allowance, self.limits.but(allowance.limits), estimate)
