"""Retries after conflicts, throttling and unprocessed items: how many, for how long, with which backoff."""

import random
import time
from contextvars import ContextVar, Token

from models.table.errors import Contended

MAX_ATTEMPTS = 10
PATIENCE = 15.0
"""Seconds after which one call of an access pattern retries nothing, even if it has attempts left."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.4

_since: ContextVar[float | None] = ContextVar("trying_since", default=None)


def begin() -> Token[float | None]:
    """Start the time limit for retries now."""
    return _since.set(time.monotonic())


def end(token: Token[float | None]) -> None:
    """Restore the previous time limit."""
    _since.reset(token)


def pause(attempt: int) -> None:
    """Wait before the next attempt: a random time whose maximum doubles with each `attempt`, from 10 ms up to 0.4 s.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter)

    Raises:
        Contended: the retries have taken 15 seconds.
    """
    since = _since.get()
    if since is not None and time.monotonic() - since > PATIENCE:
        raise Contended(f"It did not succeed within {PATIENCE:g} seconds of retries; try again.")
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))  # noqa: S311 - not a secret
