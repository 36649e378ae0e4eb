"""`/v1/responses`: an agent's model answers a conversation that the client keeps, as items and events."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

from bot.http.context import services
from bot.http.idempotency import repeatable, stored_answer
from bot.http.requests import caller
from bot.http.sse import ServerSentEvent, event_stream
from bot.http.types import View
from bot.llm.types import Completion, ReasoningDelta, TextDelta
from bot.openai_api.agents import agent_of_model
from bot.openai_api.blueprint import answers, part
from bot.openai_api.repeats import answered
from bot.openai_api.running import Sent, answer
from bot.openai_api.shapes.answered import ResponseStream, ResponseView, response_head, show_response
from bot.openai_api.shapes.replayed import events_of
from bot.openai_api.shapes.responses import InputTokensCount, ResponseCreate, inquiry_of
from bot.turns.completions import RunningCompletion, model_request
from bot.turns.model_requests import size_of
from models.idempotency import IdempotencyRecord

api = part("responses", "Answers of agents to conversations that the client keeps, as items; nothing is stored.")

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
    made, status = stored_answer(answered(record))
    return event_stream(_named(event) for event in events_of(made)) if body.stream else (made, status)


@api.post("/responses", responses=answers({200: _ANSWER}, 404, 409, 413, 415, 502, 504), summary="Create a response")
@repeatable(_replay)
def create(body: ResponseCreate) -> Any:
    """The agent named by `model` answers. Nothing is stored; the tokens count in the user's usage and limits.

    The model is stopped when the client disconnects.
    """
    return answer(body, partial(inquiry_of, body), partial(_ResponseForm, body))


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


class _ResponseForm:
    """A response with its items, or the events of one."""

    def __init__(self, body: ResponseCreate, running: RunningCompletion) -> None:
        self._head = response_head(f"resp_{running.id}", running.started_at, body, running.request)
        self._stream = ResponseStream(self._head)

    def show(self, completion: Completion) -> dict[str, Any]:
        return show_response(self._head, completion, _now())

    def start(self) -> Iterator[Sent]:
        yield from map(_named, self._stream.start())

    def delta(self, event: TextDelta | ReasoningDelta) -> Iterator[Sent]:
        yield from map(_named, self._stream.delta(event))

    def end(self, completion: Completion) -> Iterator[Sent]:
        yield from map(_named, self._stream.end(completion, _now()))

    def fail(self, error: dict[str, Any]) -> Iterator[Sent]:
        yield from map(_named, self._stream.fail(error["type"], error["message"]))


def _named(event: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(event["type"], event)


def _now() -> datetime:
    return datetime.now(UTC)
