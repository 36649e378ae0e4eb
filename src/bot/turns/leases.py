"""Keeps the leases of this process's running turns alive, from one thread for all of them."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from models.access_patterns.turns import Lease, renew_lease
from models.errors import LeaseLost

log = logging.getLogger(__name__)


@dataclass
class Held:
    """A lease that is being kept; `lost` is set when another worker has taken the conversation."""

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)


class LeaseKeeper:
    """Renews every held lease three times in its duration. A renewal that fails is tried again at the next beat."""

    def __init__(self, duration: float) -> None:
        """Take the leases' `duration` in seconds."""
        self.duration = timedelta(seconds=duration)
        self._beat = duration / 3
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, lease: Lease) -> Iterator[Held]:
        """Renew a lease for as long as the block runs."""
        held = Held(lease)
        with self._lock:
            self._held[lease.turn_id] = held
            if self._thread is None:
                # A daemon, so that it never holds up the end of the process: a lease that nobody renews runs out.
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()
        try:
            yield held
        finally:
            with self._lock:
                self._held.pop(lease.turn_id, None)

    def close(self) -> None:
        """Stop to renew."""
        self._wake.set()

    def _run(self) -> None:
        while not self._wake.wait(self._beat):
            with self._lock:
                due = list(self._held.values())
            for held in due:
                self._renew(held)

    def _renew(self, held: Held) -> None:
        try:
            renew_lease(held.lease, self.duration)
        except LeaseLost:
            # A turn that ended while the renewal was on its way has given its lease back itself.
            with self._lock:
                still_held = held.lease.turn_id in self._held
            if still_held:
                held.lost.set()
        except Exception:  # the keeper must outlive any single failure; the lease has two more beats
            log.exception("could not renew the lease of %s", held.lease.turn_id)
