"""What values must be to be stored, checked where they come in; and what is made of stored text that is none."""

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from models.table.errors import InvalidValue

T = TypeVar("T")

# DynamoDB's numbers have 38 digits.
MAX_NUMBER = 10**38 - 1


def text_value(field: str, value: object, longest: int | None = None) -> str:
    """Return a text as it may be stored: whole characters, and no more of them than `longest`.

    Raises:
        InvalidValue: it is none, it is longer, or it holds half a surrogate pair, which UTF-8 does not have.
    """
    if not isinstance(value, str):
        raise InvalidValue(field, f"must be a text, and not a {type(value).__name__}")
    if longest is not None and len(value) > longest:
        raise InvalidValue(field, f"has {len(value):,} characters; at most {longest:,} are allowed")
    if not is_whole(value):
        raise InvalidValue(field, "must be valid Unicode; half of a surrogate pair is no character")
    return value


def number_value(field: str, value: object, lowest: int = -MAX_NUMBER, highest: int = MAX_NUMBER) -> int:
    """Return a whole number as it may be stored.

    Raises:
        InvalidValue: it is none, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(field, f"must be a whole number, and not a {type(value).__name__}")
    if not lowest <= value <= highest:
        allowed = "of at most 38 digits" if highest == MAX_NUMBER else f"from {lowest:,} to {highest:,}"
        raise InvalidValue(field, f"must be a whole number {allowed}")
    return value


def one_of(field: str, value: T, allowed: Collection[T]) -> T:
    """Return a value that is one of those which are `allowed`.

    Raises:
        InvalidValue: it is none of them.
    """
    if value not in allowed:
        raise InvalidValue(field, f"must be one of: {', '.join(str(each) for each in allowed)}")
    return value


def checked_map(field: str, value: object) -> Mapping[Any, Any]:
    """Return a value that is a map.

    Raises:
        InvalidValue: it is none.
    """
    if not isinstance(value, Mapping):
        raise InvalidValue(field, f"must be a map, and not a {type(value).__name__}")
    return value


def is_whole(text: str) -> bool:
    """Whether a text has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, which an older version may have stored."""
    return text if is_whole(text) else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def from_json(text: str) -> Any:
    """Return the value of stored JSON text, with U+FFFD for each half of a surrogate pair.

    JSON can escape such a half, and then nothing could send on what was read.
    """
    value = json.loads(text)
    # Only an escape can have brought one in: the text itself is UTF-8.
    return readable_json(value) if "\\u" in text else value


def readable_json(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each half of a surrogate pair in its texts and names."""
    text = json.dumps(value, ensure_ascii=False)
    return value if is_whole(text) else json.loads(readable(text))
