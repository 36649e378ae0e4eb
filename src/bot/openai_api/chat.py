"""`/v1/chat/completions`: an agent's model writes the next message of a conversation that the client keeps."""

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from bot.http.idempotency import repeatable, stored_answer
from bot.http.sse import Done, ServerSentEvent, event_stream
from bot.llm.types import Completion, ReasoningDelta, TextDelta
from bot.openai_api.blueprint import answers, part
from bot.openai_api.repeats import answered
from bot.openai_api.running import Sent, answer
from bot.openai_api.shapes.chat import ChatCompletionCreate
from bot.openai_api.shapes.completions import ChatCompletionView, Chunks, show_completion
from bot.turns.completions import RunningCompletion
from models.idempotency import IdempotencyRecord

api = part("chat", "Answers of agents to conversations that the client keeps; nothing is stored.")

_ANSWER: dict[str, Any] = {
    "description": "The answer; with `stream: true` server-sent events, each with a chunk as `data`, and `[DONE]` at "
    "the end. An error after the first chunk is an event, too, and then nothing follows. Comments are keep-alives.",
    "content": {
        "application/json": {"schema": {"$ref": api.describe(ChatCompletionView)}},
        "text/event-stream": {
            "schema": {
                "type": "object",
                "description": "One event.",
                "required": ["data"],
                "properties": {"data": {"type": "string", "description": "A chunk as JSON; at the end `[DONE]`."}},
            }
        },
    },
}


def _replay(record: IdempotencyRecord, body: ChatCompletionCreate) -> Any:
    made, status = stored_answer(answered(record))
    if not body.stream:
        return made, status
    chunks = Chunks(made, include_usage=body.include_usage)
    return event_stream(chain((ServerSentEvent(None, chunk) for chunk in chunks.of(made)), [Done()]))


@api.post(
    "/chat/completions",
    responses=answers({200: _ANSWER}, 404, 409, 413, 415, 502, 504),
    summary="Create a chat completion",
)
@repeatable(_replay)
def create(body: ChatCompletionCreate) -> Any:
    """The agent named by `model` answers. Nothing is stored; the tokens count in the user's usage and limits.

    The model is stopped when the client disconnects.
    """
    return answer(body, body.inquiry, partial(_ChatForm, body))


class _ChatForm:
    """A message, or chunks of one."""

    def __init__(self, body: ChatCompletionCreate, running: RunningCompletion) -> None:
        self._head = {
            "id": f"chatcmpl-{running.id}",
            "created": int(running.started_at.timestamp()),
            "model": body.model,
        }
        self._chunks = Chunks(self._head, include_usage=body.include_usage)

    def show(self, completion: Completion) -> dict[str, Any]:
        return show_completion(self._head, completion)

    def start(self) -> Iterator[Sent]:
        yield ServerSentEvent(None, self._chunks.start())

    def delta(self, event: TextDelta | ReasoningDelta) -> Iterator[Sent]:
        yield ServerSentEvent(None, self._chunks.delta(event))

    def end(self, completion: Completion) -> Iterator[Sent]:
        for chunk in self._chunks.end(completion):
            yield ServerSentEvent(None, chunk)
        yield Done()

    def fail(self, error: dict[str, Any]) -> Iterator[Sent]:
        yield ServerSentEvent(None, {"error": error})
