"""How a message is shown, and a large text that is unavailable."""

from typing import Any, Literal

from pydantic import Field

from bot.http.types import ConversationId, Json, MessageId, Moment, TurnId, View
from models.message import Message, MessageType, Sender, parts_in
from models.table.long_text import LongItem


class Unavailable(View):
    """Why a large text is not shown, with its beginning and its length in bytes, if known."""

    code: Literal["left_out", "unreachable", "lost"] = Field(
        description="`left_out`: too large together with others, read it separately; `unreachable`: try again; "
        "`lost`: it is missing or damaged."
    )
    detail: str
    preview: str | None
    size: int | None


class MessageView(View):
    """A message. `content` is text, or the list of typed parts of a message of type `parts`.

    It is null if the text is unavailable; `unavailable` says why.
    """

    id: MessageId
    conversation_id: ConversationId
    sender: Sender
    role: str = Field(description="The sender in the terms of model APIs: user, assistant, system, tool.")
    type: MessageType
    content: str | list[dict[str, Json]] | None
    unavailable: Unavailable | None = Field(description="Null unless a large text is unavailable.")
    attributes: dict[str, Json] = Field(
        description="For a function call `is_function_call`, `function_name` and `call_id`; for an answer that was cut "
        "off, its `finish_reason`; `reasoning_left_out` if the reasoning was too large to be stored with the answer."
    )
    turn_id: TurnId | None
    llm_response_id: str | None
    created_at: Moment
    reasoning: str | None = Field(
        description="The model's reasoning before this answer; null without `include=reasoning`, or if the model gave "
        "none."
    )
    reasoning_unavailable: Unavailable | None = Field(
        description="Null unless the reasoning was requested, is large, and is unavailable."
    )


def show_unavailable(item: LongItem) -> Unavailable | None:
    """Return why an item's text cannot be shown, or None if it can."""
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
    parts = parts_in(message.content or "") if message.type == "parts" else None
    return message.content if parts is None else parts


def show_message(message: Message, *, reasoning: bool = False) -> MessageView:
    """Return a message as the API shows one; with `reasoning`, with the reasoning that was read."""
    given = message.reasoning if reasoning else None
    why = show_unavailable(given) if given else None
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
        reasoning=given.text if given and not why else None,
        reasoning_unavailable=why,
    )
