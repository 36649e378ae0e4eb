"""Begins and runs this process's turns. `docs/turns.md` describes the life of a turn."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypedDict

from bot.errors import AgentUnavailable, Conflict
from bot.turns.event_log import DEFAULT_BATCH, BatchSize, EventLog, NoLog, SizeLog, TableLog
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
from models.access_patterns.forks import Fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft
from models.access_patterns.retention import shorter
from models.access_patterns.sharing import get_shared_agent
from models.access_patterns.turn_beginnings import Begun, begin_turn, begin_turn_in_branch
from models.access_patterns.turn_errors import BeginUncertain
from models.agent import Agent
from models.message import Message
from models.table.errors import ItemNotFound
from models.table.tenancy import UserId

_NOT_RUN = "The worker that began this turn could not run it."
_UNCERTAIN = "DynamoDB did not answer when this turn began, so the worker abandoned it."


class _Terms(TypedDict):
    kept: bool
    window: int
    lease: timedelta
    retention_days: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What a turn begins with: the user's message, results of the agent's calls, or nothing new."""

    message: Draft | None = None
    results: Sequence[ToolResult] = ()

    def compose(self, earlier: Sequence[Message]) -> list[Draft]:
        """Return the messages to store at the start of the turn, given those already stored.

        Raises:
            ToolResultsExpected: the results do not match the pending calls.
            Conflict: the conversation has no messages, so there is nothing to answer.
        """
        drafts = result_drafts(earlier, self.results) if self.results else []
        if self.message:
            drafts.append(self.message)
        if not drafts and not earlier:
            raise Conflict("There is nothing to answer: the conversation has no messages.")
        return drafts


class TurnService:
    """Begins and runs turns; one per process."""

    def __init__(
        self,
        model_requests: ModelRequests,
        leases: LeaseKeeper,
        quotas: Quotas,
        recovery: TurnRecovery,
        *,
        retention_days: int | None = None,
        keep_streams: bool = True,
        batch: BatchSize = DEFAULT_BATCH,
    ) -> None:
        """Take the services that turns use.

        `retention_days` is the deployment's; an agent can shorten it. So is `keep_streams`; an agent or a request can
        override it. Kept streams are stored in batches of size `batch`.
        """
        self._retention_days = retention_days
        self._keep_streams = keep_streams
        self._batch = batch
        self._model_requests = model_requests
        self._leases = leases
        self._quotas = quotas
        self._recovery = recovery

    def agent_of(self, user_id: UserId, conversation_id: str) -> Agent:
        """Return the agent that answers in a conversation.

        Cost: AP-31 and AP-11 (AP-18 for another user's agent), 2 GetItem. If the process has cached the conversation's
        agent, it reads the agent together with the API key instead.

        Raises:
            ItemNotFound: the user has no such conversation.
            AgentUnavailable: its agent was deleted, or is no longer shared with the user.
        """
        conversation = get_conversation(user_id, conversation_id)
        try:
            if conversation.agent_owner_id is None:
                return get_agent(user_id, conversation.agent_id)
            return get_shared_agent(user_id, conversation.agent_id, conversation.agent_owner_id)
        except ItemNotFound as error:
            raise AgentUnavailable(
                "The agent of this conversation was deleted, or is no longer shared with you. "
                "The messages can still be read."
            ) from error

    def begin(
        self,
        user_id: UserId,
        conversation_id: str,
        question: Question,
        agent: Agent,
        *,
        announced: bool = False,
        keep: bool | None = None,
        wait: float = 0,
        once: Once | None = None,
    ) -> Begun:
        """Take the conversation's lease and store the messages that begin the turn.

        The lease is then renewed until `run` has ended or `abandon` is called.

        Args:
            user_id: the calling user.
            conversation_id: the conversation.
            question: what the turn begins with.
            agent: the conversation's agent.
            announced: whether the turn can be followed and found from the start.
            keep: whether its stream is stored while it runs; None leaves that to the agent, else to the deployment.
            wait: how many seconds to wait for a running turn.
            once: the request's idempotency key.

        Cost: AP-50, and AP-80 if turns are limited; while it waits AP-31, about twice a second.

        Raises:
            ItemNotFound: the user has no such conversation.
            LeaseHeld: another turn is running.
            LimitReached: the user's allowance does not permit this turn.
            ToolResultsExpected: the results do not match the pending calls.
            Conflict: the conversation has no messages, so there is nothing to answer.
            DoneBefore: another request with the same idempotency key was first.
            BeginUncertain: DynamoDB did not answer; if the turn has begun nevertheless, it will be ended soon.
        """
        # Without a message, the conversation's index keys stay, and an unannounced turn could not be found by them.
        announced = announced or question.message is None
        claiming = lambda quota: begin_turn(  # noqa: E731
            user_id,
            conversation_id,
            question.compose,
            announced=announced,
            quota=quota,
            once=once,
            **self._terms(agent, question, keep),
        )
        begin = partial(self._quotas.begun, user_id, partial(self._model_requests.estimate, agent), claiming)
        return self._held(partial(when_free, begin, user_id, conversation_id, wait))

    def begin_in_branch(
        self, fork: Fork, question: Question, agent: Agent, *, keep: bool | None = None, once: Once | None = None
    ) -> Begun:
        """Make a branch and begin a turn in it, which can be followed from the start.

        Args:
            fork: the branch to be made, with a path that is short enough.
            question: what the turn begins with.
            agent: the conversation's agent.
            keep: as in `begin`.
            once: the request's idempotency key.

        Cost: AP-38, and AP-80 if turns are limited.

        Raises:
            ItemNotFound: the conversation that it leaves is being deleted.

        The other errors are those of `begin`, except `LeaseHeld`.
        """
        claiming = lambda quota: begin_turn_in_branch(  # noqa: E731
            fork, question.compose, quota=quota, once=once, **self._terms(agent, question, keep)
        )
        estimate = partial(self._model_requests.estimate, agent)
        return self._held(partial(self._quotas.begun, fork.user_id, estimate, claiming))

    def _terms(self, agent: Agent, question: Question, keep: bool | None) -> "_Terms":
        """Return how much of the conversation a turn reads, what it keeps, and for how long."""
        window = window_of(agent)
        if question.results:
            # The window must include all pending calls, and the turn that made them.
            window = max(window, WINDOW) + len(question.results)
        wishes = (keep, agent.settings.get("keep_streams"), self._keep_streams)
        return {
            "kept": next(bool(wish) for wish in wishes if wish is not None),
            "window": window - 1 if question.message else window,
            "lease": self._leases.duration,
            "retention_days": shorter(self._retention_days, agent.settings.get("retention_days")),
        }

    def _held(self, begin: Callable[[], Begun]) -> Begun:
        try:
            begun = begin()
        except BeginUncertain as uncertain:
            self._recovery.abandon(uncertain.turn, _UNCERTAIN)
            raise
        self._leases.hold(begun.lease)
        return begun

    def abandon(self, begun: Begun) -> None:
        """Abandon a turn that has begun and cannot run; it is ended as interrupted, outside the request.

        Cost: AP-54, in the background.
        """
        self._leases.release(begun.lease)
        self._recovery.abandon(begun.lease.turn, _NOT_RUN)

    def run(self, begun: Begun, agent: Agent, *, logged: bool = False) -> Generator[TurnEvent, None, None]:
        """Run a turn that has begun to its end; however it ends, that is stored before it is reported.

        Args:
            begun: the turn.
            agent: the conversation's agent.
            logged: whether its events are sent or can be followed; they are stored if the turn began with that.

        Cost: AP-52 for the end; AP-56 for the stored text; AP-51 and AP-59 for a long turn.
        """
        events: EventLog = NoLog()
        if logged:
            events = TableLog(begun.lease.turn_id, self._batch) if begun.lease.kept else SizeLog()
        return RunningTurn(begun, agent, self._model_requests, self._leases, self._recovery, events).run()
