"""Reading from a provider in a way that can be interrupted: a cancelled turn must not wait for the next word.

A thread that waits in `recv` hears nothing. So each wait is cut into short ones, and between them the thread that reads
asks whether it shall stop. That closes the connection, by the same way out as any other failure. The connections that
do so are in `bot.llm.sliced`.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

SLICE_SECONDS = 0.2
"""How long a reader is deaf at the most."""

asked: ContextVar[Callable[[], bool] | None] = ContextVar("shall_stop", default=None)
"""What a reader asks between two slices; None outside of a turn."""


class Interrupted(BaseException):
    """The reader was told to stop. Not an `Exception`: the SDK takes each of those for a reason to try again."""


def interruptible(events: Generator[T, None, None], shall_stop: Callable[[], bool]) -> Generator[T, None, None]:
    """Pass events on, and ask `shall_stop` between them and about five times a second while none comes.

    Raises:
        Interrupted: it said yes; `events` is closed.
    """
    try:
        while True:
            if shall_stop():
                raise Interrupted
            with _asking(shall_stop):
                try:
                    event = next(events)
                except StopIteration:
                    return
            yield event
    finally:
        events.close()


def sleep(seconds: float) -> None:
    """Wait in slices, and ask between them.

    Raises:
        Interrupted: The answer was to stop.
    """
    shall_stop, end = asked.get(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left if shall_stop is None else min(left, SLICE_SECONDS))
        if shall_stop is not None and shall_stop():
            raise Interrupted


def in_slices(call: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Return what a blocking call returns, or raise what it raises; wait for it in slices, and ask between them.

    In a turn, the call runs on a thread of its own. If the wait is interrupted, it continues there to its end, and
    `discard` gets its result.

    Raises:
        Interrupted: The answer was to stop.
    """
    shall_stop = asked.get()
    if shall_stop is None:
        return call()
    done: Future[T] = Future()
    threading.Thread(target=_complete, args=(done, call), name="connecting", daemon=True).start()
    try:
        while not wait([done], SLICE_SECONDS).done:
            if shall_stop():
                raise Interrupted
    except BaseException:
        done.add_done_callback(lambda _: None if done.exception() else discard(done.result()))
        raise
    return done.result()


def _complete(done: "Future[T]", call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(result)


@contextmanager
def _asking(shall_stop: Callable[[], bool]) -> Iterator[None]:
    token = asked.set(shall_stop)
    try:
        yield
    finally:
        asked.reset(token)
