"""Erasures: as much as fits into the request at once, the rest on a thread of its own; and those of workers that died.

Each server process asks for open jobs at its start and then once a minute (AP-75: 1 Query, 1 RCU), and goes on with
those whose lease has run out. A job that fails is left to the next round.
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

# How long a request itself removes, in seconds: some thousand items. What is left then goes on without it.
WITHIN_REQUEST = 2.0
_ROUND_SECONDS = 60.0
_PAGE = 100

Ask = Callable[[Hold], Erasure]


class Erasures:
    """Removes what is to be removed; one for a process."""

    def __init__(self, lease: float, *, within_request: float = WITHIN_REQUEST, background: bool = True) -> None:
        """Take how long, in seconds, a dead worker blocks its job, and how long a request goes on by itself.

        Without `background`, what a request leaves waits for `remaining`.
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
        """Delete a conversation; the job that is returned may still go on.

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
        """Delete a user with everything that is theirs, as `conversation` does.

        Raises:
            ItemNotFound: there is no such user.
        """
        return self._within(lambda hold: erasure.delete_user(user_id, asked_by=asked_by, hold=hold))

    def _within(self, ask: Ask) -> Erasure:
        hold = self._hold()
        deadline = time.monotonic() + self._within_request
        job = ask(hold)
        if job.worker != hold.worker:
            # Asked for before. Its worker goes on with it, unless that has died.
            job = take_erasure(job.erasure_id, hold) or job
        if job.worker != hold.worker or job.completed:
            return job
        try:
            erase(job, hold, lambda _job: time.monotonic() < deadline)
        except Exception:
            # What was asked for is kept, and unreachable by now: the job goes on by itself, as if it were a large one.
            log.exception("erasure %s is put off", job.erasure_id)
        if not job.completed:
            with self._lock:
                self._own.append((job, hold))
            if self._background:
                self.start()
                self._wake.set()
        return job

    def start(self) -> None:
        """Begin to look after open jobs, on a thread of this process; once."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                # A daemon, because a job that is cut off anywhere goes on elsewhere.
                self._thread = threading.Thread(target=self._run, name="erasures", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop after the page that is being removed; another process goes on when the lease has run out."""
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
                log.exception("looking for open erasures failed")
            self._wake.wait(_ROUND_SECONDS)

    def remaining(
        self, progress: Callable[[Erasure], object] = lambda _job: None, *, others: bool = True
    ) -> Iterator[Erasure]:
        """Go on with this process's own open jobs, and with those of dead workers; give each as it is then."""
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
            log.warning("another worker goes on with erasure %s", job.erasure_id)
        except Exception:
            log.exception("erasure %s is put off", job.erasure_id)
        else:
            if job.completed:
                log.info("erasure %s of a %s is completed: %s", job.erasure_id, job.kind, job.removed)
        return job

    def _hold(self) -> Hold:
        return Hold(new_id("worker"), self._lease)
