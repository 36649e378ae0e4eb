"""Reading from a provider in a way that can be interrupted: a cancelled turn must not wait for the next word.

A thread that waits in `recv` hears nothing. So each wait is cut into short ones, and between them the thread that reads
asks whether it shall stop. That closes the connection, by the same way out as any other failure.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import httpcore2
import httpx2

T = TypeVar("T")

SLICE_SECONDS = 0.2
"""How long a reader is deaf at the most."""

_shall_stop: ContextVar[Callable[[], bool] | None] = ContextVar("shall_stop", default=None)


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


@contextmanager
def _asking(shall_stop: Callable[[], bool]) -> Iterator[None]:
    token = _shall_stop.set(shall_stop)
    try:
        yield
    finally:
        _shall_stop.reset(token)


def make_interruptible(client: httpx2.Client) -> httpx2.Client:
    """Have all connections of a client read in slices; return the client.

    httpx2 has no public way to say so; `tests/unit/llm/test_llm_interruption.py` notices if its private one changes.
    """
    transports: Iterable[Any] = (client._transport, *client._mounts.values())
    for transport in transports:
        if isinstance(transport, httpx2.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


class _Backend(httpcore2.NetworkBackend):
    """Makes connections as another backend does, and has them read in slices."""

    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_tcp(*args, **kwargs))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(*args, **kwargs))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads ask, between two slices of their timeout, whether they shall stop."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        shall_stop = _shall_stop.get()
        if shall_stop is None:
            return self._inner.read(max_bytes, timeout)
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = SLICE_SECONDS if deadline is None else min(SLICE_SECONDS, deadline - time.monotonic())
            try:
                return self._inner.read(max_bytes, max(left, 0.001))
            except httpcore2.ReadTimeout:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                if shall_stop():
                    raise Interrupted from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, timeout)

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.start_tls(*args, **kwargs))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
