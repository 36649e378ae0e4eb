"""Refused attempts to sign in: told in the log alone, and within bounds that nobody can make it pass.

The audit trail has none of them, or anybody could fill the table (docs/decisions/0029). What is told is why, on which
route and from where: never the credential, nor any part of it.
"""

import logging
from collections import Counter
from threading import Lock

from bot.errors import AuthFailure

log = logging.getLogger(__name__)

# Lines a minute of one process. An attempt beyond them is counted, and told with its reason in one line for all.
MOST_OF_AN_ADDRESS = 10
MOST = 120

# Every client that is in order meets these once in a while.
_ORDINARY: frozenset[AuthFailure] = frozenset({"no_credential", "expired_key", "token_expired"})


class AuthFailureLog:
    """Tells refused attempts, and counts those that are too many to tell; one for a process."""

    def __init__(self) -> None:
        """Start with nothing told."""
        self._told: Counter[str | None] = Counter()
        self._counted: Counter[AuthFailure] = Counter()
        self._lock = Lock()

    def note(self, reason: AuthFailure, route: str, address: str | None, request_id: str) -> None:
        """Tell that somebody was not let in, or count it where this minute has had enough lines. Costs nothing."""
        with self._lock:
            if self._told[address] >= MOST_OF_AN_ADDRESS or self._told.total() >= MOST:
                self._counted[reason] += 1
                return
            self._told[address] += 1
        fields = {"reason": reason, "route": route, "address": address, "request_id": request_id}
        log.log(
            logging.INFO if reason in _ORDINARY else logging.WARNING,
            "refused %s",
            " ".join(f"{name}={value}" for name, value in fields.items()),
            extra={"refused": fields},
        )

    def flush(self) -> None:
        """Begin a new minute, and tell how many attempts of the last one were counted and not told."""
        with self._lock:
            counted, self._counted = dict(self._counted), Counter()
            self._told.clear()
        if counted:
            log.warning(
                "refused %d more: %s",
                sum(counted.values()),
                " ".join(f"{reason}={count}" for reason, count in sorted(counted.items())),
                extra={"refused_more": counted},
            )
