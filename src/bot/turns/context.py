"""What the model sees: the system message, and as many whole turns of the conversation as its token budget holds."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import cast

from bot.llm.tokens import count_message
from bot.llm.types import ChatMessage, Role, ToolCall
from bot.turns.tools import call_of
from models.message import Message

NO_ANSWER = "The message above got no answer: the turn did not end well."
NO_RESULT = "No result was given for this function call."


def build_context(
    system_message: str | None,
    earlier: Sequence[Message],
    current: Sequence[Message],
    *,
    model: str,
    window: int,
    budget: int,
    cut: bool,
) -> tuple[ChatMessage, ...]:
    """Return the messages for the model.

    Args:
        system_message: the agent's; always first, whatever it takes.
        earlier: what was said before, oldest first.
        current: what begins this turn; always there, whatever it takes. With results of function calls, the turn that
            made the calls is part of it.
        model: whose tokens are counted.
        window: how many messages of the conversation the context may hold.
        budget: how many tokens the context may take; older turns that do not fit in both are left out, as a whole.
        cut: whether `earlier` may begin in the middle of a turn; then what is left of that turn is left out.
    """
    system = [ChatMessage("system", system_message)] if system_message else []
    turns = _turns(earlier)
    calling = turns.pop() if turns and current and current[0].type == "function_result" else []
    if cut and turns and _headless(turns[0]):
        del turns[0]
    newest = _chat([*calling, *current])
    tokens = budget - sum(count_message(message, model) for message in (*system, *newest))
    room = window - len(calling) - len(current)
    kept: list[list[ChatMessage]] = []
    for turn in reversed(turns):
        # What was too much to be read beside newer large messages is too much for the context.
        if any(message.unavailable is not None and message.unavailable.left_out for message in turn):
            break
        chat = _chat(turn)
        if not _answered(turn):
            chat.append(ChatMessage("system", NO_ANSWER))
        tokens -= sum(count_message(message, model) for message in chat)
        room -= len(turn)
        if tokens < 0 or room < 0:
            break
        kept.append(chat)
    history = [message for chat in reversed(kept) for message in chat]
    return (*system, *_paired([*history, *newest]))


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Return the messages by turn; one without a turn stands alone."""
    return [list(group) for _, group in groupby(messages, key=lambda message: message.turn_id or message.message_id)]


def _headless(turn: Sequence[Message]) -> bool:
    """Whether a turn lacks what it began with: the user's message, or the calls whose results it begins with."""
    return turn[0].turn_id is not None and turn[0].sender in ("agent", "tool")


def _answered(turn: Sequence[Message]) -> bool:
    """Whether the agent said something; a message that was only stored asked for no answer."""
    return turn[0].turn_id is None or any(message.sender == "agent" for message in turn)


def _chat(messages: Iterable[Message]) -> list[ChatMessage]:
    """Return messages as the model knows them; calls that were made together are one message there."""
    chat: list[ChatMessage] = []
    for message in messages:
        if message.type == "function_call":
            call = call_of(message)
            last = chat[-1] if chat else None
            if last is not None and last.role == "assistant":
                chat[-1] = ChatMessage("assistant", last.content, (*last.tool_calls, call))
            else:
                chat.append(ChatMessage("assistant", None, (call,)))
        elif message.type == "function_result":
            call_id = str((message.attributes or {}).get("call_id"))
            chat.append(ChatMessage("tool", message.content, tool_call_id=call_id))
        else:
            content = json.loads(message.content) if message.type == "parts" else message.content
            chat.append(ChatMessage(cast("Role", message.role), content))
    return chat


def _paired(messages: Sequence[ChatMessage]) -> list[ChatMessage]:
    """Return the messages with each call followed by its results: models refuse a call without one, or one without.

    A call that the conversation went past gets a result that says so; a result whose call was left out goes too.
    """
    paired: list[ChatMessage] = []
    waiting: dict[str, ToolCall] = {}
    for message in messages:
        if message.role == "tool":
            if waiting.pop(message.tool_call_id or "", None) is not None:
                paired.append(message)
            continue
        paired += _unanswered(waiting)
        waiting = {call.id: call for call in message.tool_calls}
        paired.append(message)
    return [*paired, *_unanswered(waiting)]


def _unanswered(waiting: dict[str, ToolCall]) -> list[ChatMessage]:
    return [ChatMessage("tool", NO_RESULT, tool_call_id=call_id) for call_id in waiting]
