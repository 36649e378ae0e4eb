"""Renews the leases of this process's running turns, and checks whether one was cancelled.

One thread decides what is due and sends no request itself; other threads do. So a request that hangs delays only its
own lease.
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from operator import itemgetter

from models.access_patterns.turn_states import cancelled_turns
from models.access_patterns.turns import Lease, renew_lease
from models.table.errors import LeaseLost

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
"""How often a turn that runs longer than this is checked for a cancellation."""

RENEWALS_AT_ONCE = 16
"""A renewal takes some milliseconds, so normally one thread would do for all leases of a process. The others are for
requests that hang. On a dead connection one hangs for 10 seconds (the client's timeout) before it is retried on another
connection. A lease of 30 seconds has 20 left when its renewal is due, so 16 threads complete 32 such renewals in time.
This is half of the connections that the client has in addition to those for requests."""

THREAD_NAME = "lease-keeper"


@dataclass(eq=False)
class Held:
    """A lease that is being renewed. `lost`: another worker has the conversation; `cancelled`: the turn must stop.

    `renewed` is when the request of the last renewal was sent; `renewing`, whether one is in progress.
    """

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)
    renewing: bool = False

    @property
    def shall_stop(self) -> bool:
        """Whether the turn has been cancelled or has lost its lease."""
        return self.lost.is_set() or self.cancelled.is_set()


class LeaseKeeper:
    """Renews every held lease after a third of its duration. A renewal that fails is retried at the next beat."""

    def __init__(self, duration: float, *, beat: float | None = None) -> None:
        """Take, in seconds, how long a lease lasts and how often the turns are checked (`BEAT_SECONDS`)."""
        self.duration = timedelta(seconds=duration)
        self._beat = min(beat or BEAT_SECONDS, duration / 3)
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # These start their threads when needed.
        self._renewals = ThreadPoolExecutor(RENEWALS_AT_ONCE, thread_name_prefix=f"{THREAD_NAME}-renewal")
        self._checks = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_NAME}-check")
        self._checking = False

    def hold(self, lease: Lease) -> Held:
        """Keep renewing a lease until `release`."""
        held = Held(lease)
        with self._lock:
            self._held[lease.turn_id] = held
            if self._thread is None:
                # A daemon, so that it never delays the end of the process: a lease that nobody renews expires.
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()
        return held

    def release(self, lease: Lease) -> None:
        """Stop renewing a lease."""
        with self._lock:
            self._held.pop(lease.turn_id, None)

    def held(self, lease: Lease) -> Held:
        """Return the state of a lease that is held here."""
        with self._lock:
            return self._held[lease.turn_id]

    def cancel(self, turn_id: str) -> None:
        """Stop a turn at once if it runs in this process; another process notices at its next beat."""
        with self._lock:
            held = self._held.get(turn_id)
        if held is not None:
            held.cancelled.set()

    def close(self) -> None:
        """Stop renewing. A request in progress is not waited for; its thread ends with it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for pool in (self._renewals, self._checks):
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.wait(self._beat):
            with self._lock:
                running = list(self._held.values())
            now = time.monotonic()
            # If renewals have to wait for a thread, the lease that expires first is first. Each `renewed` is read once,
            # so that the order and the decision what is due are consistent.
            for renewed, held in sorted(((each.renewed, each) for each in running), key=itemgetter(0)):
                if not held.renewing and now - renewed >= self.duration.total_seconds() / 3:
                    held.renewing = True
                    self._renewals.submit(self._renew, held)
            longer = [held for held in running if now - held.since >= self._beat]
            if longer and not self._checking:
                self._checking = True
                self._checks.submit(self._check_cancelled, longer)

    def _renew(self, held: Held) -> None:
        try:
            if not self._still_held(held):
                return
            started = time.monotonic()
            renew_lease(held.lease, self.duration)
            # The lease counts from when the request was sent, however late the answer came.
            held.renewed = started
        except LeaseLost:
            # A turn that ended during the renewal has released its lease itself.
            if self._still_held(held):
                held.lost.set()
        except Exception:  # there are more beats before the lease expires
            log.exception("could not renew the lease of %s", held.lease.turn_id)
        finally:
            held.renewing = False

    def _still_held(self, held: Held) -> bool:
        with self._lock:
            return self._held.get(held.lease.turn_id) is held

    def _check_cancelled(self, running: list[Held]) -> None:
        try:
            shall_stop = cancelled_turns([held.lease.conversation.conversation_id for held in running])
            for held in running:
                if held.lease.turn_id in shall_stop:
                    held.cancelled.set()
        except Exception:
            log.warning("could not check for cancelled turns", exc_info=True)
        finally:
            self._checking = False
