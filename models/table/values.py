"""Checks of values before they are stored, and the repair of stored text that is not valid Unicode."""

import json
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from models.table.errors import InvalidValue

T = TypeVar("T")

# DynamoDB's numbers have 38 digits.
MAX_NUMBER = 10**38 - 1


def text_value(field: str, value: object, longest: int | None = None) -> str:
    """Return a text after checking that it can be stored: valid Unicode, at most `longest` characters.

    Raises:
        InvalidValue: it is not a string, is longer, or contains half of a surrogate pair, which UTF-8 cannot encode.
    """
    if not isinstance(value, str):
        raise InvalidValue(field, f"must be a string, not {type(value).__name__}")
    if longest is not None and len(value) > longest:
        raise InvalidValue(field, f"has {len(value):,} characters; at most {longest:,} are allowed")
    if not is_whole(value):
        raise InvalidValue(field, "must be valid Unicode; half of a surrogate pair is not a character")
    return value


def number_value(field: str, value: object, lowest: int = -MAX_NUMBER, highest: int = MAX_NUMBER) -> int:
    """Return a whole number after checking that it can be stored.

    Raises:
        InvalidValue: it is not an int, or out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidValue(field, f"must be a whole number, not {type(value).__name__}")
    if not lowest <= value <= highest:
        allowed = "of at most 38 digits" if highest == MAX_NUMBER else f"from {lowest:,} to {highest:,}"
        raise InvalidValue(field, f"must be a whole number {allowed}")
    return value


def one_of(field: str, value: T, allowed: Collection[T]) -> T:
    """Return a value after checking that it is one of `allowed`.

    Raises:
        InvalidValue: it is not.
    """
    if value not in allowed:
        raise InvalidValue(field, f"must be one of: {', '.join(str(each) for each in allowed)}")
    return value


def checked_map(field: str, value: object) -> Mapping[Any, Any]:
    """Return a value after checking that it is a map.

    Raises:
        InvalidValue: it is not.
    """
    if not isinstance(value, Mapping):
        raise InvalidValue(field, f"must be a map, not {type(value).__name__}")
    return value


def is_whole(text: str) -> bool:
    """Whether a text is valid Unicode: no half of a surrogate pair on its own."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable(text: str) -> str:
    """Return a text with U+FFFD for each half of a surrogate pair, because an older version may have stored some."""
    return text if is_whole(text) else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def from_json(text: str) -> Any:
    """Return the value of stored JSON text, with U+FFFD for each half of a surrogate pair.

    JSON can contain one as an escape, and then the value could not be sent to anybody.
    """
    value = json.loads(text)
    # Only an escape can be one, because the text itself is UTF-8.
    return readable_json(value) if "\\u" in text else value


def readable_json(value: Any) -> Any:
    """Return a JSON value with U+FFFD for each half of a surrogate pair in its texts and names."""
    text = json.dumps(value, ensure_ascii=False)
    return value if is_whole(text) else json.loads(readable(text))
