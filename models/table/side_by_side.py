"""Reads that need nothing of each other, side by side: as many requests as one after the other, in the time of one.

The threads are shared by the whole process and few. Who asks does the last read itself, and then each that no thread
has begun: so it never waits for a thread, and with none free it takes what it took before.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar, cast

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

AT_ONCE = 16
"""How many threads a process has for this, and so how many connections it may need beyond those of its callers."""

THREAD_NAME = "read"

# Whether reads wait for each other all the same.
_in_turn: ContextVar[bool] = ContextVar("reads_in_turn", default=False)


class _Threads:
    """The threads of this process, made on first use. After a fork the child has none of them, and makes its own."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def get(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=THREAD_NAME)
            return self._pool

    def forget(self) -> None:
        """Begin anew in a child: the parent's threads are not here, and its lock may be held for ever."""
        self._lock, self._pool = Lock(), None


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.forget)


@contextmanager
def in_turn() -> Iterator[None]:
    """Let reads wait for each other inside, in the order in which they are given: for who writes down what was sent."""
    token = _in_turn.set(True)
    try:
        yield
    finally:
        _in_turn.reset(token)


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Do two reads at once, as `side_by_side` does; return what both return."""
    reads: tuple[Callable[[], Any], ...] = (first, second)
    found, other = side_by_side(reads)
    return found, other


def side_by_side(reads: Sequence[Callable[[], T]]) -> list[T]:
    """Do some reads at once, each in a copy of the caller's context; return what they return, in their order.

    When it returns or raises, none of them is under way any more.

    Args:
        reads: what to do, one or more. None may write, nor need what another one reads. One that itself has parts that
            go side by side is best the last.

    Raises:
        Exception: that of the first read, in their order, that raised one.
    """
    if _in_turn.get():
        return [copy_context().run(read) for read in reads]
    begun: list[Future[T]] = []
    outcomes: list[tuple[T | None, Exception | None]] = []
    try:
        # What was submitted before one that cannot be is in the list all the same.
        begun.extend(_threads.get().submit(copy_context().run, read) for read in reads[:-1])
        last = _outcome(partial(copy_context().run, reads[-1]))
        for read, each in zip(reads, begun, strict=False):
            # Those that no thread has begun are taken back, and done here.
            outcomes.append(_outcome(partial(copy_context().run, read) if each.cancel() else each.result))
        outcomes.append(last)
    finally:
        wait([each for each in begun if not each.cancel()])
    for _, error in outcomes:
        if error is not None:
            raise error
    return cast("list[T]", [found for found, _ in outcomes])


def _outcome(read: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return read(), None
    except Exception as error:
        return None, error
