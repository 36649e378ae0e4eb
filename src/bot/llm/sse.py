"""Parses server-sent events.

The SDK's own stream object is not used: it stops reading at `[DONE]`, before the end of the HTTP body, so each
request would cost a new TLS connection; and it builds typed objects, which are wrong for servers that are only nearly
compatible. What happens before the first byte (authentication, status errors) is still the SDK's.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_LINE_BYTES = 8 * 1024 * 1024
"""No legitimate event is longer; without a limit, a hostile server could fill the memory with one line."""


class StreamFormatError(ValueError):
    """The bytes are not a stream of server-sent events that can be read."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type (`""` if none was named) and its data."""

    type: str
    data: str


def read_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Yield each complete event that has data, as soon as its last line has arrived.

    Comments and other fields are ignored. An event that the end of the stream cuts off is dropped, as the
    standard says: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

    Raises:
        StreamFormatError: A line is too long or is not UTF-8.
    """
    event_type = ""
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield Event(event_type, "\n".join(data))
            event_type, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event_type = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    # Split at CR, LF and CRLF only. `str.splitlines` would also split at U+2028, which JSON may hold unescaped.
    pending = bytearray()
    for chunk in chunks:
        pending += chunk
        if len(pending) > MAX_LINE_BYTES and b"\n" not in chunk:
            raise StreamFormatError("a line of the stream is too long")
        if b"\n" not in chunk and b"\r" not in chunk:
            continue
        lines = bytes(pending).splitlines(keepends=True)
        # A line that ends in a bare CR waits: the LF of its CRLF may be in the next chunk.
        pending = bytearray() if lines[-1].endswith(b"\n") else bytearray(lines.pop())
        for line in lines:
            yield _decode(line.rstrip(b"\r\n"))
    if pending.endswith(b"\r"):
        yield _decode(bytes(pending.rstrip(b"\r")))


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise StreamFormatError("the stream is not UTF-8") from None
