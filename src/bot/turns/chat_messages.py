"""Converts stored messages to chat messages for the model; this works for any content of an item."""

from collections.abc import Iterable
from dataclasses import replace

from bot.llm.types import ChatMessage, Role
from bot.turns.tools import call_of
from models.message import Message, parts_in

LOST = "[The text of this message is lost.]"

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "agent": "assistant",
    "tool": "tool",
}


def to_chat_messages(messages: Iterable[Message]) -> list[ChatMessage]:
    """Return one chat message for each stored message.

    Raises:
        ContentUnavailable: a text cannot be fetched now. One that is permanently lost is replaced by a note.
    """
    return [_chat_message(message) for message in messages]


def _chat_message(message: Message) -> ChatMessage:
    source = (message.message_id,)
    text = _text_of(message)
    role = _ROLES.get(message.role) or _ROLES.get(message.sender) or "user"
    if message.type == "function_call":
        return ChatMessage("assistant", None, (replace(call_of(message), arguments=text),), sources=source)
    if message.type == "function_result" or role == "tool":
        call_id = (message.attributes or {}).get("call_id")
        return ChatMessage("tool", text, tool_call_id=str(call_id or ""), sources=source)
    parts = parts_in(text) if message.type == "parts" else None
    if parts is None:
        return ChatMessage(role, text, sources=source)
    # A file in the history would break later turns with a model that reads none; without its data a note replaces it.
    parts = [{"type": "file"} if part.get("type") == "file" else part for part in parts]
    return ChatMessage(role, parts, sources=source * max(len(parts), 1))


def _text_of(message: Message) -> str:
    if message.unavailable is not None and message.unavailable.lasting:
        return LOST
    content = message.content
    return content if isinstance(content, str) else ""
