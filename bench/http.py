"""An HTTP/1.1 server that knows its answers: small and fast, so that whoever asks is what is measured."""

import asyncio
import sys
from collections.abc import Callable
from typing import Protocol

_END = b"\r\n\r\n"


class Answering(Protocol):
    """Answers one request at a time: `head` is the request's, up to the empty line, `body` what followed."""

    def __call__(self, head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:
        """Write the whole answer, head and body, at once or later."""


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(_END)) >= 0:
            head = self._read[:end]
            start = end + len(_END)
            size = content_length(head)
            if len(self._read) < start + size:
                return
            body = self._read[start : start + size]
            self._read = self._read[start + size :]
            self._answer(head, body, self._write)


def content_length(head: bytes) -> int:
    """Return how long the body is that follows a head; 0 where it does not say."""
    return int(header(head, b"content-length") or 0)


def header(head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header, whose `name` is given in lower case; None where there is none."""
    start = head.lower().find(b"\r\n" + name + b":")
    if start < 0:
        return None
    return head[start + len(name) + 3 :].partition(b"\r\n")[0].strip()


def serve(answer: Answering) -> None:
    """Answer on a free port of loopback, which is printed first, until the standard input ends."""
    asyncio.run(_serve(answer))


async def _serve(answer: Answering) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answer), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this holds the other end; it closes also when that process is killed.
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()
