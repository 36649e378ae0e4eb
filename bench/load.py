"""A client that sends prepared bytes and reads whole answers: it takes little of the machine that both sides share."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bench.canned import KEY
from bench.http import content_length, header


class Refused(Exception):
    """An answer was not what it should be."""


def get(path: str) -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a POST request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> bytes:
    """Read one answer, and return its body.

    Raises:
        Refused: its status is not 200 or 201.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(content_length(head))
    if head[9:12] not in (b"200", b"201"):
        raise Refused(f"{head[:40].decode()} {body[:300].decode()}")
    return body


def one(port: int, request: bytes) -> bytes:
    """Send one request, and return the body of its answer."""

    async def ask() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await answer(reader)
        finally:
            writer.close()

    return asyncio.run(ask())


def many(port: int, request: bytes, *, requests: int, connections: int) -> float:
    """Send a request so many times over so many connections, and return how many seconds it took."""

    async def connection(turns: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        try:
            for _ in range(turns):
                writer.write(request)
                await answer(reader)
        finally:
            writer.close()

    async def all_of_them() -> float:
        shares = [requests // connections + (each < requests % connections) for each in range(connections)]
        began = time.perf_counter()
        await asyncio.gather(*(connection(turns) for turns in shares))
        return time.perf_counter() - began

    return asyncio.run(all_of_them())


async def stream(port: int, request: bytes, delta: bytes, last: bytes) -> Mapping[str, Any]:
    """Send a request whose answer is streamed, and return `first` (seconds until the first delta) and `deltas`.

    Args:
        port: where to.
        request: its bytes.
        delta: what stands once in each delta.
        last: what stands in the last event.

    Raises:
        Refused: it did not begin, or did not come to its end.
    """
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if head[9:12] != b"200":
            raise Refused(f"{head[:40].decode()} {(await reader.read(300)).decode()}")
        if header(head, b"transfer-encoding") is None:
            raise Refused("the answer is not streamed")
        first, deltas, ended = None, 0, False
        while True:
            size = int(await reader.readline(), 16)
            piece = (await reader.readexactly(size + 2))[:-2]
            if not size:
                break
            found = piece.count(delta)
            if found and first is None:
                first = time.perf_counter() - began
            deltas += found
            ended = ended or last in piece
        if not ended or first is None:
            raise Refused(f"the stream broke off after {deltas} deltas")
        return {"first": first, "deltas": deltas, "seconds": time.perf_counter() - began}
    finally:
        writer.close()
