"""A conversation as server-sent events: turns and messages of all clients, at all processes, as they happen."""

import time
from collections.abc import Iterator
from typing import Annotated, Any

from flask import Response, request
from pydantic import AfterValidator, Field

from bot.api.shapes.conversations import ConversationPath
from bot.api.shapes.events import named
from bot.api.shapes.messages import show_message
from bot.errors import AccountClosed, FieldError, Unauthenticated, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.context import services
from bot.http.problems import document
from bot.http.requests import caller
from bot.http.sse import ServerSentEvent, event_stream
from bot.http.types import Included
from bot.turns.conversation_events import (
    ConversationDeleted,
    ConversationEvent,
    Followed,
    MessageAdded,
    TurnDeleted,
)
from bot.turns.conversation_follower import follow_conversation
from bot.turns.positions import PATTERN, position_of

api = resource("conversation_events", "Everything that happens in a conversation, as it happens.")

# How often the caller's key or token is checked again.
CHECK_SECONDS = 60.0

EVENTS = (
    "conversation.followed",
    "message.added",
    "turn.started",
    "message.delta",
    "reasoning.delta",
    "turn.completed",
    "turn.failed",
    "turn.cancelled",
    "turn.deleted",
    "conversation.deleted",
    "access.ended",
)
_DOCUMENT: dict[int, Any] = {
    200: {
        "description": "Server-sent events: those of turns as in a turn's own stream, each with its `turn_id` and its "
        "`sequence` there, the text only of streams that are kept; `message.added` for messages without a turn; "
        "`conversation.deleted` and `access.ended` as the last event. Comments are keep-alives.",
        "content": {
            "text/event-stream": {
                "schema": {
                    "type": "object",
                    "description": "One event.",
                    "required": ["id", "event", "data"],
                    "properties": {
                        "id": {
                            "type": "string",
                            "pattern": f"^{PATTERN}$",
                            "description": "The position in the conversation after which a client goes on.",
                        },
                        "event": {"type": "string", "enum": list(EVENTS)},
                        "data": {"type": "string", "description": "A JSON object."},
                    },
                }
            }
        },
    }
}


def _is_position(text: str) -> str:
    position_of(text)
    return text


class FollowQuery(Included):
    """Where to begin, and what the stream contains."""

    after: Annotated[str, AfterValidator(_is_position)] | None = Field(
        None,
        description="The id of the last event received, or of a message. By default the stream begins now, or with the "
        "turn that is running.",
        json_schema_extra={"pattern": f"^({PATTERN}|msg_[0-7][0-9a-hjkmnp-tv-z]{{25}})$"},
    )


@api.get(
    "/conversations/<conversation_id>/events", responses=answers({**_DOCUMENT}, 404), summary="Follow a conversation"
)
def follow(path: ConversationPath, query: FollowQuery) -> Response:
    """What happens in a conversation, whichever client or process does it, until it is deleted.

    `Last-Event-ID`, which browsers send when they reconnect, takes precedence over `after`.
    """
    given = _last_event_id() or query.after
    room = services().followers
    room.enter()
    try:
        after = position_of(given) if given else None
        events = follow_conversation(caller().user_id, path.conversation_id, after, reasoning=query.reasoning)
        answer = event_stream(_while_allowed(events, path.conversation_id, given or "", reasoning=query.reasoning))
    except BaseException:
        room.leave()
        raise
    answer.call_on_close(room.leave)
    return answer


def _last_event_id() -> str | None:
    given = request.headers.get("Last-Event-ID")
    try:
        return _is_position(given) if given else None
    except ValueError as error:
        raise ValidationFailed(f"Last-Event-ID: {error}.", fields=(FieldError("Last-Event-ID", str(error)),)) from error


def _while_allowed(
    events: Iterator[ConversationEvent | None], conversation_id: str, last: str, *, reasoning: bool
) -> Iterator[ServerSentEvent | None]:
    """Show events as long as the caller's key or token is valid; `last` is the id of the last one before them.

    Cost: AP-21 or AP-25 once a minute.
    """
    checked_at = time.monotonic()
    for event in events:
        if time.monotonic() - checked_at >= CHECK_SECONDS:
            try:
                services().authentication.caller(request.headers.get("Authorization"))
            except (Unauthenticated, AccountClosed) as error:
                yield ServerSentEvent("access.ended", {"problem": document(error)}, id=last)
                return
            checked_at = time.monotonic()
        if event is None:
            yield None
            continue
        last = str(event.position)
        name, data = _shown(event, conversation_id, reasoning=reasoning)
        yield ServerSentEvent(name, data, id=last)


def _shown(event: ConversationEvent, conversation_id: str, *, reasoning: bool) -> tuple[str, dict[str, Any]]:
    match event.content:
        case Followed(active_turn_id):
            return "conversation.followed", {"conversation_id": conversation_id, "active_turn_id": active_turn_id}
        case MessageAdded(message):
            return "message.added", {"message": show_message(message).model_dump(mode="json")}
        case TurnDeleted():
            return "turn.deleted", {"turn_id": event.turn_id}
        case ConversationDeleted():
            return "conversation.deleted", {"conversation_id": conversation_id}
        case content:
            name, data = named(content, reasoning=reasoning)
            return name, {"turn_id": event.turn_id, "sequence": content.id.number, **data}
