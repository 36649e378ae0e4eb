"""`/v1/chat/completions`: an agent's model writes the next message of a conversation that the client keeps."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain
from typing import Any

from flask import Response

from bot.http.context import services
from bot.http.disconnects import client_gone
from bot.http.idempotency import once, repeatable, stored_answer
from bot.http.problems import reported
from bot.http.requests import caller
from bot.http.sse import Done, ServerSentEvent, event_stream
from bot.llm.interruption import Interrupted
from bot.llm.types import Completion
from bot.openai_api.agents import agent_of_model
from bot.openai_api.blueprint import answers, part
from bot.openai_api.envelope import envelope
from bot.openai_api.repeats import answered
from bot.openai_api.shapes.chat import ChatCompletionCreate
from bot.openai_api.shapes.completions import ChatCompletionView, Chunks, show_completion
from bot.turns.completions import Event, RunningCompletion
from models.idempotency import IdempotencyRecord

api = part("chat", "Answers of agents to conversations that the client keeps; nothing is stored.")

# nginx's status for this; nobody receives it.
_CLIENT_GONE = 499
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
    answer, status = stored_answer(answered(record))
    if not body.stream:
        return answer, status
    chunks = Chunks(answer, include_usage=body.include_usage)
    return event_stream(chain((ServerSentEvent(None, chunk) for chunk in chunks.of(answer)), [Done()]))


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
    user_id, completions, streams = caller().user_id, services().completions, services().streams
    agent = agent_of_model(body.model)
    provider = completions.provider(agent, user_id)
    body.check(agent, provider, owned=agent.user_id == user_id)
    if not body.stream:
        return _whole(completions.begin(user_id, agent, provider, body.inquiry(), once()), body)
    streams.reserve()
    try:
        running = completions.begin(user_id, agent, provider, body.inquiry(), once())
    except BaseException:
        streams.release()
        raise
    return _streamed(running, body)


def _head(running: RunningCompletion, body: ChatCompletionCreate) -> dict[str, Any]:
    return {"id": f"chatcmpl-{running.id}", "created": int(running.started_at.timestamp()), "model": body.model}


def _whole(running: RunningCompletion, body: ChatCompletionCreate) -> Any:
    head = _head(running, body)
    once(lambda made: (show_completion(head, made), 200))
    try:
        completion = running.answer(client_gone())
    except Interrupted:
        return Response(status=_CLIENT_GONE)
    return show_completion(head, completion), 200


def _streamed(running: RunningCompletion, body: ChatCompletionCreate) -> Any:
    head = _head(running, body)
    once(lambda made: (show_completion(head, made), 200))
    live = running.stream(services().streams, client_gone())
    try:
        # An error before the first delta has a status of its own. After 15 seconds this is a keep-alive.
        first = next(live)
    except Interrupted:
        return Response(status=_CLIENT_GONE)
    return event_stream(_events(first, live, Chunks(head, include_usage=body.include_usage)))


def _events(
    first: Event | None, live: Generator[Event | None, None, None], chunks: Chunks
) -> Iterator[ServerSentEvent | Done | None]:
    with closing(live):
        try:
            yield ServerSentEvent(None, chunks.start())
            for event in chain([first], live):
                if isinstance(event, Completion):
                    yield from (ServerSentEvent(None, chunk) for chunk in chunks.end(event))
                    yield Done()
                else:
                    yield None if event is None else ServerSentEvent(None, chunks.delta(event))
        except Interrupted:
            return
        except Exception as error:
            yield ServerSentEvent(None, envelope(reported(error)))
