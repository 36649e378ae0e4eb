"""The model's context: the system message, and as many whole turns of the conversation as fit the token budget."""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import groupby

from bot.llm.normal_form import normal_form
from bot.llm.tokens import count_message
from bot.llm.types import ChatMessage
from bot.turns.chat_messages import to_chat_messages
from models.message import Message

NO_ANSWER = "[The message above got no answer: the turn did not end well.]"

# Next to other turns, a turn takes a little less or more than alone: adjacent messages of one role are merged.
_CHANGED_BY_JOINING = 32


def build_context(
    system_message: str | None,
    earlier: Sequence[Message],
    current: Sequence[Message],
    *,
    model: str,
    functions: Collection[str],
    shown: Collection[str] | None = None,
    window: int,
    budget: int,
    cut: bool,
) -> tuple[ChatMessage, ...]:
    """Return the messages for the model, in the form that every server accepts (`bot.llm.normal_form`).

    Args:
        system_message: the agent's; always first, however long it is.
        earlier: the previous messages, oldest first.
        current: the messages that begin this turn; always included, however long they are. If they are results of
            function calls, the turn that made the calls is always included, too.
        model: whose tokenizer counts.
        functions: the names of the functions that the model can call.
        shown: the ids of the messages whose images are shown; None for all.
        window: how many messages of the conversation the context may have.
        budget: how many tokens the context may have; older turns that exceed either limit are left out as a whole.
        cut: whether `earlier` may begin in the middle of a turn; the rest of that turn is then left out.

    Raises:
        ContentUnavailable: a required text cannot be fetched now.
    """
    system = [ChatMessage("system", system_message)] if system_message else []
    turns = _turns(earlier)
    calling = turns.pop() if turns and current and current[0].type == "function_result" else []
    if cut and turns and _headless(turns[0]):
        del turns[0]
    room = window - len(calling) - len(current)
    newest = to_chat_messages([*calling, *current])
    asked_again = () if current else asked_of(earlier, current)

    def chat_of(turn: Sequence[Message]) -> list[ChatMessage]:
        unanswered = not _answered(turn) and turn[0].message_id not in asked_again
        return [*to_chat_messages(turn), *([ChatMessage("user", NO_ANSWER, sources=("",))] if unanswered else [])]

    def form(chats: Sequence[Sequence[ChatMessage]]) -> tuple[ChatMessage, ...]:
        history = [message for chat in reversed(chats) for message in chat]
        return normal_form([*system, *history, *newest], functions=functions, shown=shown)

    def size(messages: Sequence[ChatMessage]) -> int:
        return sum(count_message(message, model) for message in messages)

    # Newest first. Each is counted alone, as its neighbours change little; then the whole context is counted.
    chats: list[list[ChatMessage]] = []
    left = budget - size(form(chats))
    for turn in reversed(turns):
        room -= len(turn)
        # A text that was too large to fetch together with newer ones is too large for the context.
        if room < 0 or any(message.unavailable is not None and message.unavailable.left_out for message in turn):
            break
        chat = chat_of(turn)
        left -= size(normal_form(chat, functions=functions, shown=shown))
        if left + _CHANGED_BY_JOINING * (len(chats) + 2) < 0:
            break
        chats.append(chat)
    whole = form(chats)
    # Counting again takes a millisecond for a window of 20; where there is room to spare, the first count will do.
    if left < _CHANGED_BY_JOINING * (len(chats) + 2) and size(whole) > budget:
        fitting = bisect_right(range(len(chats) + 1), budget, key=lambda number: size(form(chats[:number])))
        whole = form(chats[: max(fitting - 1, 0)])
    return whole


def asked_of(earlier: Sequence[Message], current: Sequence[Message]) -> frozenset[str]:
    """Return the ids of the messages that a turn answers: those that begin it, or those of an unanswered last turn."""
    if current:
        return frozenset(message.message_id for message in current)
    last = _turns(earlier)[-1:]
    return frozenset(message.message_id for turn in last if not _answered(turn) for message in turn)


def _turns(messages: Sequence[Message]) -> list[list[Message]]:
    """Return the messages grouped by turn; a message without a turn is a group of its own."""
    return [list(group) for _, group in groupby(messages, key=lambda message: message.turn_id or message.message_id)]


def _headless(turn: Sequence[Message]) -> bool:
    """Whether the beginning of a turn is missing: the user's message, or the calls whose results it begins with."""
    return turn[0].turn_id is not None and turn[0].sender in ("agent", "tool")


def _answered(turn: Sequence[Message]) -> bool:
    """Whether the agent answered; a message that was only stored needs no answer."""
    return turn[0].turn_id is None or any(message.sender == "agent" for message in turn)
