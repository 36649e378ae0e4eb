"""Turns, in which the agent answers: run, read while running or later, followed from any process, cancelled."""

from typing import Any

from flask import Response, request
from pydantic import Field

from bot.api.shapes.bodies import Cancellation, TurnCreate
from bot.api.shapes.conversations import ConversationPath
from bot.api.shapes.events import STREAM_DOCUMENT, turn_stream
from bot.api.shapes.turns import TurnView, show_turn
from bot.api.turn_answers import TURN_ANSWERS, TurnQuery, answer_turn, replay_turn
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.context import services
from bot.http.idempotency import repeatable
from bot.http.requests import caller
from bot.http.types import Parameters, TurnId
from bot.turns import following
from bot.turns.service import Question

api = resource("turns", "Single runs of an agent: status, streamed text, result.")

# How many seconds to wait for a cancelled turn to stop: its worker learns of it within a second.
_CANCEL_WAIT_SECONDS = 5.0
_LONGEST_EVENT_ID = 10


class TurnPath(Parameters):
    """Which turn."""

    turn_id: TurnId


class EventsQuery(Parameters):
    """Where to resume."""

    after: int = Field(0, ge=0, le=9_999_999_999, description="The id of the last event received, or 0.")


@api.post("/conversations/<conversation_id>/turns", responses=TURN_ANSWERS, summary="Run a turn")
@repeatable(replay_turn)
def run(path: ConversationPath, query: TurnQuery, body: TurnCreate) -> Any:
    """The agent answers the conversation as it is, without a new message."""
    body.check()
    return answer_turn(path.conversation_id, Question(), query.wait, stream=body.stream, background=body.background)


@api.get("/turns/<turn_id>", responses=answers({200: TurnView}, 404), summary="Read a turn")
def read(path: TurnPath) -> dict[str, Any]:
    """The state of a turn, running or ended. One whose worker died is `interrupted`."""
    return show_turn(following.find_turn(caller().user_id, path.turn_id)).model_dump(mode="json")


@api.get(
    "/turns/<turn_id>/events",
    responses=answers(
        {**STREAM_DOCUMENT, 204: {"description": "The turn has ended, and the client has received its last event."}},
        404,
    ),
    summary="Follow a turn",
)
def events(path: TurnPath, query: EventsQuery) -> Response:
    """The events of a turn after a given one, until its end; from any process, while it runs and for a day after.

    `Last-Event-ID`, which browsers send when they reconnect, is equivalent to `after`; the higher one counts.
    """
    after = max(query.after, _last_event_id())
    user_id = caller().user_id
    turn = following.find_turn(user_id, path.turn_id)
    if not following.has_more(turn, after):
        # 204 stops an EventSource, which would otherwise reconnect forever.
        return Response(status=204)
    return turn_stream(following.follow_turn(turn, after))


def _last_event_id() -> int:
    given = request.headers.get("Last-Event-ID", "0")
    if not (given.isascii() and given.isdigit() and len(given) <= _LONGEST_EVENT_ID):
        raise ValidationFailed(
            "Last-Event-ID: must be the id of an event.",
            fields=(FieldError("Last-Event-ID", "must be the id of an event"),),
        )
    return int(given)


@api.post(
    "/turns/<turn_id>/cancel",
    responses=answers({200: TurnView, 202: TurnView}, 400, 404, 413, 415),
    summary="Cancel a turn",
)
def cancel(path: TurnPath, body: Cancellation) -> Any:  # noqa: ARG001 - its fields are checked: there are none
    """Stops the model; its partial answer is kept on the turn.

    A turn that has already ended is unchanged; see `status` in the answer. 202: its worker has not stopped yet.
    """
    turn = following.cancel_turn(caller().user_id, path.turn_id, services().leases, _CANCEL_WAIT_SECONDS)
    return show_turn(turn).model_dump(mode="json"), 202 if turn.status == "running" else 200
