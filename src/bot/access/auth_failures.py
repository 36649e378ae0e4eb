"""Failed authentication: recorded in the log only, and at a bounded rate, whoever tries.

The audit trail has no such records, or anybody could fill the table (docs/decisions/0029). A log line has the reason,
the route and the address, but never the credential or any part of it.
"""

import logging
from collections import Counter
from threading import Lock

from bot.errors import AuthFailure

log = logging.getLogger(__name__)

# Lines per minute and process. Attempts beyond that are only counted by reason, and logged together in one line.
MOST_OF_AN_ADDRESS = 10
MOST = 120

# Every well-behaved client causes these now and then.
_ORDINARY: frozenset[AuthFailure] = frozenset({"no_credential", "expired_key", "token_expired"})


class AuthFailureLog:
    """Logs refused attempts, and counts those beyond the limit; one per process."""

    def __init__(self) -> None:
        """Start with nothing logged."""
        self._logged: Counter[str | None] = Counter()
        self._counted: Counter[AuthFailure] = Counter()
        self._lock = Lock()

    def note(self, reason: AuthFailure, route: str, address: str | None, request_id: str) -> None:
        """Log a refused attempt, or only count it if this minute's lines are used up. Sends no request."""
        with self._lock:
            if self._logged[address] >= MOST_OF_AN_ADDRESS or self._logged.total() >= MOST:
                self._counted[reason] += 1
                return
            self._logged[address] += 1
        fields = {"reason": reason, "route": route, "address": address, "request_id": request_id}
        log.log(
            logging.INFO if reason in _ORDINARY else logging.WARNING,
            "refused %s",
            " ".join(f"{name}={value}" for name, value in fields.items()),
            extra={"refused": fields},
        )

    def flush(self) -> None:
        """Begin a new minute, and log how many attempts of the last one were only counted."""
        with self._lock:
            counted, self._counted = dict(self._counted), Counter()
            self._logged.clear()
        if counted:
            log.warning(
                "refused %d more: %s",
                sum(counted.values()),
                " ".join(f"{reason}={count}" for reason, count in sorted(counted.items())),
                extra={"refused_more": counted},
            )
