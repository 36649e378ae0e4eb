"""Independent reads in parallel: as many requests as in sequence, in the time of the slowest one.

The whole process shares a few threads. The caller does the last read itself, and then every read that no thread has
begun: so it never waits for a free thread, and without one the reads take as long as in sequence.
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
"""The number of threads per process, and so of connections that it may need beyond those of its callers."""

THREAD_NAME = "read"

# Whether the reads are done in sequence instead.
_sequential: ContextVar[bool] = ContextVar("reads_in_turn", default=False)


class _Threads:
    """The threads of this process, started on first use. After a fork the child has none of them and starts its own."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = None

    def get(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix=THREAD_NAME)
            return self._pool

    def forget(self) -> None:
        """Start afresh in a child process: it has none of the parent's threads, and its lock may be held for ever."""
        self._lock, self._pool = Lock(), None


_threads = _Threads()
os.register_at_fork(after_in_child=_threads.forget)


@contextmanager
def in_turn() -> Iterator[None]:
    """Do the reads inside in sequence, in the given order, for callers that record the requests."""
    token = _sequential.set(True)
    try:
        yield
    finally:
        _sequential.reset(token)


def both(first: Callable[[], A], second: Callable[[], B]) -> tuple[A, B]:
    """Do two reads in parallel, as `side_by_side` does; return both results."""
    reads: tuple[Callable[[], Any], ...] = (first, second)
    found, other = side_by_side(reads)
    return found, other


def side_by_side(reads: Sequence[Callable[[], T]]) -> list[T]:
    """Do reads in parallel, each in a copy of the caller's context; return their results in the given order.

    All reads have ended when it returns or raises.

    Args:
        reads: one or more. None may write or depend on another. A read that itself has parallel parts should be the
            last.

    Raises:
        Exception: the error of the first read, in the given order, that raised one.
    """
    if _sequential.get():
        return [copy_context().run(read) for read in reads]
    begun: list[Future[T]] = []
    outcomes: list[tuple[T | None, Exception | None]] = []
    try:
        # If a submit fails, the list still has the reads that were submitted before.
        begun.extend(_threads.get().submit(copy_context().run, read) for read in reads[:-1])
        last = _outcome(partial(copy_context().run, reads[-1]))
        for read, each in zip(reads, begun, strict=False):
            # Reads that no thread has begun are cancelled and done here.
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
