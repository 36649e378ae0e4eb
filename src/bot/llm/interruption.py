"""Reads from a provider that can be interrupted: a cancelled turn must not wait for the next token.

A thread that is blocked in `recv` cannot be told to stop. So each wait is split into short slices, and between them the
reading thread checks whether it should stop. If so, the connection is closed as after any other failure. The
connections that do so are in `bot.llm.sliced`.
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
"""The longest time between two checks."""

asked: ContextVar[Callable[[], bool] | None] = ContextVar("shall_stop", default=None)
"""The check between two slices: whether the reader should stop. None outside a turn."""


class Interrupted(BaseException):
    """The reader was told to stop. Not an `Exception`, because the SDK takes those for connection errors."""


def interruptible(events: Generator[T, None, None], shall_stop: Callable[[], bool]) -> Generator[T, None, None]:
    """Yield the events, and call `shall_stop` between them and about five times a second while none comes.

    Raises:
        Interrupted: `shall_stop` returned True; `events` is closed.
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
    """Wait in slices, and check between them whether to stop.

    Raises:
        Interrupted: The reader was told to stop.
    """
    shall_stop, end = asked.get(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(left if shall_stop is None else min(left, SLICE_SECONDS))
        if shall_stop is not None and shall_stop():
            raise Interrupted


def in_slices(call: Callable[[], T], discard: Callable[[T], object] = lambda _: None) -> T:
    """Return what a blocking call returns, or raise what it raises; wait for it in slices, and check between them.

    In a turn, the call runs on a thread of its own. If the wait is interrupted, it continues there to its end, and
    `discard` gets its result.

    Raises:
        Interrupted: The reader was told to stop.
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
