"""Runs erasure jobs: first within the request, then on a background thread, and those of workers that died.

Each server process lists the pending jobs when it starts and then once a minute (AP-75: 1 Query, 1 RCU), and takes over
those whose lease has expired. A job that fails is retried in the next round.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from models.access_patterns import erasure
from models.access_patterns.erasure import Hold, list_pending_erasures, take_erasure
from models.access_patterns.removal.erase import erase
from models.erasure import Erasure
from models.table.errors import LeaseLost
from models.table.ids import new_id
from models.table.tenancy import UserId

log = logging.getLogger(__name__)

# How many seconds a request spends on removal, enough for some thousand items. The rest continues in the background.
WITHIN_REQUEST = 2.0
_ROUND_SECONDS = 60.0
_PAGE = 100

Ask = Callable[[Hold], Erasure]


class Erasures:
    """Runs the erasure jobs of a process; one per process."""

    def __init__(self, lease: float, *, within_request: float = WITHIN_REQUEST, background: bool = True) -> None:
        """Take, in seconds, how long a dead worker blocks its job and how long a request works on it.

        Without `background`, the rest of a request's job waits for `remaining`.
        """
        self._background = background
        self._lease = timedelta(seconds=lease)
        self._within_request = within_request
        self._own: list[tuple[Erasure, Hold]] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def conversation(self, user_id: UserId, conversation_id: str, *, asked_by: str) -> Erasure:
        """Delete a conversation; the job that is returned may still be running.

        Cost: AP-70, and AP-73 for as long as a request may take.

        Raises:
            ItemNotFound: the user has no such conversation.
        """
        return self._within(
            lambda hold: erasure.delete_conversation(user_id, conversation_id, asked_by=asked_by, hold=hold)
        )

    def agent(self, user_id: UserId, agent_id: str, *, asked_by: str) -> Erasure:
        """Delete an agent with its owner's conversations, as `conversation` does.

        Raises:
            ItemNotFound: the user has no such agent.
        """
        return self._within(lambda hold: erasure.delete_agent(user_id, agent_id, asked_by=asked_by, hold=hold))

    def user(self, user_id: UserId, *, asked_by: str) -> Erasure:
        """Delete a user with everything they own, as `conversation` does.

        Raises:
            ItemNotFound: there is no such user.
        """
        return self._within(lambda hold: erasure.delete_user(user_id, asked_by=asked_by, hold=hold))

    def _within(self, ask: Ask) -> Erasure:
        hold = self._hold()
        deadline = time.monotonic() + self._within_request
        job = ask(hold)
        if job.worker != hold.worker:
            # The job existed already. Its worker continues, unless that has died.
            job = take_erasure(job.erasure_id, hold) or job
        if job.worker != hold.worker or job.completed:
            return job
        try:
            erase(job, hold, lambda _job: time.monotonic() < deadline)
        except Exception:
            # The job is stored and its data is unreachable by now, so it continues in the background like a large one.
            log.exception("erasure %s is postponed", job.erasure_id)
        if not job.completed:
            with self._lock:
                self._own.append((job, hold))
            if self._background:
                self.start()
                self._wake.set()
        return job

    def start(self) -> None:
        """Start the thread that works on pending jobs; further calls do nothing."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                # A daemon, because another process resumes a job that is cut off at any point.
                self._thread = threading.Thread(target=self._run, name="erasures", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the page that is being removed; another process continues when the lease has expired."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            try:
                for _ in self.remaining():
                    pass
            except Exception:  # the thread must outlive any single failure
                log.exception("listing pending erasures failed")
            self._wake.wait(_ROUND_SECONDS)

    def remaining(
        self, progress: Callable[[Erasure], object] = lambda _job: None, *, others: bool = True
    ) -> Iterator[Erasure]:
        """Continue this process's own pending jobs and those of dead workers; yield each after working on it."""
        while self._own and not self._stopped.is_set():
            with self._lock:
                job, hold = self._own.pop(0)
            yield self._finish(job, hold, progress)
        after: str | None = None
        while others and not self._stopped.is_set():
            page = list_pending_erasures(_PAGE, after)
            for pending in page.items:
                after = pending.erasure_id
                hold = self._hold()
                taken = None if self._stopped.is_set() else take_erasure(pending.erasure_id, hold)
                if taken is not None:
                    yield self._finish(taken, hold, progress)
            if not page.more:
                return

    def _finish(self, job: Erasure, hold: Hold, progress: Callable[[Erasure], object]) -> Erasure:
        def go_on(job: Erasure) -> bool:
            progress(job)
            return not self._stopped.is_set()

        try:
            erase(job, hold, go_on)
        except LeaseLost:
            log.warning("another worker took over erasure %s", job.erasure_id)
        except Exception:
            log.exception("erasure %s is postponed", job.erasure_id)
        else:
            if job.completed:
                log.info("erasure %s of a %s completed: %s", job.erasure_id, job.kind, job.removed)
        return job

    def _hold(self) -> Hold:
        return Hold(new_id("worker"), self._lease)
