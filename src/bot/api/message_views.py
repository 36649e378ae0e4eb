"""How messages and turns are shown."""

import json
from typing import Any, Literal

from pydantic import Field

from bot.api.types import AgentId, ConversationId, Json, MessageId, Moment, TurnId, View
from models.long_text import LongItem
from models.message import Message, MessageType, Sender
from models.turn import Turn, TurnCount, TurnStatus


class Unavailable(View):
    """Why a large text is not shown, and what of it is known: how it begins, and its length in bytes."""

    code: Literal["left_out", "unreachable", "lost"] = Field(
        description="`left_out`: beside other large ones it was too much, read it alone; `unreachable`: try again; "
        "`lost`: it is missing or damaged."
    )
    detail: str
    preview: str | None
    size: int | None


class MessageView(View):
    """A message. `content` is text, or the list of typed parts of a message of type `parts`.

    It is null where `unavailable` says why.
    """

    id: MessageId
    conversation_id: ConversationId
    sender: Sender
    role: str = Field(description="What models call the sender: user, assistant, system, tool.")
    type: MessageType
    content: str | list[dict[str, Json]] | None
    unavailable: Unavailable | None = Field(description="Null, unless a large text cannot be shown.")
    attributes: dict[str, Json] = Field(
        description="For a function call `is_function_call`, `function_name` and `call_id`; for an answer that did not "
        "end by itself, its `finish_reason`."
    )
    turn_id: TurnId | None
    llm_response_id: str | None
    created_at: Moment


class TurnUsage(View):
    """What the provider counted, in tokens; null where it did not."""

    input_tokens: int | None
    output_tokens: int | None


class TurnError(View):
    """Why a turn did not complete."""

    code: str
    detail: str


class TurnView(View):
    """One run of an agent. An answer that did not come to its end is kept here as `partial_text`, not as a message."""

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
    """What was stored: the messages that began the turn, and those of the agent. Without a reply, `turn` is null."""

    turn: TurnView | None
    input: list[MessageView]
    output: list[MessageView]


def show_unavailable(item: LongItem) -> Unavailable | None:
    """Return why an item's text cannot be shown, or None where it can."""
    reason = item.unavailable
    if reason is None:
        return None
    blob = item.blob
    return Unavailable(
        code="left_out" if reason.left_out else "lost" if reason.lasting else "unreachable",
        detail=str(reason),
        preview=blob.preview if blob else None,
        size=blob.size if blob else None,
    )


def _content(message: Message) -> Any:
    if message.unavailable is not None:
        return None
    return json.loads(message.content) if message.type == "parts" else message.content


def show_message(message: Message) -> MessageView:
    """Return a message as the API shows one."""
    return MessageView(
        id=message.message_id,
        conversation_id=message.conversation_id,
        sender=message.sender,
        role=message.role,
        type=message.type,
        content=_content(message),
        unavailable=show_unavailable(message),
        attributes=message.attributes or {},
        turn_id=message.turn_id,
        llm_response_id=message.llm_response_id,
        created_at=message.ts,
    )


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


def usage_of(record: Turn | TurnCount) -> TurnUsage:
    """Return what a turn took."""
    return TurnUsage(input_tokens=_whole(record.input_tokens), output_tokens=_whole(record.output_tokens))


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)
