"""How a turn and its result are shown."""

from collections.abc import Sequence
from typing import Any

from bot.api.shapes.messages import MessageView, show_message
from bot.http.types import AgentId, ConversationId, Moment, TurnId, View
from models.message import Message
from models.turn import Turn, TurnCount, TurnStatus


class TurnUsage(View):
    """The tokens that the provider counted; null if it gave no count."""

    input_tokens: int | None
    output_tokens: int | None


class TurnError(View):
    """Why a turn did not complete."""

    code: str
    detail: str


class TurnView(View):
    """One run of an agent. An answer that was not completed is kept here as `partial_text`, not as a message."""

    id: TurnId
    conversation_id: ConversationId
    agent_id: AgentId
    status: TurnStatus
    provider: str | None
    model: str | None
    finish_reason: str | None
    usage: TurnUsage
    error: TurnError | None
    partial_text: str | None
    started_at: Moment
    ended_at: Moment | None


class TurnResult(View):
    """What was stored: the messages that started the turn, and the agent's. Without a reply, `turn` is null."""

    turn: TurnView | None
    input: list[MessageView]
    output: list[MessageView]


def show_turn(turn: Turn) -> TurnView:
    """Return a turn as the API shows one."""
    return TurnView(
        id=turn.turn_id,
        conversation_id=turn.conversation_id,
        agent_id=turn.agent_id,
        status=turn.status,
        provider=turn.provider,
        model=turn.model,
        finish_reason=turn.finish_reason,
        usage=usage_of(turn),
        error=TurnError(code=turn.error["code"], detail=turn.error["detail"]) if turn.error else None,
        partial_text=turn.partial_text,
        started_at=turn.started_at,
        ended_at=turn.ended_at,
    )


def show_result(
    turn: Turn | None, begun: Sequence[Message], said: Sequence[Message] = (), *, reasoning: bool = False
) -> TurnResult:
    """Return a turn with the messages that started it and those that it produced, as the API shows them."""
    return TurnResult(
        turn=show_turn(turn) if turn else None,
        input=[show_message(message) for message in begun],
        output=[show_message(message, reasoning=reasoning) for message in said],
    )


def usage_of(record: Turn | TurnCount) -> TurnUsage:
    """Return the tokens of a turn."""
    return TurnUsage(input_tokens=_whole(record.input_tokens), output_tokens=_whole(record.output_tokens))


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)
