"""A turn as server-sent events: `turn.started`, `message.delta` …, and one of `turn.completed`, `turn.failed` and
`turn.cancelled`.

Source of the form: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Iterator
from typing import Any

from flask import Response, stream_with_context

from bot.api.message_views import TurnResult, show_message, show_turn
from bot.api.problems import document
from bot.turns.events import AnswerDelta, TurnEnded, TurnEvent, TurnStarted

EVENTS = ("turn.started", "message.delta", "turn.completed", "turn.failed", "turn.cancelled")
STREAM_DOCUMENT: dict[int, Any] = {
    200: {
        "description": "With `stream: true`: server-sent events. `turn.started` has the stored input, `message.delta` "
        "the next `text`, `turn.completed`, `turn.failed` and `turn.cancelled` the turn as stored. A comment is a "
        "sign of life. `GET /api/v1/turns/{turn_id}/events?after=N` goes on after the event with the id N.",
        "content": {
            # OpenAPI before 3.2 has no better place to say what each event is.
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
KEEP_ALIVE = ": keep-alive\n\n"


def event_stream(events: Iterator[TurnEvent | None]) -> Response:
    """Return the answer that streams a turn; None in `events` is a sign of life while nothing happens."""
    # `X-Accel-Buffering` keeps proxies of nginx's kind from holding the events back.
    return Response(
        stream_with_context(_lines(events)),
        content_type="text/event-stream; charset=utf-8",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def _lines(events: Iterator[TurnEvent | None]) -> Iterator[str]:
    for event in events:
        if event is None:
            yield KEEP_ALIVE
            continue
        name, data = _named(event)
        text = json.dumps({"sequence": event.sequence, **data}, ensure_ascii=False)
        yield f"id: {event.sequence}\nevent: {name}\ndata: {text}\n\n"


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
            result = TurnResult(
                turn=show_turn(event.turn),
                input=[show_message(message) for message in event.input],
                output=[show_message(message) for message in event.output],
            ).model_dump(mode="json")
            if event.error is None:
                return "turn.completed", result
            name = "turn.cancelled" if event.turn.status == "cancelled" else "turn.failed"
            return name, {**result, "problem": document(event.error)}
