"""The form of a conversation that all model servers accept, whatever was stored.

Each server has its own rules for a context, and one old message that breaks a rule would make every later turn fail.
This form keeps the rules of all servers (`docs/history.md` lists the rules, and which servers have them):

1. At most one system message, at the beginning. Instructions that were given later are merged into it.
2. Then a user's message. The user's and the model's messages alternate; results of functions follow their calls, and
   the model's next message follows the results. The last message is not the model's.
3. No text is blank; a note replaces a blank one.
4. A call has a unique id, a declared function's name and a JSON object; the results of all calls of a message follow
   right after it. Calls of functions that are not declared become plain text.
5. Only the user's messages have images.

The forms that only some servers require are in `history_form`.
"""

import hashlib
import re
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

from .calls_in_words import as_object, call_as_text, result_as_text, result_text
from .content import Piece, joined, pieces_of, user_message
from .types import ChatMessage, ToolCall

BLANK = "[This message is blank.]"
EMPTY_ANSWER = "[The message above got an empty answer.]"
BEGINNING = "[The conversation begins here.]"
GO_ON = "[Please go on.]"
RESULTS_READ = "I have read the results."

# The ids that Anthropic and Bedrock accept, and those of every server seen, such as Kimi's "functions.look:0".
_CALL_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def normal_form(
    messages: Sequence[ChatMessage], *, functions: Collection[str], shown: Collection[str] | None = None
) -> tuple[ChatMessage, ...]:
    """Return a conversation in the form that all model servers accept; one in that form already is returned unchanged.

    Args:
        messages: Any messages in any order, oldest first.
        functions: The names of the functions that are declared.
        shown: The ids of the stored messages whose images are sent, None for all; notes replace the others.
    """
    instructions: list[Piece] = []
    spoken: list[ChatMessage] = []
    for message in messages:
        pieces = pieces_of(message, shown)
        if message.role == "system":
            instructions += pieces
        elif message.role == "user":
            spoken.append(user_message(pieces or [Piece(_text(BLANK), _source(message))]))
        elif message.role == "assistant":
            said = replace(message, content=joined(pieces) or None)
            if spoken and spoken[-1].role == "assistant":
                said = _together(spoken.pop(), said)
            spoken.append(said)
        else:
            spoken.append(message)
    system = []
    if instructions:
        system = [ChatMessage("system", joined(instructions), sources=tuple(piece.source for piece in instructions))]
    return (*system, *_taking_turns(_with_results(spoken, functions)))


def _text(text: str) -> dict[str, object]:
    return {"type": "text", "text": text}


def _source(message: ChatMessage) -> str:
    return message.sources[0] if message.sources else ""


def _note(text: str, source: str = "") -> ChatMessage:
    return ChatMessage("user", text, sources=(source,))


def _together(first: ChatMessage, second: ChatMessage) -> ChatMessage:
    """Merge two messages of the model into one."""
    texts = [text for text in (first.content, second.content) if isinstance(text, str) and text]
    return ChatMessage(
        "assistant",
        "\n\n".join(texts) or None,
        (*first.tool_calls, *second.tool_calls),
        sources=(*first.sources, *second.sources),
    )


def _with_results(spoken: Sequence[ChatMessage], functions: Collection[str]) -> Iterator[ChatMessage]:
    """Yield the messages, with each call's result right after the message that has the call, and none elsewhere."""
    ids = _CallIds()
    position = 0
    while position < len(spoken):
        message = spoken[position]
        position += 1
        if message.role == "tool":
            yield _note(result_as_text(message), _source(message))
        elif not message.tool_calls:
            yield message
        else:
            results: defaultdict[str, deque[ChatMessage]] = defaultdict(deque)
            while position < len(spoken) and spoken[position].role == "tool":
                results[spoken[position].tool_call_id or ""].append(spoken[position])
                position += 1
            answered = [(call, results[call.id].popleft() if results[call.id] else None) for call in message.tool_calls]
            yield from _round(message, answered, functions, ids)
            for left in results.values():
                yield from (_note(result_as_text(result), _source(result)) for result in left)


def _round(
    message: ChatMessage,
    answered: Sequence[tuple[ToolCall, ChatMessage | None]],
    functions: Collection[str],
    ids: "_CallIds",
) -> Iterator[ChatMessage]:
    """Yield a message that calls functions, and their results."""
    if not all(call.name in functions for call, _ in answered):
        if message.content:
            yield replace(message, tool_calls=())
        # As a user's message: a small model would imitate such a text in its own messages.
        for call, result in answered:
            yield _note(call_as_text(call, result), _source(result or message))
        return
    calls = [ToolCall(ids.take(call.id), call.name, as_object(call.arguments)) for call, _ in answered]
    yield replace(message, tool_calls=tuple(calls))
    for call, (_, result) in zip(calls, answered, strict=True):
        sources = result.sources if result else ()
        yield ChatMessage("tool", result_text(result), tool_call_id=call.id, sources=sources)


class _CallIds:
    """Gives each call of a context a unique id."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def take(self, call_id: str) -> str:
        """Return the id, or another one if it is taken or servers would refuse it. Deterministic."""
        taken, tries = call_id, 0
        while taken in self._seen or not _CALL_ID.fullmatch(taken):
            seed = f"{tries}\x00{call_id}".encode("utf-8", "replace")
            taken, tries = "call_" + hashlib.sha256(seed).hexdigest()[:24], tries + 1
        self._seen.add(taken)
        return taken


def _taking_turns(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Return the messages so that the user's comes first, they alternate, and the model's turn is next."""
    turns: list[ChatMessage] = []
    for given in messages:
        empty = given.role == "assistant" and not given.content and not given.tool_calls
        message = _note(EMPTY_ANSWER, _source(given)) if empty else given
        before = turns[-1].role if turns else None
        if message.role == "user" and before == "user":
            turns[-1] = user_message([*pieces_of(turns[-1]), *pieces_of(message)])
            continue
        if message.role == "user" and before == "tool":
            turns.append(ChatMessage("assistant", RESULTS_READ))
        elif message.role == "assistant" and before == "assistant":
            turns[-1] = _together(turns[-1], message)
            continue
        elif message.role == "assistant" and before is None:
            turns.append(_note(BEGINNING))
        turns.append(message)
    if not turns or turns[-1].role == "assistant":
        turns.append(_note(GO_ON))
    return turns
