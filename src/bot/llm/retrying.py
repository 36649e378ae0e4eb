"""Retries before an answer begins, within a limited time.

The SDK's own retries are off: it would sleep as long as a `Retry-After` says, up to two minutes each time, even if the
turn has been cancelled.
"""

import logging
import random
import time
from collections.abc import Mapping

from .failures import retry_after_seconds
from .interruption import sleep

log = logging.getLogger(__name__)

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 8.0
_JITTER = 0.25
_TRANSIENT = frozenset({408, 409, 429})


class Retries:
    """The retries of one request, in all its forms: how many are left, and until when one may start."""

    def __init__(self, most: int, seconds: float) -> None:
        """Allow `most` retries, all of which start within `seconds` from now."""
        self._most = most
        self._made = 0
        self._deadline = time.monotonic() + seconds

    def wait(self, headers: Mapping[str, str] | None = None) -> bool:
        """Wait for the next retry and return True, or return False at once if none may be made.

        `headers` are the provider's, if it answered: its Retry-After replaces our own delay.

        Raises:
            Interrupted: The reader was told to stop.
        """
        delay = retry_after_seconds(headers or {}) or self._delay()
        if self._made >= self._most or time.monotonic() + delay >= self._deadline:
            return False
        self._made += 1
        log.info("retrying in %.1f s (retry %d of %d)", delay, self._made, self._most)
        sleep(delay)
        return True

    def _delay(self) -> float:
        # The exponent is bounded, so that it cannot overflow.
        longest = min(_FIRST_DELAY * 2.0 ** min(self._made, 16), _LONGEST_DELAY)
        return longest * (1 - _JITTER * random.random())  # noqa: S311 - it spreads load and hides nothing


def is_transient(status: int, headers: Mapping[str, str]) -> bool:
    """Return whether a provider's error is transient: by `x-should-retry` if it was sent, else by the status."""
    said = headers.get("x-should-retry")
    return said == "true" if said in ("true", "false") else status in _TRANSIENT or status >= 500
