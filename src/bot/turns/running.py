"""One running turn: asks the model, passes the answer on, and stores the end before announcing it."""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

from bot.errors import ProviderIncomplete, TurnCancelled
from bot.llm.interruption import Interrupted, interruptible
from bot.llm.tokens import count_tokens
from bot.llm.types import Completion, ModelRequest, ReasoningDelta, TextDelta
from bot.turns.endings import as_bot_error, unstored
from bot.turns.event_log import EventLog
from bot.turns.events import STARTED, AnswerDelta, TurnEnded, TurnEvent, TurnStarted
from bot.turns.events import ReasoningDelta as ReasoningEvent
from bot.turns.leases import LeaseKeeper
from bot.turns.model_requests import ModelRequests, size_of
from bot.turns.recovery import TurnRecovery
from bot.turns.tools import call_draft, check_calls
from models.access_patterns.messages import Draft
from models.access_patterns.partial_answers import unfinished
from models.access_patterns.turn_beginnings import Begun
from models.access_patterns.turn_errors import CancelRequested
from models.access_patterns.turns import end_turn
from models.agent import Agent
from models.message import Message
from models.table.errors import LeaseLost
from models.turn import MOST_UNSTORED, EventId, Turn, TurnEnd

log = logging.getLogger(__name__)

_LONGEST_PIECE = 16_384
_STOPPED = "The worker that ran this turn was stopped."
_UNSTORED = "The end of this turn could not be stored in DynamoDB."


class RunningTurn:
    """A turn that has begun: its answer so far, and the fields of its record. Run once, by one thread."""

    def __init__(
        self,
        begun: Begun,
        agent: Agent,
        model_requests: ModelRequests,
        leases: LeaseKeeper,
        recovery: TurnRecovery,
        events: EventLog,
    ) -> None:
        """Prepare a turn whose lease `leases` keeps.

        If its end cannot be stored, `recovery` takes over; `events` stores the stream for clients that follow it.
        """
        self._begun = begun
        self._agent = agent
        self._model_requests = model_requests
        self._leases = leases
        self._recovery = recovery
        self._log = events
        self._record: dict[str, Any] = {}
        self._stored: list[Message] = []
        self._request: ModelRequest | None = None
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._last = STARTED

    def run(self) -> Generator[TurnEvent, None, None]:
        """Run the turn to its end and yield its events; its lease is released at the end."""
        lease = self._begun.lease
        try:
            yield TurnStarted(
                lease.turn_id, lease.conversation.conversation_id, lease.conversation.agent_id, self._begun.messages
            )
            yield from self._answer()
        finally:
            self._leases.release(lease)

    def _answer(self) -> Generator[TurnEvent, None, None]:
        held = self._leases.held(self._begun.lease)
        ended: TurnEnded | None = None

        def shall_stop() -> bool:
            self._log.tick()
            return held.shall_stop

        try:
            with closing(interruptible(self._ask(), shall_stop)) as events:
                for event in events:
                    if isinstance(event, TextDelta):
                        for piece in _pieces(event.text):
                            yield self._said(piece)
                    elif isinstance(event, ReasoningDelta):
                        for piece in _pieces(event.text):
                            yield self._reasoned(piece)
                    else:
                        ended = self._complete(event)
        except GeneratorExit:
            # Numbered like an orphaned turn's end, because nobody receives this one.
            numbered = {"last_event": self._ending()["last_event"] + MOST_UNSTORED}
            self._end("interrupted", unfinished(self._text, "turn_interrupted", _STOPPED) | numbered)
            raise
        except (Interrupted, CancelRequested):
            ended = self._fail(LeaseLost(self._begun.lease.turn_id)) if held.lost.is_set() else self._cancel()
        except Exception as error:
            ended = self._fail(error)
        ended = ended or self._fail(ProviderIncomplete("The provider's answer ended without a completion."))
        # The consumer may never resume this generator after the last event.
        self._leases.release(self._begun.lease)
        yield ended

    def _ask(self) -> Generator[TextDelta | ReasoningDelta | Completion, None, None]:
        """Ask the model; also sets the turn's provider, model and request."""
        provider = self._model_requests.provider(self._agent, self._begun.lease.user_id)
        self._record |= {"provider": provider.name, "model": self._agent.model}
        self._request = self._model_requests.request(self._agent, provider, self._begun)
        started = time.monotonic()
        try:
            yield from provider.stream(self._request)
        finally:
            log.info(
                "turn %s: the request to %s/%s took %.1f s",
                self._begun.lease.turn_id,
                provider.name,
                self._agent.model,
                time.monotonic() - started,
            )

    def _complete(self, completion: Completion) -> TurnEnded:
        self._record["finish_reason"] = completion.finish_reason
        if completion.usage is not None:
            self._record["input_tokens"] = completion.usage.input_tokens
            self._record["output_tokens"] = completion.usage.output_tokens
        else:
            self._count(*(f"{call.name} {call.arguments}" for call in completion.tool_calls))
        check_calls(completion)
        self._log.close()
        turn, messages = end_turn(self._begun.lease, "completed", _answer(completion), self._ending())
        return TurnEnded(turn, self._begun.messages, tuple(messages))

    def _cancel(self) -> TurnEnded:
        error = TurnCancelled()
        turn = self._end("cancelled", unfinished(self._text, error.code, error.detail))
        return TurnEnded(turn, self._begun.messages, (), error)

    def _fail(self, error: Exception) -> TurnEnded:
        reported = as_bot_error(error, self._begun)
        more = {"retry_after": reported.retry_after, "extra": dict(reported.extra)}
        record = unfinished(self._text, reported.code, reported.detail, **more)
        turn = self._end("failed", record)
        if turn.status == "completed":
            # The end was stored; only its acknowledgement was lost.
            return TurnEnded(turn, self._begun.messages, tuple(self._stored))
        return TurnEnded(turn, self._begun.messages, (), reported)

    def _end(self, status: TurnEnd, record: dict[str, Any]) -> Turn:
        """Store how an unfinished turn ended, as far as that is possible.

        If the lease is lost, the worker that took it has stored an end. If the table is unavailable, the turn is
        recorded as interrupted once it is available again, or by a later request once the lease has expired.
        """
        turn_id = self._begun.lease.turn_id
        if self._text or self._reasoning:
            # What was received has been paid for, although the provider has not reported the usage.
            self._count()
        try:
            self._log.close()
            turn, self._stored = end_turn(self._begun.lease, status, [], self._ending() | record)
            return turn
        except LeaseLost:
            log.warning("turn %s lost its lease; its end (%s) was not stored", turn_id, status)
        except Exception:
            log.exception("the end (%s) of turn %s was not stored", status, turn_id)
            self._recovery.abandon(self._begun.lease.turn, _UNSTORED)
        return unstored(self._begun, self._ending() | record)

    @property
    def _text(self) -> str:
        return "".join(self._texts)

    def _said(self, text: str) -> AnswerDelta:
        self._last = EventId(self._last.number + 1)
        self._texts.append(text)
        self._log.add(self._last, text)
        return AnswerDelta(text, self._last)

    def _reasoned(self, text: str) -> ReasoningEvent:
        self._last = EventId(self._last.number, self._last.part + 1)
        self._reasoning.append(text)
        self._log.add(self._last, text)
        return ReasoningEvent(text, self._last)

    def _count(self, *calls: str) -> None:
        """Count the tokens ourselves if the provider has not reported them."""
        if self._request is not None and "input_tokens" not in self._record:
            model = self._request.model
            self._record["input_tokens"] = size_of(self._request.messages, self._request.tools, model)
            said = (self._text, "".join(self._reasoning), *calls)
            self._record["output_tokens"] = sum(count_tokens(text, model) for text in said)

    def _ending(self) -> dict[str, Any]:
        return self._record | self._log.record | {"last_event": self._last.number + 1}


def _pieces(text: str) -> Iterator[str]:
    """Split a text that is too large for an item with others."""
    for start in range(0, len(text), _LONGEST_PIECE):
        yield text[start : start + _LONGEST_PIECE]


def _answer(completion: Completion) -> list[Draft]:
    drafts = []
    text = completion.text or completion.refusal
    # Small models sometimes return nothing. That is stored as an empty answer, which the caller sees.
    if text or not completion.tool_calls:
        notes: dict[str, Any] = (
            {} if completion.finish_reason == "stop" else {"finish_reason": completion.finish_reason}
        )
        if completion.refusal:
            notes["refusal"] = True
        drafts.append(Draft("agent", text or "", attributes=notes, llm_response_id=completion.response_id))
    drafts += [call_draft(call, completion.response_id) for call in completion.tool_calls]
    return [replace(drafts[0], reasoning=completion.reasoning), *drafts[1:]]
