"""A turn as server-sent events: `turn.started`, `message.delta` …, and one of `turn.completed`, `turn.failed` and
`turn.cancelled`; `reasoning.delta` for clients that ask for it.
"""

from collections.abc import Iterator
from typing import Any

from flask import Response

from bot.api.shapes.messages import show_message
from bot.api.shapes.turns import show_result
from bot.http.problems import document
from bot.http.sse import ServerSentEvent, event_stream
from bot.turns.events import AnswerDelta, ReasoningDelta, TurnEnded, TurnEvent, TurnStarted

EVENTS = ("turn.started", "message.delta", "reasoning.delta", "turn.completed", "turn.failed", "turn.cancelled")
STREAM_DOCUMENT: dict[int, Any] = {
    200: {
        "description": "With `stream: true`: server-sent events. `turn.started` has the stored input, `message.delta` "
        "the next `text`, `reasoning.delta` (only with `include=reasoning`) the next `text` of the reasoning, "
        "`turn.completed`, `turn.failed` and `turn.cancelled` the turn as stored. Comments are "
        "keep-alives. `GET /api/v1/turns/{turn_id}/events?after=N` resumes after the event with the id N.",
        "content": {
            # Before 3.2, OpenAPI has no better place to describe the events.
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event.",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {
                            "type": "string",
                            "pattern": r"^[1-9][0-9]*(-[1-9][0-9]*)?$",
                            "description": "Its number; `5-2` is the second piece of reasoning after event 5.",
                        },
                        "event": {"type": "string", "enum": list(EVENTS)},
                        "data": {
                            "type": "string",
                            "description": "A JSON object; its `sequence` is the number, its `part`, if any, the part.",
                        },
                    },
                }
            }
        },
    }
}


def turn_stream(events: Iterator[TurnEvent | None], *, reasoning: bool) -> Response:
    """Return the answer that streams a turn, with the messages' reasoning or without; None is a keep-alive."""
    return event_stream(None if event is None else _shown(event, reasoning=reasoning) for event in events)


def _shown(event: TurnEvent, *, reasoning: bool) -> ServerSentEvent:
    name, data = named(event, reasoning=reasoning)
    return ServerSentEvent(name, {"sequence": event.id.number, **data}, id=str(event.id))


def named(event: TurnEvent, *, reasoning: bool) -> tuple[str, dict[str, Any]]:
    """Return the name and the data of a turn's event."""
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
        case ReasoningDelta():
            return "reasoning.delta", {"part": event.id.part, "text": event.text}
        case TurnEnded():
            result = show_result(event.turn, event.input, event.output, reasoning=reasoning).model_dump(mode="json")
            if event.error is None:
                return "turn.completed", result
            name = "turn.cancelled" if event.turn.status == "cancelled" else "turn.failed"
            return name, {**result, "problem": document(event.error)}
