"""A turn as the answer to a request: at its end, as a stream, or at once for a background turn."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pydantic import Field

from bot.api.shapes.bodies import MessageCreate, TurnCreate
from bot.api.shapes.conversations import ConversationPath
from bot.api.shapes.events import STREAM_DOCUMENT, turn_stream
from bot.api.shapes.turns import TurnResult, show_result, show_turn
from bot.errors import IdempotencyInProgress, Overloaded
from bot.http.blueprint import answers
from bot.http.context import services
from bot.http.idempotency import once
from bot.http.requests import agent_read_with_key, caller
from bot.http.types import Included
from bot.turns import following
from bot.turns.events import TurnEnded
from bot.turns.service import Question
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.turn_beginnings import Begun
from models.access_patterns.turn_events import turn_messages
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.turn import EventId, Turn

# How many seconds a repeated request waits for the first one to end.
_REPLAY_WAIT_SECONDS = 30.0


class TurnQuery(Included):
    """What to do if the conversation is busy, and what the answer contains."""

    wait: float = Field(
        0, ge=0, le=60, allow_inf_nan=False, description="Seconds to wait while another turn is running; then 409."
    )


TURN_PROBLEMS = (400, 404, 409, 413, 415, 502, 504)
TURN_ANSWERS = answers({201: TurnResult, 202: TurnResult, **STREAM_DOCUMENT}, *TURN_PROBLEMS)


def replay_turn(
    record: IdempotencyRecord,
    path: ConversationPath,  # noqa: ARG001 - a replay gets what the route gets
    query: Included,
    body: MessageCreate | TurnCreate,
) -> Any:
    """Answer with the turn that an earlier request with this key started; follow it while it runs.

    Cost: AP-53 and AP-58, and AP-54 while it runs.

    Raises:
        ItemNotFound: it was deleted with its conversation.
        IdempotencyInProgress: it still runs.
        BotError: it did not complete; its error is reported again.
    """
    user_id = caller().user_id
    turn = following.find_turn(user_id, record.effect_id)
    if body.stream:
        followed = following.follow_turn(turn, EventId(0), reasoning=query.reasoning)
        return turn_stream(followed, reasoning=query.reasoning)
    if body.background:
        begun = [message for message in turn_messages(turn) if message.sender != "agent"]
        return _accepted(turn.as_begun(), begun)
    turn = following.await_end(turn, _REPLAY_WAIT_SECONDS)
    if turn.status == "running":
        raise IdempotencyInProgress("The first request with this key is still running; retry it.", retry_after=2)
    return answer_end(following.ended_event(turn, reasoning=query.reasoning), reasoning=query.reasoning), 201


def answer_turn(conversation_id: str, question: Question, query: TurnQuery, body: MessageCreate | TurnCreate) -> Any:
    """Run a turn for the current request, and answer it: with the result, with a stream, or at once."""
    begin = partial(services().turns.begin, caller().user_id, conversation_id, question, wait=query.wait)
    return run_and_answer(conversation_id, begin, query, body)


def run_and_answer(
    conversation_id: str, begin: Callable[..., Begun], query: Included, body: MessageCreate | TurnCreate
) -> Any:
    """Run the turn that `begin` begins, as `answer_turn` does; `conversation_id` leads to its agent.

    `begin` gets the agent, whether the turn is announced and its stream kept, and the request's idempotency key.
    """
    turns, streams = services().turns, services().streams
    agent = agent_read_with_key() or turns.agent_of(caller().user_id, conversation_id)
    services().agent_cache.remember(conversation_id, agent.user_id, agent.agent_id)
    followed, key = body.stream or body.background, once()
    # A plain turn never stores events.
    keep = body.keep_stream if followed else False
    if followed:
        streams.reserve()
    try:
        begun = begin(agent=agent, announced=followed or key is not None, keep=keep, once=key)
    except BaseException:
        if followed:
            streams.release()
        raise
    events = turns.run(begun, agent, logged=followed)
    try:
        if body.background:
            streams.start(events)
            return _accepted(begun.lease.turn, begun.messages)
        if body.stream:
            live = streams.follow(events, reasoning=query.reasoning)
            return turn_stream(live, reasoning=query.reasoning)
    except Overloaded:
        turns.abandon(begun)
        raise
    (ended,) = (event for event in events if isinstance(event, TurnEnded))
    if query.reasoning:
        read_reasoning(ended.output)
    return answer_end(ended, reasoning=query.reasoning), 201


def _accepted(turn: Turn, begun: Sequence[Message]) -> Any:
    return show_result(turn, begun).model_dump(mode="json"), 202, {"Location": f"/api/v1/turns/{turn.turn_id}"}


def answer_end(ended: TurnEnded, *, reasoning: bool = False) -> dict[str, Any]:
    """Return the result of a turn that completed.

    Raises:
        BotError: it did not; the turn is in the problem document.
    """
    if ended.error is not None:
        ended.error.extra |= {"turn": show_turn(ended.turn).model_dump(mode="json")}
        raise ended.error
    return show_result(ended.turn, ended.input, ended.output, reasoning=reasoning).model_dump(mode="json")
