"""One turn from its first write to its last: accept, run, end. `docs/turns.md` has the whole life of one."""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

from bot.access.secrets import Vault
from bot.errors import AgentUnavailable, Conflict, NotConfigured, ProviderIncomplete, TurnCancelled
from bot.llm.interruption import Interrupted, interruptible
from bot.llm.providers import Providers, UnknownProvider
from bot.llm.tokens import REPLY_PRIMING, count_message, count_tokens, count_tools
from bot.llm.types import ChatMessage, Completion, ModelRequest, Provider, TextDelta
from bot.turns.context import build_context
from bot.turns.credentials import lent_credentials, own_credentials
from bot.turns.endings import as_bot_error, unstored
from bot.turns.event_log import EventLog, NoLog, TableLog
from bot.turns.events import AnswerDelta, TurnEnded, TurnEvent, TurnStarted
from bot.turns.leases import LeaseKeeper
from bot.turns.quotas import ANSWER_TOKENS as LONGEST_ANSWER
from bot.turns.quotas import Quotas
from bot.turns.tools import ToolResult, call_draft, check_calls, result_drafts
from bot.turns.waiting import when_free
from models.access_patterns.agents import get_agent
from models.access_patterns.conversations import get_conversation
from models.access_patterns.messages import Draft
from models.access_patterns.sharing import get_shared_agent
from models.access_patterns.turns import Begun, begin_turn, end_turn
from models.access_patterns.users import get_user
from models.agent import Agent
from models.errors import CancelRequested, ItemNotFound, LeaseLost
from models.idempotency import Once
from models.message import Message
from models.retention import shorter
from models.tenancy import UserId
from models.turn import MOST_UNSTORED, Turn, TurnEnd, unfinished

log = logging.getLogger(__name__)

WINDOW = 20
CONTEXT_TOKENS = 16_000
# What a context leaves for the answer where the agent sets no max_tokens; never more than half of it.
ANSWER_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn begins with: the user's message, results for the agent's calls, or neither: answer what is there."""

    message: Draft | None = None
    results: Sequence[ToolResult] = ()

    def compose(self, earlier: Sequence[Message]) -> list[Draft]:
        """Return the messages to store, in view of those that are there.

        Raises:
            ToolResultsExpected: the results do not match the calls that wait.
            Conflict: nothing was said, so there is nothing to answer.
        """
        drafts = result_drafts(earlier, self.results) if self.results else []
        if self.message:
            drafts.append(self.message)
        if not drafts and not earlier:
            raise Conflict("There is nothing to answer: the conversation has no messages.")
        return drafts


class TurnService:
    """Runs turns; one for a process."""

    def __init__(
        self,
        providers: Providers,
        vault: Vault,
        leases: LeaseKeeper,
        quotas: Quotas,
        *,
        embedded_context: int,
        retention_days: int | None = None,
    ) -> None:
        """Take what turns need; `embedded_context` is the embedded model's context, in tokens.

        `retention_days` is the deployment's; an agent can shorten it.
        """
        self._retention_days = retention_days
        self._providers = providers
        self._vault = vault
        self._leases = leases
        self._quotas = quotas
        self._embedded_context = embedded_context

    def agent_of(self, user_id: UserId, conversation_id: str) -> Agent:
        """Return the agent that answers in a conversation.

        Cost: AP-31 and AP-11 (AP-18 for somebody else's), 2 GetItem. A process that knows the conversation reads the
        agent along with the API key.

        Raises:
            ItemNotFound: the user has no such conversation.
            AgentUnavailable: its agent was deleted, or is not shared with the user any more.
        """
        conversation = get_conversation(user_id, conversation_id)
        try:
            if conversation.agent_owner_id is None:
                return get_agent(user_id, conversation.agent_id)
            return get_shared_agent(user_id, conversation.agent_id, conversation.agent_owner_id)
        except ItemNotFound as error:
            raise AgentUnavailable(
                "The agent of this conversation was deleted, or is not shared with you any more. "
                "What was said stays, and can be read."
            ) from error

    def begin(
        self,
        user_id: UserId,
        conversation_id: str,
        question: Question,
        agent: Agent,
        *,
        announced: bool = False,
        wait: float = 0,
        once: Once | None = None,
    ) -> Begun:
        """Take the conversation's lease and store what the turn begins with. After this, it is kept.

        The lease is renewed from now on, until `run` has ended or `abandon` is called.

        Args:
            user_id: who asks.
            conversation_id: the conversation.
            question: what the turn begins with.
            agent: the conversation's agent.
            announced: whether the turn can be followed and found from its first moment.
            wait: how many seconds to wait for a turn that runs.
            once: the request's idempotency key.

        Cost: AP-50, and AP-80 where turns are limited; while it waits AP-31, about twice a second.

        Raises:
            ItemNotFound: the user has no such conversation.
            LeaseHeld: another turn is running.
            LimitReached: the user's allowance does not hold this turn.
            ToolResultsExpected: the results do not match the calls that wait.
            Conflict: nothing was said, so there is nothing to answer.
            DoneBefore: another request with the same idempotency key was first.
        """
        window = _window(agent)
        if question.results:
            # All calls that wait are to be seen, and the turn that made them.
            window = max(window, WINDOW) + len(question.results)
        claiming = lambda quota: begin_turn(  # noqa: E731
            user_id,
            conversation_id,
            question.compose,
            window=window - 1 if question.message else window,
            lease=self._leases.duration,
            retention_days=shorter(self._retention_days, agent.settings.get("retention_days")),
            # Without a message, its conversation does not move to where an unannounced turn is looked for.
            announced=announced or question.message is None,
            quota=quota,
            once=once,
        )
        begin = partial(self._quotas.begun, user_id, partial(self._estimate, agent), claiming)
        begun = when_free(begin, user_id, conversation_id, wait)
        self._leases.hold(begun.lease)
        return begun

    def abandon(self, begun: Begun) -> None:
        """Give up a turn that has begun and will not run: its lease runs out, and it ends as interrupted."""
        self._leases.release(begun.lease)

    def run(self, begun: Begun, agent: Agent, *, logged: bool = False) -> Generator[TurnEvent, None, None]:
        """Run a turn that has begun, to its end; whatever happens to the model, the end is stored before it is told.

        Args:
            begun: the turn.
            agent: the conversation's agent.
            logged: whether what it says can be followed from other processes.

        Cost: AP-52 for the end; AP-56 for what is logged; AP-51 and AP-59 for a turn that takes its time.
        """
        run = _Run(begun, TableLog(begun.lease.turn_id) if logged else NoLog())
        try:
            yield TurnStarted(
                begun.lease.turn_id,
                begun.lease.conversation.conversation_id,
                begun.lease.conversation.agent_id,
                begun.messages,
            )
            yield from self._answer(run, agent)
        finally:
            self._leases.release(begun.lease)

    def _answer(self, run: "_Run", agent: Agent) -> Generator[TurnEvent, None, None]:
        held = self._leases.held(run.begun.lease)
        ended: TurnEnded | None = None

        def shall_stop() -> bool:
            run.log.tick()
            return held.shall_stop

        try:
            with closing(interruptible(self._ask(run, agent), shall_stop)) as events:
                for event in events:
                    if isinstance(event, TextDelta):
                        for piece in _pieces(event.text):
                            yield run.said(piece)
                    else:
                        ended = self._complete(run, event)
        except GeneratorExit:
            # Numbered as an orphan's end: nobody hears this one.
            numbered = {"last_event": run.ending()["last_event"] + MOST_UNSTORED}
            self._end(run, "interrupted", unfinished(run.text, "turn_interrupted", _STOPPED) | numbered)
            raise
        except (Interrupted, CancelRequested):
            ended = self._fail(run, LeaseLost()) if held.lost.is_set() else self._cancel(run)
        except Exception as error:
            ended = self._fail(run, error)
        ended = ended or self._fail(run, ProviderIncomplete("The model gave no end."))
        # Who hears of the end may never come back for more.
        self._leases.release(run.begun.lease)
        yield ended

    def _ask(self, run: "_Run", agent: Agent) -> Generator[TextDelta | Completion, None, None]:
        """Ask the model. Fills the turn's record with what is known of the run."""
        provider = self._provider(agent, run.begun.lease.user_id)
        run.record |= {"provider": provider.name, "model": agent.model}
        run.request = self._request(agent, provider, run.begun)
        started = time.monotonic()
        try:
            yield from provider.stream(run.request)
        finally:
            log.info(
                "turn %s asked %s/%s for %.1f s",
                run.begun.lease.turn_id,
                provider.name,
                agent.model,
                time.monotonic() - started,
            )

    def _provider(self, agent: Agent, user_id: UserId) -> Provider:
        try:
            # The others take no credentials, whatever the agent says.
            if agent.provider != "openai":
                return self._providers.get(agent.provider)
            if agent.user_id != user_id:
                return self._providers.get("openai", lent_credentials(agent, self._vault))
            if agent.credentials == "own" or "openai" not in self._providers.names():
                user = get_user(user_id)
                return self._providers.get("openai", own_credentials(user, "openai", self._vault))
            return self._providers.get("openai")
        except UnknownProvider as error:
            raise NotConfigured(f"This deployment has no provider '{agent.provider}'.") from error

    def _request(self, agent: Agent, provider: Provider, begun: Begun) -> ModelRequest:
        settings = dict(agent.settings)
        tools = tuple(agent.functions or ()) if provider.supports_tools else ()
        context = self._context(agent, tools, begun.earlier, begun.messages, older=begun.older)
        for name in ("window", "context_tokens", "retention_days"):
            settings.pop(name, None)
        if begun.lease.claim is not None and begun.lease.claim.tokens:
            settings["max_tokens"] = settings.get("max_tokens") or LONGEST_ANSWER
        if not tools:
            settings.pop("tool_choice", None)
            settings.pop("parallel_tool_calls", None)
        settings["stop"] = tuple(settings.get("stop") or ())
        return ModelRequest(agent.model, context, tools=tools, **settings)

    def _context(
        self,
        agent: Agent,
        tools: tuple[dict[str, Any], ...],
        earlier: Sequence[Message],
        current: Sequence[Message],
        *,
        older: bool,
    ) -> tuple[ChatMessage, ...]:
        limit = agent.settings.get("context_tokens") or CONTEXT_TOKENS
        if agent.provider == "embedded":
            limit = min(limit, self._embedded_context)
        answer = min(agent.settings.get("max_tokens") or ANSWER_TOKENS, limit // 2)
        return build_context(
            agent.system_message,
            earlier,
            current,
            model=agent.model,
            window=_window(agent),
            budget=limit - answer - count_tools(tools, agent.model),
            cut=older,
        )

    def _estimate(self, agent: Agent, earlier: Sequence[Message], current: Sequence[Message], older: bool) -> int:
        """Return the most tokens that a turn is expected to take: its context as we count it, and its answer."""
        tools = tuple(agent.functions or ())
        context = self._context(agent, tools, earlier, current, older=older)
        answer = agent.settings.get("max_tokens") or LONGEST_ANSWER
        return _size(context, tools, agent.model) + int(answer)

    def _complete(self, run: "_Run", completion: Completion) -> TurnEnded:
        run.record["finish_reason"] = completion.finish_reason
        if completion.usage is not None:
            run.record["input_tokens"] = completion.usage.input_tokens
            run.record["output_tokens"] = completion.usage.output_tokens
        else:
            run.count(*(f"{call.name} {call.arguments}" for call in completion.tool_calls))
        check_calls(completion)
        run.log.close()
        turn, messages = end_turn(run.begun.lease, "completed", _answer(completion), run.ending())
        return TurnEnded(turn, run.begun.messages, tuple(messages))

    def _cancel(self, run: "_Run") -> TurnEnded:
        error = TurnCancelled()
        turn = self._end(run, "cancelled", unfinished(run.text, error.code, error.detail))
        return TurnEnded(turn, run.begun.messages, (), error)

    def _fail(self, run: "_Run", error: Exception) -> TurnEnded:
        told = as_bot_error(error, run.begun)
        record = unfinished(run.text, told.code, told.detail, retry_after=told.retry_after, extra=dict(told.extra))
        turn = self._end(run, "failed", record)
        if turn.status == "completed":
            # What failed was only to hear that the end was stored.
            return TurnEnded(turn, run.begun.messages, tuple(run.stored))
        return TurnEnded(turn, run.begun.messages, (), told)

    def _end(self, run: "_Run", status: TurnEnd, record: dict[str, Any]) -> Turn:
        """Store how an unfinished turn ended, as far as that is possible.

        Without the lease, the worker that took it has done so; without the table, the next one will, when the lease has
        run out.
        """
        turn_id = run.begun.lease.turn_id
        if run.text:
            # What was heard was paid for, though the provider did not get to say how much it was.
            run.count()
        try:
            run.log.close()
            turn, run.stored = end_turn(run.begun.lease, status, [], run.ending() | record)
            return turn
        except LeaseLost:
            log.warning("turn %s lost its lease; its end (%s) was not stored", turn_id, status)
        except Exception:
            log.exception("the end (%s) of turn %s was not stored", status, turn_id)
        return unstored(run.begun, run.ending() | record)


class _Run:
    """One turn while it runs: what it has said, and what its record will say."""

    def __init__(self, begun: Begun, log: EventLog) -> None:
        self.begun = begun
        self.log = log
        self.record: dict[str, Any] = {}
        self.stored: list[Message] = []
        self.request: ModelRequest | None = None
        self._texts: list[str] = []
        self._sequence = 1

    @property
    def text(self) -> str:
        return "".join(self._texts)

    def said(self, text: str) -> AnswerDelta:
        self._sequence += 1
        self._texts.append(text)
        self.log.add(self._sequence, text)
        return AnswerDelta(text, self._sequence)

    def count(self, *calls: str) -> None:
        """Count the tokens ourselves, of a turn for which the provider has not said them."""
        if self.request is not None and "input_tokens" not in self.record:
            model = self.request.model
            self.record["input_tokens"] = _size(self.request.messages, self.request.tools, model)
            self.record["output_tokens"] = sum(count_tokens(text, model) for text in (self.text, *calls))

    def ending(self) -> dict[str, Any]:
        return self.record | {"last_event": self._sequence + 1}


def _pieces(text: str) -> Iterator[str]:
    """Divide a text that would not fit in an item with others."""
    for start in range(0, len(text), _LONGEST_PIECE):
        yield text[start : start + _LONGEST_PIECE]


def _window(agent: Agent) -> int:
    return int(agent.settings.get("window") or WINDOW)


def _size(messages: Sequence[ChatMessage], tools: tuple[dict[str, Any], ...], model: str) -> int:
    """Return how many tokens a request takes, as we count them."""
    return REPLY_PRIMING + sum(count_message(message, model) for message in messages) + count_tools(tools, model)


_LONGEST_PIECE = 16_384
_STOPPED = "The worker that ran this turn was stopped."


def _answer(completion: Completion) -> list[Draft]:
    drafts = []
    text = completion.text or completion.refusal
    # A small model now and then has nothing to say. That is an answer too, and the caller sees that it is empty.
    if text or not completion.tool_calls:
        notes: dict[str, Any] = (
            {} if completion.finish_reason == "stop" else {"finish_reason": completion.finish_reason}
        )
        if completion.refusal:
            notes["refusal"] = True
        drafts.append(Draft("agent", text or "", attributes=notes, llm_response_id=completion.response_id))
    drafts += [call_draft(call, completion.response_id) for call in completion.tool_calls]
    return drafts
