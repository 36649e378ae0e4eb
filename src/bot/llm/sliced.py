"""Connections that wait in slices, and check between them whether to stop (see `bot.llm.interruption`)."""

import contextlib
import os
import socket
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import httpcore2
import httpx2

from .interruption import SLICE_SECONDS, Interrupted, asked, in_slices

_NEVER_BLOCKS = 16_384
"""Bytes that the send buffer of a connection without other data takes at once."""


def make_interruptible(client: httpx2.Client) -> httpx2.Client:
    """Make all connections of a client read in slices; return the client.

    httpx2 has no public way to do so; `tests/unit/llm/test_llm_interruption.py` fails if its private one changes.
    """
    transports: Iterable[Any] = (client._transport, *client._mounts.values())
    for transport in transports:
        if isinstance(transport, httpx2.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Backend(pool._network_backend)
    return client


def _close(stream: httpcore2.NetworkStream) -> None:
    stream.close()


class _Backend(httpcore2.NetworkBackend):
    """Connects as the `inner` backend does; its connections read in slices."""

    def __init__(self, inner: httpcore2.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(in_slices(partial(self._inner.connect_tcp, *args, **kwargs), _close))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(*args, **kwargs))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore2.NetworkStream):
    """A connection whose reads check, between two slices of their timeout, whether to stop."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        shall_stop = asked.get()
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
        if len(buffer) <= _NEVER_BLOCKS:
            self._inner.write(buffer, timeout)
            return
        with self._ended_if_interrupted():
            in_slices(partial(self._inner.write, buffer, timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, *args: Any, **kwargs: Any) -> httpcore2.NetworkStream:
        with self._ended_if_interrupted():
            return _Stream(in_slices(partial(self._inner.start_tls, *args, **kwargs), _close))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)

    @contextlib.contextmanager
    def _ended_if_interrupted(self) -> Iterator[None]:
        """End the connection on an interruption, so that the thread that still uses it ends, too."""
        # A handshake takes the socket's descriptor over; a copy of it can end the connection all the same.
        with socket.socket(fileno=os.dup(self._inner.get_extra_info("socket").fileno())) as connection:
            try:
                yield
            except Interrupted:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                raise
