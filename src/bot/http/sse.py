"""Server-sent events: how one is written, and the answer that streams them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flask import Response, stream_with_context

# The form ends a line with a newline or a carriage return, and with nothing else. Clients that split text as Python
# does, httpx among them, would end one at these too, within the JSON.
_NO_LINE_ENDS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
KEEP_ALIVE = ": keep-alive\n\n"


@dataclass(frozen=True)
class ServerSentEvent:
    """One event: its name, its data as a JSON object, and the id after which a disconnected client resumes.

    Without a name or an id it has no such line.
    """

    name: str | None
    data: dict[str, Any]
    id: str | None = None

    def __str__(self) -> str:
        """Return the event as it is sent."""
        data = json.dumps(self.data, ensure_ascii=False).translate(_NO_LINE_ENDS)
        head = "" if self.id is None else f"id: {self.id}\n"
        head += "" if self.name is None else f"event: {self.name}\n"
        return f"{head}data: {data}\n\n"


class Done:
    """The end of a stream in OpenAI's form; it is not JSON."""

    def __str__(self) -> str:
        """Return the event as it is sent."""
        return "data: [DONE]\n\n"


def event_stream(events: Iterable[ServerSentEvent | Done | None]) -> Response:
    """Return the answer that streams events; None is sent as a keep-alive comment."""
    # `X-Accel-Buffering` keeps nginx and similar proxies from buffering the events.
    return Response(
        stream_with_context(_written(events)),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _written(events: Iterable[ServerSentEvent | Done | None]) -> Iterator[str]:
    for event in events:
        yield KEEP_ALIVE if event is None else str(event)
