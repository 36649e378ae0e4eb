"""How often, and for how long, something is tried again that DynamoDB put off, and how long is waited in between."""

import random
import time
from contextvars import ContextVar, Token

from models.table.errors import Contended

MAX_ATTEMPTS = 10
PATIENCE = 15.0
"""Seconds after which one call of an access pattern tries nothing again, however few its attempts were."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.4

_since: ContextVar[float | None] = ContextVar("trying_since", default=None)


def begin() -> Token[float | None]:
    """Count the time that may be spent on trying again from now on."""
    return _since.set(time.monotonic())


def end(token: Token[float | None]) -> None:
    """Count as before."""
    _since.reset(token)


def pause(attempt: int) -> None:
    """Wait before the next try: a random time that doubles at most with each `attempt`, from 10 ms to 0.4 s.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter)

    Raises:
        Contended: it has been tried for 15 seconds.
    """
    since = _since.get()
    if since is not None and time.monotonic() - since > PATIENCE:
        raise Contended("DynamoDB kept putting this off; try again.")
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))  # noqa: S311 - not a secret
