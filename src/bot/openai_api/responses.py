"""`/v1/responses`: an agent's model answers a conversation that the client keeps, as items and events."""

from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Literal

from flask import Response

from bot.http.context import services
from bot.http.disconnects import client_gone
from bot.http.idempotency import once, repeatable, stored_answer
from bot.http.problems import reported
from bot.http.requests import caller
from bot.http.sse import ServerSentEvent, event_stream
from bot.http.types import View
from bot.llm.interruption import Interrupted
from bot.llm.types import Completion
from bot.openai_api.agents import agent_of_model
from bot.openai_api.blueprint import answers, part
from bot.openai_api.envelope import envelope
from bot.openai_api.repeats import answered
from bot.openai_api.shapes.answered import ResponseStream, ResponseView, response_head, show_response
from bot.openai_api.shapes.replayed import events_of
from bot.openai_api.shapes.responses import InputTokensCount, ResponseCreate, inquiry_of
from bot.turns.completions import Event, RunningCompletion, model_request
from bot.turns.model_requests import size_of
from models.idempotency import IdempotencyRecord

api = part("responses", "Answers of agents to conversations that the client keeps, as items; nothing is stored.")

# nginx's status for this; nobody receives it.
_CLIENT_GONE = 499
_ANSWER: dict[str, Any] = {
    "description": "The response; with `stream: true` server-sent events, each with a `type` and a `sequence_number`, "
    "of which the last is `response.completed`, `response.incomplete` or `response.failed`. Comments are keep-alives.",
    "content": {
        "application/json": {"schema": {"$ref": api.describe(ResponseView)}},
        "text/event-stream": {
            "schema": {
                "type": "object",
                "description": "One event.",
                "required": ["event", "data"],
                "properties": {
                    "event": {"type": "string", "description": "Its type."},
                    "data": {"type": "string", "description": "The event as JSON."},
                },
            }
        },
    },
}


class InputTokensView(View):
    """How many tokens an input takes, as Turntable counts them."""

    object: Literal["response.input_tokens"] = "response.input_tokens"
    input_tokens: int


def _replay(record: IdempotencyRecord, body: ResponseCreate) -> Any:
    answer, status = stored_answer(answered(record))
    return event_stream(_named(event) for event in events_of(answer)) if body.stream else (answer, status)


@api.post("/responses", responses=answers({200: _ANSWER}, 404, 409, 413, 415, 502, 504), summary="Create a response")
@repeatable(_replay)
def create(body: ResponseCreate) -> Any:
    """The agent named by `model` answers. Nothing is stored; the tokens count in the user's usage and limits.

    The model is stopped when the client disconnects.
    """
    user_id, completions, streams = caller().user_id, services().completions, services().streams
    agent = agent_of_model(body.model)
    provider = completions.provider(agent, user_id)
    body.check(agent, provider, owned=agent.user_id == user_id)
    if not body.stream:
        return _whole(completions.begin(user_id, agent, provider, inquiry_of(body), once()), body)
    streams.reserve()
    try:
        running = completions.begin(user_id, agent, provider, inquiry_of(body), once())
    except BaseException:
        streams.release()
        raise
    return _streamed(running, body)


@api.post(
    "/responses/input_tokens",
    responses=answers({200: InputTokensView}, 404, 413, 415),
    summary="Count input tokens",
)
def count(body: InputTokensCount) -> dict[str, Any]:
    """How many tokens a response's input takes, with the agent's system message and the functions."""
    user_id = caller().user_id
    agent = agent_of_model(body.model)
    request = model_request(agent, services().completions.provider(agent, user_id), inquiry_of(body))
    tokens = size_of(request.messages, request.tools, request.model)
    return InputTokensView(input_tokens=tokens).model_dump(mode="json")


def _head(running: RunningCompletion, body: ResponseCreate) -> dict[str, Any]:
    return response_head(f"resp_{running.id}", running.started_at, body, running.request)


def _whole(running: RunningCompletion, body: ResponseCreate) -> Any:
    head = _head(running, body)
    once(lambda made: (show_response(head, made, _now()), 200))
    try:
        completion = running.answer(client_gone())
    except Interrupted:
        return Response(status=_CLIENT_GONE)
    return show_response(head, completion, _now()), 200


def _streamed(running: RunningCompletion, body: ResponseCreate) -> Any:
    head = _head(running, body)
    once(lambda made: (show_response(head, made, _now()), 200))
    live = running.stream(services().streams, client_gone())
    try:
        # An error before the first delta has a status of its own. After 15 seconds this is a keep-alive.
        first = next(live)
    except Interrupted:
        return Response(status=_CLIENT_GONE)
    return event_stream(_events(first, live, ResponseStream(head)))


def _events(
    first: Event | None, live: Generator[Event | None, None, None], stream: ResponseStream
) -> Iterator[ServerSentEvent | None]:
    with closing(live):
        try:
            yield from map(_named, stream.start())
            for event in chain([first], live):
                if event is None:
                    yield None
                elif isinstance(event, Completion):
                    yield from map(_named, stream.end(event, _now()))
                else:
                    yield from map(_named, stream.delta(event))
        except Interrupted:
            return
        except Exception as error:
            shown = envelope(reported(error))["error"]
            yield from map(_named, stream.fail(shown["type"], shown["message"]))


def _named(event: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(event["type"], event)


def _now() -> datetime:
    return datetime.now(UTC)
