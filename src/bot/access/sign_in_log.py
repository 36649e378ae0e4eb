"""Sign-ins: the first use of a key, or of a token, on a day and from an address.

There is no login to record, because every request carries a credential. The closest to one is the first request of a
day from an address. It is logged at once, and the thread that records key uses adds it to the audit trail, so no
request waits for that. Each server process counts separately.
"""

import logging
from collections import OrderedDict
from datetime import date
from threading import Lock

from bot.access.callers import Caller
from models.access_patterns.audit import record_event
from models.access_patterns.audit_records import Actor
from models.table import clock
from models.table.tenancy import UserId

log = logging.getLogger(__name__)

_MOST = 50_000
_MOST_WAITING = 10_000


class SignInLog:
    """Remembers who was seen, and collects the records still to be written; one per process."""

    def __init__(self) -> None:
        """Start with nobody seen."""
        self._seen: OrderedDict[tuple[str, str | None, str | None], date] = OrderedDict()
        self._waiting: list[tuple[UserId, Actor]] = []
        self._lock = Lock()

    def note(self, caller: Caller, actor: Actor) -> None:
        """Note that a caller was authenticated. Sends no request."""
        seen = (caller.user_id, caller.key_id, actor.address)
        today = clock.now().date()
        with self._lock:
            if self._seen.get(seen) == today:
                return
            self._seen[seen] = today
            self._seen.move_to_end(seen)
            if len(self._seen) > _MOST:
                self._seen.popitem(last=False)
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append((caller.user_id, actor))
        log.info("signed in: %s with %s from %s", caller.user_id, caller.key_id or "a token", actor.address)

    def flush(self) -> None:
        """Store the noted sign-ins; a failed one is retried in the next round.

        Cost: AP-90 for each.
        """
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for position, (user_id, actor) in enumerate(waiting):
            try:
                record_event(user_id, "signed_in", actor.key_id, actor=actor)
            except Exception:  # for example, the table is unavailable; no request may fail because of that
                log.warning("could not record %d sign-ins yet", len(waiting) - position, exc_info=True)
                with self._lock:
                    self._waiting[:0] = waiting[position:]
                return
