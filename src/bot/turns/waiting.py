"""Waits for the turn that runs on a conversation to end, instead of refusing the request."""

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
    """Return the result of `begin`; if a turn holds the conversation's lease, wait up to `seconds` for its end.

    The header is read a few times a second, and `begin` is retried when no lease is held. There is no queue: of several
    waiting requests, any may come first. A turn whose worker died is reconciled and no longer waited for.

    Cost: AP-31, 1 GetItem for each check; AP-54 after a dead worker.

    Raises:
        LeaseHeld: the lease is still held after that time.
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
                # With jitter, so that waiting requests do not all retry at once.
                time.sleep(min(left, random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)))  # noqa: S311 - not a secret
                busy = get_conversation(user_id, conversation_id).leased()
