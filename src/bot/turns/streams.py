"""Lets a turn run on its own thread, so that a client that goes away does not stop it."""

import logging
import queue
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from bot.turns.events import TurnEvent

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 15.0


class TurnStreams:
    """The threads on which streamed turns run: as many as the server can have open streams."""

    def __init__(self, threads: int) -> None:
        """Take how many turns may run at once."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="turn")

    def follow(self, events: Generator[TurnEvent, None, None]) -> Iterator[TurnEvent | None]:
        """Run a turn to its end, and give its events as they come; None after 15 seconds without one.

        The turn starts at once, and goes on whether or not anybody takes the events.
        """
        passed_on: queue.SimpleQueue[TurnEvent | BaseException | None] = queue.SimpleQueue()
        self._pool.submit(_run, events, passed_on)
        return _take(passed_on)

    def close(self) -> None:
        """Wait for the turns that run, and start no more."""
        self._pool.shutdown(wait=True)


def _run(
    events: Generator[TurnEvent, None, None], passed_on: "queue.SimpleQueue[TurnEvent | BaseException | None]"
) -> None:
    try:
        for event in events:
            passed_on.put(event)
    except BaseException as error:
        log.exception("a streamed turn broke off")
        passed_on.put(error)
    finally:
        passed_on.put(None)


def _take(passed_on: "queue.SimpleQueue[TurnEvent | BaseException | None]") -> Iterator[TurnEvent | None]:
    while True:
        try:
            event = passed_on.get(timeout=KEEP_ALIVE_SECONDS)
        except queue.Empty:
            yield None
            continue
        if event is None:
            return
        if isinstance(event, BaseException):
            raise event
        yield event
