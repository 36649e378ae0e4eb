"""Runs turns on their own threads, so that a client that disconnects does not stop its turn."""

import logging
import queue
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from bot.errors import Overloaded
from bot.turns.events import ReasoningDelta, TurnEvent

T = TypeVar("T")

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15.0


class TurnStreams:
    """The threads on which streamed and background turns run."""

    def __init__(self, threads: int) -> None:
        """Allow `threads` turns to run at once."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="turn")
        self._room = threading.Semaphore(threads)

    def reserve(self) -> None:
        """Reserve a thread for one turn, for `follow` or `start`; `release` it if the turn does not begin.

        Without it, a turn that has to wait for a thread would hold its conversation's lease and do nothing.

        Raises:
            Overloaded: all threads are in use.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded("This process runs as many turns as it can; try again.", retry_after=1)

    def release(self) -> None:
        """Release a reserved thread."""
        self._room.release()

    def start(self, events: Generator[TurnEvent, None, None]) -> None:
        """Run a turn to its end on a reserved thread; its events are discarded.

        Raises:
            Overloaded: it cannot run; the reservation is released.
        """
        self._submit(events, None)

    def follow(self, events: Generator[T, None, None], *, reasoning: bool = True) -> Iterator[T | None]:
        """Run a turn on a reserved thread, and yield its events as they come; None after 15 seconds without one.

        The turn starts at once, and runs to its end whether or not the events are consumed. A turn's pieces of
        reasoning are left out unless `reasoning`.

        Raises:
            Overloaded: it cannot run; the reservation is released.
        """
        output: queue.SimpleQueue[T | BaseException | None] = queue.SimpleQueue()
        self._submit(events, output)
        return _events_of(output, reasoning=reasoning)

    def close(self) -> None:
        """Wait for the running turns, and start no more."""
        self._pool.shutdown(wait=True)

    def _submit(
        self,
        events: Generator[T, None, None],
        output: "queue.SimpleQueue[T | BaseException | None] | None",
    ) -> None:
        def done(_: "Future[None]") -> None:
            self.release()

        try:
            running = self._pool.submit(_run, events, output)
        except RuntimeError as error:
            # No thread can be started, or the process is shutting down.
            self.release()
            raise Overloaded("This process cannot run another turn now; try again.", retry_after=1) from error
        running.add_done_callback(done)


def _run(
    events: Generator[T, None, None],
    output: "queue.SimpleQueue[T | BaseException | None] | None",
) -> None:
    try:
        for event in events:
            if output is not None:
                output.put(event)
    except BaseException as error:
        log.exception("a turn failed")
        if output is not None:
            output.put(error)
    finally:
        if output is not None:
            output.put(None)


def _events_of(output: "queue.SimpleQueue[T | BaseException | None]", *, reasoning: bool) -> Iterator[T | None]:
    sent_at = time.monotonic()
    while True:
        # Counted from what the client was sent last: reasoning that is left out does not keep its connection alive.
        left = sent_at + KEEP_ALIVE_SECONDS - time.monotonic()
        if left <= 0:
            yield None
            sent_at = time.monotonic()
            continue
        try:
            event = output.get(timeout=left)
        except queue.Empty:
            continue
        if event is None:
            return
        if isinstance(event, BaseException):
            raise event
        if reasoning or not isinstance(event, ReasoningDelta):
            yield event
            sent_at = time.monotonic()
