"""Turns, in which the agent answers: run, read while running or later, followed from any process, cancelled."""

import re
from typing import Annotated, Any

from flask import Response, request
from pydantic import AfterValidator, Field

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
from bot.http.types import Included, Parameters, TurnId
from bot.turns import following
from bot.turns.service import Question
from models.turn import EventId

api = resource("turns", "Single runs of an agent: status, streamed text, result.")

# How many seconds to wait for a cancelled turn to stop: its worker learns of it within a second.
_CANCEL_WAIT_SECONDS = 5.0
_EVENT_ID = r"[0-9]{1,10}(-[0-9]{1,10})?"
_NOT_AN_ID = "must be the id of an event, such as 5 or 5-2"


class TurnPath(Parameters):
    """Which turn."""

    turn_id: TurnId


def _an_event_id(text: str) -> str:
    if not re.fullmatch(_EVENT_ID, text):
        raise ValueError(_NOT_AN_ID)
    return text


class EventsQuery(Included):
    """Where to resume, and what the stream contains."""

    after: Annotated[str, AfterValidator(_an_event_id)] = Field(
        "0",
        description="The id of the last event received, or 0.",
        examples=["5", "5-2"],
        json_schema_extra={"pattern": f"^{_EVENT_ID}$"},
    )


@api.post("/conversations/<conversation_id>/turns", responses=TURN_ANSWERS, summary="Run a turn")
@repeatable(replay_turn)
def run(path: ConversationPath, query: TurnQuery, body: TurnCreate) -> Any:
    """The agent answers the conversation as it is, without a new message."""
    body.check()
    return answer_turn(path.conversation_id, Question(), query, body)


@api.get("/turns/<turn_id>", responses=answers({200: TurnView}, 404), summary="Read a turn")
def read(path: TurnPath) -> dict[str, Any]:
    """The status of a turn, running or ended. A turn whose worker died is `interrupted`."""
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
    after = max(_event_id(query.after), _last_event_id())
    user_id = caller().user_id
    turn = following.find_turn(user_id, path.turn_id)
    if not following.has_more(turn, after):
        # 204 stops an EventSource, which would otherwise reconnect forever.
        return Response(status=204)
    return turn_stream(following.follow_turn(turn, after, reasoning=query.reasoning), reasoning=query.reasoning)


def _event_id(text: str) -> EventId:
    number, _, part = text.partition("-")
    return EventId(int(number), int(part or 0))


def _last_event_id() -> EventId:
    given = request.headers.get("Last-Event-ID", "0")
    if not re.fullmatch(_EVENT_ID, given):
        raise ValidationFailed(
            f"Last-Event-ID: {_NOT_AN_ID}.",
            fields=(FieldError("Last-Event-ID", _NOT_AN_ID),),
        )
    return _event_id(given)


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
