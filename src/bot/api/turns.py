"""Turns, in which the agent answers: run, read while they run or later, followed from any process, cancelled."""

from collections.abc import Sequence
from typing import Any

from flask import Response, request
from pydantic import Field

from bot.api.blueprint import answers, resource
from bot.api.context import services
from bot.api.conversations import ConversationPath
from bot.api.idempotency import once, repeatable
from bot.api.message_bodies import Cancellation, MessageCreate, TurnCreate
from bot.api.message_views import TurnResult, TurnView, show_message, show_turn
from bot.api.requests import agent_read_along, caller
from bot.api.sse import STREAM_DOCUMENT, event_stream
from bot.api.types import Parameters, TurnId
from bot.errors import FieldError, IdempotencyInProgress, Overloaded, ValidationFailed
from bot.turns import following
from bot.turns.events import TurnEnded
from bot.turns.service import Question
from models.access_patterns.turn_events import turn_messages
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.turn import Turn

api = resource("turns", "One run of an agent each: how it stands, what it says, how it ended.")

# How long a cancelled turn is waited for: its worker hears of it within a second.
_PATIENCE = 5.0
_LONGEST_EVENT_ID = 10
# How long a repeated request waits for the end of the first one.
_JOINED = 30.0


class TurnQuery(Parameters):
    """How a busy conversation is met."""

    wait: float = Field(
        0, ge=0, le=60, allow_inf_nan=False, description="Seconds to wait where another turn runs; then 409."
    )


class TurnPath(Parameters):
    """Which turn."""

    turn_id: TurnId


class EventsQuery(Parameters):
    """From where on."""

    after: int = Field(0, ge=0, le=9_999_999_999, description="The id of the last event that was seen; 0 for none.")


TURN_ANSWERS = answers({201: TurnResult, 202: TurnResult, **STREAM_DOCUMENT}, 400, 404, 409, 413, 415, 502, 504)


def replay_turn(
    record: IdempotencyRecord,
    path: ConversationPath,  # noqa: ARG001 - a replay gets what the route gets
    query: TurnQuery,  # noqa: ARG001
    body: MessageCreate | TurnCreate,
) -> Any:
    """Answer again for a turn that another request with this key has begun; join it while it runs.

    Cost: AP-53 and AP-58, and AP-54 while it runs.

    Raises:
        ItemNotFound: it was deleted with its conversation.
        IdempotencyInProgress: it still runs.
        BotError: it did not complete, and that is told again.
    """
    user_id = caller().user_id
    turn = following.find_turn(user_id, record.effect_id)
    if body.stream:
        return event_stream(following.follow_turn(turn, 0))
    if body.background:
        begun = [message for message in turn_messages(turn) if message.sender != "agent"]
        return _accepted(turn.as_begun(), begun)
    turn = following.await_end(turn, _JOINED)
    if turn.status == "running":
        raise IdempotencyInProgress("The first request with this key still runs; ask again.", retry_after=2)
    return answer_end(following.ended_event(turn)), 201


@api.post("/conversations/<conversation_id>/turns", responses=TURN_ANSWERS, summary="Run a turn")
@repeatable(replay_turn)
def run(path: ConversationPath, query: TurnQuery, body: TurnCreate) -> Any:
    """The agent answers what is there, without a new message."""
    body.check()
    return answer_turn(path.conversation_id, Question(), query.wait, stream=body.stream, background=body.background)


def answer_turn(conversation_id: str, question: Question, wait: float, *, stream: bool, background: bool) -> Any:
    """Run a turn for the present request, and answer it: with the result, with a stream, or at once."""
    turns, streams = services().turns, services().streams
    user_id = caller().user_id
    agent = agent_read_along() or turns.agent_of(user_id, conversation_id)
    services().hints.remember(conversation_id, agent.user_id, agent.agent_id)
    followed, key = stream or background, once()
    if followed:
        streams.reserve()
    try:
        announced = followed or key is not None
        begun = turns.begin(user_id, conversation_id, question, agent, announced=announced, wait=wait, once=key)
    except BaseException:
        if followed:
            streams.give_back()
        raise
    events = turns.run(begun, agent, logged=followed)
    try:
        if background:
            streams.start(events)
            return _accepted(begun.lease.turn, begun.messages)
        if stream:
            return event_stream(streams.follow(events))
    except Overloaded:
        turns.abandon(begun)
        raise
    (ended,) = (event for event in events if isinstance(event, TurnEnded))
    return answer_end(ended), 201


def _accepted(turn: Turn, begun: Sequence[Message]) -> Any:
    result = TurnResult(turn=show_turn(turn), input=[show_message(message) for message in begun], output=[])
    return result.model_dump(mode="json"), 202, {"Location": f"/api/v1/turns/{turn.turn_id}"}


def answer_end(ended: TurnEnded) -> dict[str, Any]:
    """Return what is told of a turn that completed.

    Raises:
        BotError: it did not; the turn is in the problem document.
    """
    if ended.error is not None:
        ended.error.extra |= {"turn": show_turn(ended.turn).model_dump(mode="json")}
        raise ended.error
    return TurnResult(
        turn=show_turn(ended.turn),
        input=[show_message(message) for message in ended.input],
        output=[show_message(message) for message in ended.output],
    ).model_dump(mode="json")


@api.get("/turns/<turn_id>", responses=answers({200: TurnView}, 404), summary="Read a turn")
def read(path: TurnPath) -> dict[str, Any]:
    """How a turn stands, whether it runs or has ended. One whose worker died is `interrupted`."""
    return show_turn(following.find_turn(caller().user_id, path.turn_id)).model_dump(mode="json")


@api.get(
    "/turns/<turn_id>/events",
    responses=answers(
        {**STREAM_DOCUMENT, 204: {"description": "The turn has ended, and the client has seen that event."}}, 404
    ),
    summary="Follow a turn",
)
def events(path: TurnPath, query: EventsQuery) -> Response:
    """The events of a turn after a given one, to its end; from any process, while it runs and for a day after.

    `Last-Event-ID`, as browsers send it when they connect again, says the same as `after`; the higher one counts.
    """
    after = max(query.after, _last_event_id())
    user_id = caller().user_id
    turn = following.find_turn(user_id, path.turn_id)
    if not following.has_more(turn, after):
        # It ends an EventSource, which would connect again for ever.
        return Response(status=204)
    return event_stream(following.follow_turn(turn, after))


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
    """The model is heard no longer, and what it had said is kept on the turn.

    A turn that has ended stays as it is: the answer's `status` tells. 202 says that its worker has not stopped yet.
    """
    turn = following.cancel_turn(caller().user_id, path.turn_id, services().leases, _PATIENCE)
    return show_turn(turn).model_dump(mode="json"), 202 if turn.status == "running" else 200
