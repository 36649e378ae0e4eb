"""Cleans up turns that this process abandoned because DynamoDB did not answer, and that may still hold their leases."""

import logging
import threading
import time
from dataclasses import dataclass

from models.access_patterns.turn_states import reconcile_turn
from models.table.errors import ItemNotFound
from models.turn import Turn

log = logging.getLogger(__name__)

# Each pause is twice the previous one, because a write that was given up may still arrive.
_FIRST_PAUSE = 0.5
_MOST = 1000
# How long a process that stops waits for an attempt in progress.
_PATIENCE_SECONDS = 5.0

THREAD_NAME = "recovery"


@dataclass
class _Abandoned:
    turn: Turn
    why: str
    until: float
    due: float
    pause: float


class TurnRecovery:
    """Ends abandoned turns and frees their conversations, in the background.

    It does so as soon as DynamoDB answers again, and gives up when the turn's lease must have expired: then the next
    request for the conversation does it. It has one thread, which runs only while there are abandoned turns.
    """

    def __init__(self, lease: float, *, first_pause: float = _FIRST_PAUSE) -> None:
        """Take, in seconds, how long a lease lasts and the pause before the first attempt."""
        self._lease = lease
        self._first_pause = first_pause
        self._abandoned: list[_Abandoned] = []
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._stopped = False
        self._thread: threading.Thread | None = None

    def abandon(self, turn: Turn, why: str) -> None:
        """End a turn that this process no longer runs, if it turns out to hold its conversation.

        Args:
            turn: the turn; its lease is no longer renewed.
            why: the reason, a sentence that is stored on the turn.

        Cost: AP-54, repeated after growing pauses until DynamoDB has answered and the turn exists.
        """
        now = time.monotonic()
        abandoned = _Abandoned(turn, why, now + self._lease, now + self._first_pause, self._first_pause)
        with self._lock:
            if self._stopped or len(self._abandoned) >= _MOST:
                return
            self._abandoned.append(abandoned)
            self._wake.notify()
            if self._thread is None:
                # A daemon, so that it never delays the end of the process: a lease that nobody renews expires.
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop; the remaining leases expire."""
        with self._lock:
            self._stopped = True
            self._wake.notify()
            thread = self._thread
        if thread is not None:
            thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while (due := self._next()) is not None:
            done = self._reconciled(due)
            with self._lock:
                now = time.monotonic()
                due.pause *= 2
                due.due = now + due.pause
                if done or due.due > due.until:
                    self._abandoned.remove(due)

    def _next(self) -> _Abandoned | None:
        """Wait until the next turn is due and return it; None if none is left, which ends the thread."""
        with self._lock:
            while self._abandoned and not self._stopped:
                first = min(self._abandoned, key=lambda each: each.due)
                left = first.due - time.monotonic()
                if left <= 0:
                    return first
                self._wake.wait(left)
            self._thread = None
            return None

    def _reconciled(self, abandoned: _Abandoned) -> bool:
        turn_id = abandoned.turn.turn_id
        try:
            found = reconcile_turn(abandoned.turn, abandoned=abandoned.why)
        except ItemNotFound:
            # It did not begin, or not yet.
            return False
        except Exception as error:
            log.warning("could not reconcile the abandoned turn %s: %s", turn_id, error)
            return False
        log.info("the abandoned turn %s is %s", turn_id, found.status)
        return found.status != "running"
