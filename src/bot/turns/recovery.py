"""Turns that this process abandoned while DynamoDB did not answer, and that may still hold their conversations."""

import logging
import threading
import time
from dataclasses import dataclass

from models.access_patterns.turn_states import reconcile_turn
from models.table.errors import ItemNotFound
from models.turn import Turn

log = logging.getLogger(__name__)

# Each look comes twice as long after the one before: a write that nobody waits for any more may still arrive.
_FIRST_PAUSE = 0.5
_MOST = 1000
# How long the end of a process waits for a look that is on its way.
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
    """Frees the conversations of abandoned turns, in the background.

    As soon as DynamoDB answers again, and for as long as the turn's lease can last: after that, whoever comes next does
    it. One thread, which is there as long as there is something to do.
    """

    def __init__(self, lease: float, *, first_pause: float = _FIRST_PAUSE) -> None:
        """Take how long a lease lasts, and what lies between a failure and the first look; in seconds."""
        self._lease = lease
        self._first_pause = first_pause
        self._abandoned: list[_Abandoned] = []
        self._lock = threading.Lock()
        self._wake = threading.Condition(self._lock)
        self._stopped = False
        self._thread: threading.Thread | None = None

    def abandon(self, turn: Turn, why: str) -> None:
        """End a turn that this process runs no more, if it turns out to hold its conversation.

        Args:
            turn: the turn; its lease is not renewed any more.
            why: is kept on the turn, as a sentence.

        Cost: AP-54, until DynamoDB has answered; while there is no such turn, again after pauses that grow.
        """
        now = time.monotonic()
        abandoned = _Abandoned(turn, why, now + self._lease, now + self._first_pause, self._first_pause)
        with self._lock:
            if self._stopped or len(self._abandoned) >= _MOST:
                return
            self._abandoned.append(abandoned)
            self._wake.notify()
            if self._thread is None:
                # A daemon, so that it never holds up the end of the process: a lease that nobody renews runs out.
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop to look; the leases that are left run out."""
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
        """Wait for the turn that is due next; None when there is none left, which ends the thread."""
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
            # It has not begun; or it has not yet.
            return False
        except Exception as error:
            log.warning("the abandoned turn %s cannot be read: %s", turn_id, error)
            return False
        log.info("the abandoned turn %s is %s", turn_id, found.status)
        return found.status != "running"
