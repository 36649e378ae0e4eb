"""Keeps the leases of this process's running turns alive, and hears who wants one to stop; one thread for all."""

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

from models.access_patterns.turn_states import cancelled_turns
from models.access_patterns.turns import Lease, renew_lease
from models.errors import LeaseLost

log = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
"""How often a turn that runs longer than this is looked up: has anybody cancelled it?"""


@dataclass(eq=False)
class Held:
    """A lease that is being kept. `lost`: another worker has the conversation; `cancelled`: the turn shall stop."""

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)
    cancelled: threading.Event = field(default_factory=threading.Event)
    since: float = field(default_factory=time.monotonic)
    renewed: float = field(default_factory=time.monotonic)

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
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, lease: Lease) -> Held:
        """Renew a lease from now on, until `release`."""
        held = Held(lease)
        with self._lock:
            self._held[lease.turn_id] = held
            if self._thread is None:
                # A daemon, so that it never holds up the end of the process: a lease that nobody renews runs out.
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
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
        """Stop to renew."""
        self._wake.set()

    def _run(self) -> None:
        while not self._wake.wait(self._beat):
            with self._lock:
                running = list(self._held.values())
            now = time.monotonic()
            for held in running:
                if now - held.renewed >= self.duration.total_seconds() / 3:
                    self._renew(held)
            self._listen([held for held in running if now - held.since >= self._beat])

    def _renew(self, held: Held) -> None:
        try:
            renew_lease(held.lease, self.duration)
            held.renewed = time.monotonic()
        except LeaseLost:
            # A turn that ended while the renewal was on its way has given its lease back itself.
            with self._lock:
                still_held = held.lease.turn_id in self._held
            if still_held:
                held.lost.set()
        except Exception:  # the keeper must outlive any single failure; the lease has more beats
            log.exception("could not renew the lease of %s", held.lease.turn_id)

    def _listen(self, running: list[Held]) -> None:
        if not running:
            return
        try:
            shall_stop = cancelled_turns([held.lease.conversation.conversation_id for held in running])
        except Exception:
            log.warning("could not look for cancelled turns", exc_info=True)
            return
        for held in running:
            if held.lease.turn_id in shall_stop:
                held.cancelled.set()
