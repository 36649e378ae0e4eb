"""A turn as server-sent events: `turn.started`, `message.delta` …, and one of `turn.completed`, `turn.failed` and
`turn.cancelled`.
"""

from collections.abc import Iterator
from typing import Any

from flask import Response

from bot.api.shapes.messages import show_message
from bot.api.shapes.turns import show_result
from bot.http.problems import document
from bot.http.sse import ServerSentEvent, event_stream
from bot.turns.events import AnswerDelta, TurnEnded, TurnEvent, TurnStarted

EVENTS = ("turn.started", "message.delta", "turn.completed", "turn.failed", "turn.cancelled")
STREAM_DOCUMENT: dict[int, Any] = {
    200: {
        "description": "With `stream: true`: server-sent events. `turn.started` has the stored input, `message.delta` "
        "the next `text`, `turn.completed`, `turn.failed` and `turn.cancelled` the turn as stored. Comments are "
        "keep-alives. `GET /api/v1/turns/{turn_id}/events?after=N` resumes after the event with the id N.",
        "content": {
            # Before 3.2, OpenAPI has no better place to describe the events.
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event.",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "Its number in the turn."},
                        "event": {"type": "string", "enum": list(EVENTS)},
                        "data": {"type": "string", "description": "A JSON object; its `sequence` is the id."},
                    },
                }
            }
        },
    }
}


def turn_stream(events: Iterator[TurnEvent | None]) -> Response:
    """Return the answer that streams a turn; None in `events` is a keep-alive."""
    return event_stream(None if event is None else _shown(event) for event in events)


def _shown(event: TurnEvent) -> ServerSentEvent:
    name, data = _named(event)
    return ServerSentEvent(name, {"sequence": event.sequence, **data}, id=str(event.sequence))


def _named(event: TurnEvent) -> tuple[str, dict[str, Any]]:
    match event:
        case TurnStarted():
            return "turn.started", {
                "turn_id": event.turn_id,
                "conversation_id": event.conversation_id,
                "agent_id": event.agent_id,
                "input": [show_message(message).model_dump(mode="json") for message in event.input],
            }
        case AnswerDelta():
            return "message.delta", {"text": event.text}
        case TurnEnded():
            result = show_result(event.turn, event.input, event.output).model_dump(mode="json")
            if event.error is None:
                return "turn.completed", result
            name = "turn.cancelled" if event.turn.status == "cancelled" else "turn.failed"
            return name, {**result, "problem": document(event.error)}
