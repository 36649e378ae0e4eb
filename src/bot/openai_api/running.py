"""One request for an answer of which nothing is stored, from the check of its parameters to its last event."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from typing import Any, Protocol

from flask import Response

from bot.http.context import services
from bot.http.disconnects import client_gone
from bot.http.idempotency import once
from bot.http.problems import reported
from bot.http.requests import caller
from bot.http.sse import Done, ServerSentEvent, event_stream
from bot.llm.interruption import Interrupted
from bot.llm.types import Completion, Provider, ReasoningDelta, TextDelta
from bot.openai_api.agents import agent_of_model
from bot.openai_api.envelope import envelope
from bot.turns.completions import Event, Inquiry, RunningCompletion
from models.agent import Agent

# nginx's status for this; nobody receives it.
_CLIENT_GONE = 499

Sent = ServerSentEvent | Done


class Asked(Protocol):
    """The body of a request."""

    model: str
    stream: bool | None

    def check(self, agent: Agent, provider: Provider, *, owned: bool) -> None:
        """Check the parameters in combination, and against the agent; `owned`: it is the caller's."""


class Form(Protocol):
    """How an answer is shown: whole, or event by event."""

    def show(self, completion: Completion) -> dict[str, Any]:
        """Return the whole answer."""

    def start(self) -> Iterator[Sent]:
        """Yield the events before the first delta."""

    def delta(self, event: TextDelta | ReasoningDelta) -> Iterator[Sent]:
        """Yield the events of a delta."""

    def end(self, completion: Completion) -> Iterator[Sent]:
        """Yield the events after the last delta."""

    def fail(self, error: dict[str, Any]) -> Iterator[Sent]:
        """Yield the events of an answer that broke off, with the error as OpenAI shows it."""


def answer(body: Asked, inquiry: Callable[[], Inquiry], form: Callable[[RunningCompletion], Form]) -> Any:
    """Ask the agent that `model` names, and answer the current request, whole or as a stream.

    The model is stopped when the client disconnects.

    Args:
        body: the request; it is checked first.
        inquiry: returns what is asked of the agent, once the body is known to be valid.
        form: returns how the answer is shown.
    """
    user_id, completions, streams = caller().user_id, services().completions, services().streams
    agent = agent_of_model(body.model)
    provider = completions.provider(agent, user_id)
    body.check(agent, provider, owned=agent.user_id == user_id)
    if not body.stream:
        running = completions.begin(user_id, agent, provider, inquiry(), once())
        return _whole(running, form(running))
    streams.reserve()
    try:
        running = completions.begin(user_id, agent, provider, inquiry(), once())
    except BaseException:
        streams.release()
        raise
    return _streamed(running, form(running))


def _whole(running: RunningCompletion, form: Form) -> Any:
    once(lambda made: (form.show(made), 200))
    try:
        completion = running.answer(client_gone())
    except Interrupted:
        return Response(status=_CLIENT_GONE)
    return form.show(completion), 200


def _streamed(running: RunningCompletion, form: Form) -> Any:
    once(lambda made: (form.show(made), 200))
    live = running.stream(services().streams, client_gone())
    try:
        # An error before the first delta has a status of its own. After 15 seconds this is a keep-alive.
        first = next(live)
    except Interrupted:
        return Response(status=_CLIENT_GONE)

    def events() -> Iterator[Sent | None]:
        with closing(live):
            yield from _events(chain([first], live), form)

    return event_stream(events())


def _events(live: Iterator[Event | None], form: Form) -> Iterator[Sent | None]:
    try:
        yield from form.start()
        for event in live:
            if event is None:
                yield None
            elif isinstance(event, Completion):
                yield from form.end(event)
            else:
                yield from form.delta(event)
    except Interrupted:
        return
    except Exception as error:
        yield from form.fail(envelope(reported(error))["error"])
