"""One turn from its first write to its last: accept, run, end. `docs/turns.md` has the whole life of one."""

import logging
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.access.secrets import Vault
from bot.errors import AgentUnavailable, BotError, Conflict, NotConfigured, ProviderIncomplete
from bot.llm.providers import Providers, UnknownProvider
from bot.llm.tokens import count_tools
from bot.llm.types import Completion, ModelRequest, Provider, TextDelta
from bot.turns.context import build_context
from bot.turns.credentials import lent_credentials, own_credentials
from bot.turns.endings import as_bot_error, unfinished, unstored
from bot.turns.events import AnswerDelta, TurnEnded, TurnEvent, TurnStarted
from bot.turns.leases import Held, LeaseKeeper
from bot.turns.tools import ToolResult, call_draft, check_calls, result_drafts
from models.access_patterns.agents import get_agent
from models.access_patterns.conversations import get_conversation
from models.access_patterns.messages import Draft
from models.access_patterns.sharing import get_shared_agent
from models.access_patterns.turns import Begun, begin_turn, end_turn
from models.access_patterns.users import get_user
from models.agent import Agent
from models.errors import ItemNotFound, LeaseLost
from models.message import Message
from models.tenancy import UserId
from models.turn import Turn, TurnStatus

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

    def __init__(self, providers: Providers, vault: Vault, leases: LeaseKeeper, *, embedded_context: int) -> None:
        """Take what turns need; `embedded_context` is the embedded model's context, in tokens."""
        self._providers = providers
        self._vault = vault
        self._leases = leases
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

    def begin(self, user_id: UserId, conversation_id: str, question: Question, agent: Agent) -> Begun:
        """Take the conversation's lease and store what the turn begins with. After this, it is kept.

        Cost: AP-50.

        Raises:
            ItemNotFound: the user has no such conversation.
            LeaseHeld: another turn is running.
            ToolResultsExpected: the results do not match the calls that wait.
            Conflict: nothing was said, so there is nothing to answer.
        """
        window = _window(agent)
        if question.results:
            # All calls that wait are to be seen, and the turn that made them.
            window = max(window, WINDOW) + len(question.results)
        return begin_turn(
            user_id,
            conversation_id,
            question.compose,
            window=window - 1 if question.message else window,
            lease=self._leases.duration,
        )

    def run(self, begun: Begun, agent: Agent) -> Generator[TurnEvent, None, None]:
        """Run a turn that has begun, to its end; whatever happens to the model, the end is stored before it is told.

        Args:
            begun: the turn.
            agent: the conversation's agent.

        Cost: AP-52 for the end.
        """
        yield TurnStarted(
            begun.lease.turn_id,
            begun.lease.conversation.conversation_id,
            begun.lease.conversation.agent_id,
            begun.messages,
        )
        text: list[str] = []
        record: dict[str, Any] = {}
        ended: TurnEnded | None = None
        with self._leases.keep(begun.lease) as held:
            try:
                for event in self._ask(begun, agent, held, record):
                    if isinstance(event, TextDelta):
                        text.append(event.text)
                        yield AnswerDelta(event.text)
                    else:
                        ended = self._complete(begun, event, record)
            except GeneratorExit:
                self._end(begun, "interrupted", {**record, **unfinished("".join(text), "interrupted", _STOPPED)})
                raise
            except Exception as error:
                ended = self._fail(begun, "".join(text), as_bot_error(error, begun), record)
        yield ended or self._fail(begun, "".join(text), ProviderIncomplete("The model gave no end."), record)

    def _ask(
        self, begun: Begun, agent: Agent, held: Held, record: dict[str, Any]
    ) -> Generator[TextDelta | Completion, None, None]:
        """Ask the model. Fills `record` with what is known of the run; stops when the lease is lost."""
        provider = self._provider(agent, begun.lease.user_id)
        record |= {"provider": provider.name, "model": agent.model}
        started = time.monotonic()
        stream = provider.stream(self._request(agent, provider, begun))
        try:
            for event in stream:
                if held.lost.is_set():
                    raise LeaseLost(begun.lease.turn_id)
                yield event
        finally:
            stream.close()
            log.info(
                "turn %s asked %s/%s for %.1f s",
                begun.lease.turn_id,
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
        limit = settings.pop("context_tokens", None) or CONTEXT_TOKENS
        if provider.name == "embedded":
            limit = min(limit, self._embedded_context)
        answer = min(settings.get("max_tokens") or ANSWER_TOKENS, limit // 2)
        budget = limit - answer - count_tools(tools, agent.model)
        settings.pop("window", None)
        context = build_context(
            agent.system_message,
            begun.earlier,
            begun.messages,
            model=agent.model,
            window=_window(agent),
            budget=budget,
            cut=begun.older,
        )
        if not tools:
            settings.pop("tool_choice", None)
            settings.pop("parallel_tool_calls", None)
        settings["stop"] = tuple(settings.get("stop") or ())
        return ModelRequest(agent.model, context, tools=tools, **settings)

    def _complete(self, begun: Begun, completion: Completion, record: dict[str, Any]) -> TurnEnded:
        record["finish_reason"] = completion.finish_reason
        if completion.usage is not None:
            record["input_tokens"] = completion.usage.input_tokens
            record["output_tokens"] = completion.usage.output_tokens
        check_calls(completion)
        drafts = _answer(completion)
        turn, messages = end_turn(begun.lease, "completed", drafts, record)
        return TurnEnded(turn, begun.messages, tuple(messages))

    def _fail(self, begun: Begun, text: str, error: BotError, record: dict[str, Any]) -> TurnEnded:
        turn = self._end(begun, "failed", {**record, **unfinished(text, error.code, error.detail)})
        return TurnEnded(turn, begun.messages, (), error)

    def _end(self, begun: Begun, status: TurnStatus, record: dict[str, Any]) -> Turn:
        """Store how an unfinished turn ended, as far as that is possible.

        Without the lease, the worker that took it has done so; without the table, the next one will, when the lease has
        run out.
        """
        try:
            return end_turn(begun.lease, status, [], record)[0]
        except LeaseLost:
            log.warning("turn %s lost its lease; its end (%s) was not stored", begun.lease.turn_id, status)
        except Exception:
            log.exception("the end (%s) of turn %s was not stored", status, begun.lease.turn_id)
        return unstored(begun, record)


def _window(agent: Agent) -> int:
    return int(agent.settings.get("window") or WINDOW)


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
