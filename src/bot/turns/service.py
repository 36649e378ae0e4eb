"""Turns of a process: how one begins, and who answers in it. `docs/turns.md` has the whole life of one."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial

from bot.access.secrets import Vault
from bot.errors import AgentUnavailable, Conflict
from bot.llm.providers import Providers
from bot.turns.event_log import NoLog, TableLog
from bot.turns.events import TurnEvent
from bot.turns.leases import LeaseKeeper
from bot.turns.model_requests import WINDOW, ModelRequests, window_of
from bot.turns.quotas import Quotas
from bot.turns.recovery import TurnRecovery
from bot.turns.running import RunningTurn
from bot.turns.tools import ToolResult, result_drafts
from bot.turns.waiting import when_free
from models.access_patterns.agents import get_agent
from models.access_patterns.conversations import get_conversation
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft
from models.access_patterns.retention import shorter
from models.access_patterns.sharing import get_shared_agent
from models.access_patterns.turn_errors import BeginUncertain
from models.access_patterns.turns import Begun, begin_turn
from models.agent import Agent
from models.message import Message
from models.table.errors import ItemNotFound
from models.table.tenancy import UserId

_NOT_RUN = "The worker that began this turn could not run it."
_UNCERTAIN = "DynamoDB did not answer when this turn began, so it was abandoned."


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
    """Begins turns and has them run; one for a process."""

    def __init__(
        self,
        providers: Providers,
        vault: Vault,
        leases: LeaseKeeper,
        quotas: Quotas,
        recovery: TurnRecovery,
        *,
        embedded_context: int,
        retention_days: int | None = None,
    ) -> None:
        """Take what turns need; `embedded_context` is the embedded model's context, in tokens.

        `retention_days` is the deployment's; an agent can shorten it.
        """
        self._retention_days = retention_days
        self._model_requests = ModelRequests(providers, vault, embedded_context=embedded_context)
        self._leases = leases
        self._quotas = quotas
        self._recovery = recovery

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
            BeginUncertain: DynamoDB did not answer; if the turn has begun all the same, it is soon ended.
        """
        window = window_of(agent)
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
        begin = partial(self._quotas.begun, user_id, partial(self._model_requests.estimate, agent), claiming)
        try:
            begun = when_free(begin, user_id, conversation_id, wait)
        except BeginUncertain as uncertain:
            self._recovery.abandon(uncertain.turn, _UNCERTAIN)
            raise
        self._leases.hold(begun.lease)
        return begun

    def abandon(self, begun: Begun) -> None:
        """Give up a turn that has begun and cannot run: it ends as interrupted, aside from the request.

        Cost: AP-54, in the background.
        """
        self._leases.release(begun.lease)
        self._recovery.abandon(begun.lease.turn, _NOT_RUN)

    def run(self, begun: Begun, agent: Agent, *, logged: bool = False) -> Generator[TurnEvent, None, None]:
        """Run a turn that has begun, to its end; whatever happens to the model, the end is stored before it is told.

        Args:
            begun: the turn.
            agent: the conversation's agent.
            logged: whether what it says can be followed from other processes.

        Cost: AP-52 for the end; AP-56 for what is logged; AP-51 and AP-59 for a turn that takes its time.
        """
        events = TableLog(begun.lease.turn_id) if logged else NoLog()
        return RunningTurn(begun, agent, self._model_requests, self._leases, self._recovery, events).run()
