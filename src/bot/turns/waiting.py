"""Waiting for a conversation on which a turn runs, instead of being refused."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from models.access_patterns.conversations import get_conversation
from models.access_patterns.turn_errors import LeaseExpired, LeaseHeld
from models.access_patterns.turn_states import reconcile_turn
from models.table.tenancy import UserId

T = TypeVar("T")

_SHORTEST_PAUSE = 0.1
_LONGEST_PAUSE = 0.5


def when_free(begin: Callable[[], T], user_id: UserId, conversation_id: str, seconds: float) -> T:
    """Return what `begin` gives; where a turn holds the conversation, wait up to `seconds` for its end.

    Meanwhile the header is read a few times a second, and `begin` is tried again when no lease is held. Who waits is
    not in a queue: of several, any may come first. A turn whose worker died is reconciled, and waited for no longer.

    Cost: AP-31, 1 GetItem for each look; AP-54 after a dead worker.

    Raises:
        LeaseHeld: the time is up.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return begin()
        except LeaseExpired as found:
            reconcile_turn(found.turn)
        except LeaseHeld:
            busy = True
            while busy:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                # At random, so that those who wait do not all come at once.
                time.sleep(min(left, random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)))  # noqa: S311 - not a secret
                busy = get_conversation(user_id, conversation_id).leased()
