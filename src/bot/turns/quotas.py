"""What a user's turns may take: claimed when a turn begins, and never refused for the sake of the dead."""

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
"""The longest answer of an agent that sets no `max_tokens`, where tokens are limited: what is reserved has to be
enough."""

Estimate = Callable[[Sequence[Message], Sequence[Message], bool], int]


class Quotas:
    """The deployment's limits for turns; one for a process."""

    def __init__(self, limits: Limits) -> None:
        """Take the `limits` of a user without own ones; where there is none at all, nothing is claimed or read."""
        self.limits = limits

    def begun(self, user_id: UserId, estimate: Estimate, begin: Callable[[Quota | None], T]) -> T:
        """Return what `begin` gives, with what it needs to claim.

        Before a turn is refused, those that hold the allowance are looked after: the places of dead ones are freed.

        Cost: nothing without limits; AP-80 with them; at a limit AP-82, and AP-54 for each dead turn.

        Raises:
            LimitReached: the user's allowance does not hold another turn, or not this one.
        """
        if not self.limits.any:
            return begin(None)
        try:
            return begin(self._quota(user_id, estimate))
        except LimitReached:
            dead, freed = release_ended_turns(user_id)
            for turn in dead:
                reconcile_turn(turn)
            if not dead and not freed:
                raise
        return begin(self._quota(user_id, estimate))

    def _quota(self, user_id: UserId, estimate: Estimate) -> Quota:
        allowance = get_allowance(user_id)
        return Quota(allowance, self.limits.but(allowance.limits), estimate)
