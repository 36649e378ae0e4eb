"""Past function calls: their arguments as JSON objects, and calls as plain text where requests cannot have calls."""

import json
import re
from typing import NoReturn

from .characters import whole_characters
from .content import joined, pieces_of
from .types import ChatMessage, ToolCall

NO_RESULT = "No result was given for this function call."
EMPTY_RESULT = "The function returned nothing."

_HALF_CHARACTER = re.compile(r"\\u[dD][89a-fA-F]")


def as_object(arguments: str) -> str:
    """Return the arguments of a call as the text of a JSON object: servers parse them, and refuse anything else.

    Arguments that are an object stay as they were written; anything else is wrapped in one that says what it is.
    """
    if not arguments.strip():
        return "{}"
    try:
        value = json.loads(arguments, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return _written({"invalid_arguments": arguments})
    if not isinstance(value, dict):
        return _written({"arguments": value})
    return _written(value) if _HALF_CHARACTER.search(arguments) else whole_characters(arguments)


def result_text(result: ChatMessage | None) -> str:
    """Return the result of a function, or a sentence that says that there is none."""
    return NO_RESULT if result is None else joined(pieces_of(result)) or EMPTY_RESULT


def call_as_text(call: ToolCall, result: ChatMessage | None) -> str:
    """Return a call and its result as plain text."""
    outcome = "gave no result" if result is None else f"returned: {result_text(result)}"
    name = whole_characters(call.name.strip()) or "(without a name)"
    return f"[The function {name} was called with {whole_characters(call.arguments.strip()) or '{}'} and {outcome}]"


def result_as_text(result: ChatMessage) -> str:
    """Return a result whose call is missing as plain text."""
    return f"[A function returned: {result_text(result)}]"


def _written(value: object) -> str:
    return whole_characters(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
