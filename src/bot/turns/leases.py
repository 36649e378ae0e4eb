"""Keeps the leases of this process's running turns alive, and hears who wants one to stop.

One thread says what is due and asks DynamoDB nothing itself; what it says is done by others. So a request that hangs
holds up its own lease, and no other.
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
"""How often a turn that runs longer than this is looked up: has anybody cancelled it?"""

RENEWALS_AT_ONCE = 16
"""A renewal takes some milliseconds, so one thread would do for all leases of a process, and without trouble there are
no more than a few. The others are for requests that hang. One on a dead connection does so for 10 seconds (the client's
timeout) before it is tried on another; a lease of 30 seconds has 20 from when it is due, so 16 threads bring 32 such
renewals through in time. It is half of the connections that the client keeps beside those of the requests."""

THREAD_NAME = "lease-keeper"


@dataclass(eq=False)
class Held:
    """A lease that is being kept. `lost`: another worker has the conversation; `cancelled`: the turn shall stop.

    `renewed` is when the request of its last renewal went out; `renewing`, whether one is on its way.
    """

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)
    renewing: bool = False

    @property
    def shall_stop(self) -> bool:
        """Whether there is no use in going on."""
        return self.lost.is_set() or self.cancelled.is_set()


class LeaseKeeper:
    """Renews every held lease three times in its duration. A renewal that fails is tried again at the next beat."""

    def __init__(self, duration: float, *, beat: float | None = None) -> None:
        """Take how long a lease lasts, and how often the turns are looked after (`BEAT_SECONDS`); in seconds."""
        self.duration = timedelta(seconds=duration)
        self._beat = min(beat or BEAT_SECONDS, duration / 3)
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        # Their threads are made when they are needed.
        self._renewals = ThreadPoolExecutor(RENEWALS_AT_ONCE, thread_name_prefix=f"{THREAD_NAME}-renewal")
        self._looks = ThreadPoolExecutor(1, thread_name_prefix=f"{THREAD_NAME}-look")
        self._looking = False

    def hold(self, lease: Lease) -> Held:
        """Renew a lease from now on, until `release`."""
        held = Held(lease)
        with self._lock:
            self._held[lease.turn_id] = held
            if self._thread is None:
                # A daemon, so that it never holds up the end of the process: a lease that nobody renews runs out.
                self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
                self._thread.start()
        return held

    def release(self, lease: Lease) -> None:
        """Renew it no more."""
        with self._lock:
            self._held.pop(lease.turn_id, None)

    def held(self, lease: Lease) -> Held:
        """Return how a lease stands that is held here."""
        with self._lock:
            return self._held[lease.turn_id]

    def cancel(self, turn_id: str) -> None:
        """Have a turn stop at once if it runs in this process; elsewhere the next beat hears it."""
        with self._lock:
            held = self._held.get(turn_id)
        if held is not None:
            held.cancelled.set()

    def close(self) -> None:
        """Stop to renew. A request that is on its way is not waited for: its thread ends with it."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for pool in (self._renewals, self._looks):
            pool.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._stop.wait(self._beat):
            with self._lock:
                running = list(self._held.values())
            now = time.monotonic()
            # Where they have to wait for a thread, the one that expires first comes first. Each moment is read once, so
            # that what is due and in which order is one view of them.
            for renewed, held in sorted(((each.renewed, each) for each in running), key=itemgetter(0)):
                if not held.renewing and now - renewed >= self.duration.total_seconds() / 3:
                    held.renewing = True
                    self._renewals.submit(self._renew, held)
            longer = [held for held in running if now - held.since >= self._beat]
            if longer and not self._looking:
                self._looking = True
                self._looks.submit(self._listen, longer)

    def _renew(self, held: Held) -> None:
        try:
            if not self._holds(held):
                return
            started = time.monotonic()
            renew_lease(held.lease, self.duration)
            # The lease lasts from when its request was made, however late the answer came.
            held.renewed = started
        except LeaseLost:
            # A turn that ended while the renewal was on its way has given its lease back itself.
            if self._holds(held):
                held.lost.set()
        except Exception:  # the lease has more beats
            log.exception("could not renew the lease of %s", held.lease.turn_id)
        finally:
            held.renewing = False

    def _holds(self, held: Held) -> bool:
        with self._lock:
            return self._held.get(held.lease.turn_id) is held

    def _listen(self, running: list[Held]) -> None:
        try:
            shall_stop = cancelled_turns([held.lease.conversation.conversation_id for held in running])
            for held in running:
                if held.lease.turn_id in shall_stop:
                    held.cancelled.set()
        except Exception:
            log.warning("could not look for cancelled turns", exc_info=True)
        finally:
            self._looking = False
