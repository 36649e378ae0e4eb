"""Answers of agents of which nothing is stored: the client sends the whole conversation, and gets the next message.

Only the tokens are counted, as for turns. Nobody could read the answer later, so the model is stopped when the client
disconnects.
"""

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bot.errors import BotError, ProviderIncomplete, ProviderRejected
from bot.llm.content import images_of
from bot.llm.interruption import Interrupted, interruptible
from bot.llm.normal_form import normal_form
from bot.llm.refusals import LATER_TURNS
from bot.llm.tokens import count_tokens
from bot.llm.types import ChatMessage, Completion, ModelRequest, Provider, ReasoningDelta, TextDelta, Usage
from bot.turns.model_requests import ModelRequests, model_settings, size_of
from bot.turns.quotas import ANSWER_TOKENS, Quotas
from bot.turns.streams import TurnStreams
from models.access_patterns.completions import BegunCompletion, begin_completion, end_completion, new_completion
from models.access_patterns.idempotency import Once
from models.agent import Agent
from models.allowance import Quota
from models.table.errors import ItemTooLarge
from models.table.tenancy import UserId
from models.turn import ID_PREFIX

log = logging.getLogger(__name__)

Event = TextDelta | ReasoningDelta | Completion


@dataclass(frozen=True, slots=True)
class Inquiry:
    """What a client asks an agent: the conversation, and settings that replace the agent's.

    Attributes:
        messages: the conversation after the agent's system message, oldest first; each has its position as its source.
        settings: fields of a `ModelRequest`; what is not there is as the agent has it.
        tools: the functions that are offered; empty, those of the agent.
        reasoning: what the model reasoned before its messages, by position, for servers that require it.
    """

    messages: tuple[ChatMessage, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    tools: tuple[dict[str, Any], ...] = ()
    reasoning: Mapping[str, str] = field(default_factory=dict)


def functions_for(agent: Agent, provider: Provider, inquiry: Inquiry) -> tuple[dict[str, Any], ...]:
    """Return the functions that the model is offered: the client's, else those of the agent."""
    return inquiry.tools or (tuple(agent.functions or ()) if provider.supports_tools else ())


def model_request(agent: Agent, provider: Provider, inquiry: Inquiry) -> ModelRequest:
    """Return the request to the model: the agent's system message, and then the client's messages, all of them."""
    tools = functions_for(agent, provider, inquiry)
    system = [ChatMessage("system", agent.system_message)] if agent.system_message else []
    messages = normal_form([*system, *inquiry.messages], functions={str(tool.get("name")) for tool in tools})
    settings = {**model_settings(agent, tools), **inquiry.settings}
    # Every image is asked about: none is replaced by a note without a word.
    asked = frozenset(source for message in inquiry.messages if images_of(message) for source in message.sources)
    reasoning = (lambda: inquiry.reasoning) if inquiry.reasoning else None
    return ModelRequest(agent.model, messages, tools=tools, asked=asked, reasoning=reasoning, **settings)


class CompletionService:
    """Begins completions; one per process."""

    def __init__(self, model_requests: ModelRequests, quotas: Quotas) -> None:
        """Take what finds an agent's provider, and the deployment's limits."""
        self._model_requests = model_requests
        self._quotas = quotas

    def provider(self, agent: Agent, user_id: UserId) -> Provider:
        """Return the provider for an agent, as for a turn: see `ModelRequests.provider`."""
        return self._model_requests.provider(agent, user_id)

    def begin(
        self, user_id: UserId, agent: Agent, provider: Provider, inquiry: Inquiry, once: Once | None = None
    ) -> "RunningCompletion":
        """Claim what the completion may use, if turns are limited; the model is asked by `RunningCompletion`.

        Cost: nothing without limits; with them AP-80 and AP-84, and at a limit AP-82 and AP-54; with an idempotency key
        AP-84.

        Raises:
            LimitReached: the user's allowance does not permit it.
            DoneBefore: another request with the same idempotency key, `once`, runs or has been answered.
        """
        request = model_request(agent, provider, inquiry)

        def estimate(*_: object) -> int:
            return size_of(request.messages, request.tools, request.model) + (request.max_tokens or ANSWER_TOKENS)

        def begin(quota: Quota | None) -> BegunCompletion:
            if quota is None and once is None:
                return new_completion(user_id)
            return begin_completion(user_id, quota, once)

        begun = self._quotas.begun(user_id, estimate, begin)
        if begun.claim is not None and begun.claim.tokens and not request.max_tokens:
            request = replace(request, max_tokens=ANSWER_TOKENS)
        return RunningCompletion(begun, agent.agent_id, provider, request)


class RunningCompletion:
    """A completion that has begun. Run once, with `answer` or `stream`; its tokens are counted however it ends."""

    def __init__(self, begun: BegunCompletion, agent_id: str, provider: Provider, request: ModelRequest) -> None:
        """Take the completion, the agent, and what to ask of the model."""
        self._begun = begun
        self._agent_id = agent_id
        self._provider = provider
        self._request = request
        self._said: list[str] = []

    @property
    def id(self) -> str:
        """The completion's id without a prefix; it sorts by time."""
        return self._begun.turn_id.removeprefix(f"{ID_PREFIX}_")

    @property
    def request(self) -> ModelRequest:
        """What the model is asked."""
        return self._request

    @property
    def started_at(self) -> datetime:
        """When it began."""
        return self._begun.started_at

    def answer(self, gone: Callable[[], bool]) -> Completion:
        """Return the whole answer.

        Raises:
            Interrupted: the client disconnected.
            BotError: the provider failed.
        """
        (completion,) = (event for event in self._counted(self._asked(gone)) if isinstance(event, Completion))
        return completion

    def stream(self, streams: TurnStreams, gone: Callable[[], bool]) -> Generator[Event | None, None, None]:
        """Yield the answer as it comes, on a thread that `streams` has reserved; None after 15 seconds without a delta.

        The model is stopped when the generator is closed.

        Raises:
            Overloaded: it cannot run; the reservation is released.
            BotError: the provider failed.
        """
        closed = threading.Event()
        try:
            followed = streams.follow(_caught(self._asked(lambda: closed.is_set() or gone())))
        except BotError:
            self._end(None)
            raise
        try:
            yield from self._counted(_raised(followed))
        finally:
            closed.set()

    def _asked(self, shall_stop: Callable[[], bool]) -> Generator[Event, None, None]:
        with closing(interruptible(self._provider.stream(self._request), shall_stop)) as events:
            try:
                yield from events
            except ProviderRejected as error:
                # The client decides what it sends next.
                error.detail = error.detail.removesuffix(LATER_TURNS)
                raise

    def _counted(self, events: Iterable[Event | None]) -> Iterator[Event | None]:
        """Yield the events; the tokens are counted before the last one, or when they end without it."""
        ended = False
        try:
            for event in events:
                if isinstance(event, Completion):
                    made = event if event.usage is not None else replace(event, usage=self._usage(event))
                    assert made.usage is not None
                    ended = True
                    self._end(made.usage, made)
                    yield made
                    return
                if event is not None:
                    self._said.append(event.text)
                yield event
            raise ProviderIncomplete("The provider's answer ended without a completion.")
        finally:
            if not ended:
                # What was received has been paid for, although the provider has not reported the usage.
                self._end(self._usage(None) if self._said else None)

    def _usage(self, completion: Completion | None) -> Usage:
        model = self._request.model
        calls = [f"{call.name} {call.arguments}" for call in completion.tool_calls] if completion else []
        return Usage(
            size_of(self._request.messages, self._request.tools, model),
            sum(count_tokens(text, model) for text in ("".join(self._said), *calls)),
        )

    def _end(self, usage: Usage | None, made: Completion | None = None) -> None:
        """Count the tokens. The client has the answer, or gets it, even if they cannot be counted."""
        begun, once = self._begun, self._begun.once
        if usage is None and begun.claim is None and once is None:
            return
        tokens = None if usage is None else (usage.input_tokens, usage.output_tokens)
        sealed = once.seal(made) if once is not None and once.seal is not None and made is not None else None
        try:
            try:
                end_completion(begun, self._agent_id, self._request.model, tokens, sealed)
            except ItemTooLarge:
                # A repeated request has to ask the model again.
                end_completion(begun, self._agent_id, self._request.model, tokens)
        except Exception:
            log.exception("the tokens of completion %s were not counted: %s", begun.turn_id, tokens)


@dataclass(frozen=True, slots=True)
class _Failed:
    """An error that ends the events of another thread; an expected one needs no place in the log."""

    error: BaseException


def _caught(events: Generator[Event, None, None]) -> Generator[Event | _Failed, None, None]:
    with closing(events):
        try:
            yield from events
        except (BotError, Interrupted) as error:
            yield _Failed(error)


def _raised(events: Iterable[Event | _Failed | None]) -> Iterator[Event | None]:
    for event in events:
        if isinstance(event, _Failed):
            raise event.error
        yield event
