"""Attribute types that PynamoDB lacks, or has with other semantics than we need."""

import json
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynamodb.attributes import Attribute, BooleanAttribute, NumberAttribute, UnicodeAttribute
from pynamodb.constants import MAP, NUMBER, STRING

from models.table import clock
from models.table.errors import InvalidValue, MapTooLarge
from models.table.values import checked_map, from_json, is_whole, number_value, readable, text_value

# How deep the search for an invalid value goes; Python's `json` gives up a little below it.
_DEEPEST = 900
_UNICODE = "must be valid Unicode; half of a surrogate pair is not a character"


class TextAttribute(UnicodeAttribute):
    """A text, of at most `longest` characters if that is given."""

    def __init__(self, *, longest: int | None = None, **options: Any) -> None:
        """Take the maximum length; `options` are PynamoDB's."""
        super().__init__(**options)
        self.longest = longest

    def serialize(self, value: Any) -> str:
        """Return the text that is stored.

        Raises:
            InvalidValue: it is not a string, too long, or contains half of a surrogate pair.
        """
        return text_value(self.attr_name or "text", value, self.longest)

    def deserialize(self, value: str) -> str:
        """Return the text that was stored, with U+FFFD for each half of a surrogate pair."""
        return readable(value)


class WholeNumberAttribute(NumberAttribute):
    """A whole number of up to 38 digits."""

    def serialize(self, value: Any) -> str:
        """Return the number that is stored.

        Raises:
            InvalidValue: it is not an int, or has more digits.
        """
        return str(number_value(self.attr_name or "number", value))


class FlagAttribute(BooleanAttribute):
    """True or False; other truthy or falsy values are rejected."""

    def serialize(self, value: Any) -> bool:
        """Return the value that is stored.

        Raises:
            InvalidValue: it is not a bool.
        """
        if not isinstance(value, bool):
            raise InvalidValue(self.attr_name or "flag", f"must be true or false, not {type(value).__name__}")
        return value


class TimestampAttribute(Attribute[datetime]):
    """A time in UTC as a string of fixed width (see `clock`), so that it sorts and compares chronologically."""

    attr_type = STRING

    def serialize(self, value: datetime) -> str:
        """Return the string that is stored.

        Raises:
            InvalidValue: it is not a `datetime` with a time zone.
        """
        return clock.to_timestamp(value, self.attr_name or "time")

    def deserialize(self, value: str) -> datetime:
        """Return the time that was stored."""
        return clock.from_timestamp(value)


class JsonAttribute(Attribute[Any]):
    """Any JSON value as compact JSON text, so DynamoDB's limits on depth and attribute names do not apply.

    DynamoDB's numbers have 38 digits. As text, integers keep all their digits, and other numbers are read back as the
    same double.
    """

    attr_type = STRING

    def serialize(self, value: Any) -> str:
        """Return the JSON text that is stored.

        Raises:
            InvalidValue: it is not JSON.
        """
        return to_json(value, self.attr_name or "value")

    def deserialize(self, value: str) -> Any:
        """Return the value that was stored."""
        return from_json(value)


class JsonMapAttribute(Attribute[dict[str, Any]]):
    """A map whose values are JSON text.

    Unlike in one JSON string, an update can set and remove each name individually, so two writers that change different
    names at the same time both succeed. If the map has a limit, a writer must know its current content (see `merged`).
    """

    attr_type = MAP

    def __init__(self, *, limit: tuple[int, int] | None = None, **options: Any) -> None:
        """Take the maximum numbers of names and bytes; `options` are PynamoDB's."""
        super().__init__(**options)
        self.limit = limit

    def serialize(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the map that is stored.

        Raises:
            InvalidValue: a name is not a string, or a value is not JSON.
        """
        field = self.attr_name or "value"
        checked_map(field, value)
        if not all(isinstance(name, str) and is_whole(name) for name in value):
            raise _fault(value, field)
        return {name: {STRING: to_json(entry, f"{field}.{name}")} for name, entry in value.items()}

    def check(self, value: Mapping[str, Any], has: tuple[int, int] = (0, 0)) -> None:
        """Check a whole map that replaces one with the names and bytes in `has`.

        Raises:
            MapTooLarge: it has more of them than the limit, and more than before.
        """
        would = self.counts(value)
        if self.limit and any(new > max(most, old) for new, most, old in zip(would, self.limit, has, strict=True)):
            raise MapTooLarge(self.attr_name, would, self.limit, has)

    def merged(self, there: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the map with `changes` applied: names are set, or removed if their value is None.

        A map that is already over its limit may still shrink.

        Raises:
            InvalidValue: a name is not a string, or a value is not JSON.
            MapTooLarge: it would have more names or bytes than the limit.
        """
        checked_map(self.attr_name, changes)
        # A stored value may be null.
        kept = {name: value for name, value in there.items() if name not in changes}
        result = kept | {name: value for name, value in changes.items() if value is not None}
        self.check(result, self.counts(there))
        return result

    def counts(self, value: Mapping[str, Any]) -> tuple[int, int]:
        """Return how many names a map has, and how many bytes it takes."""
        stored = self.serialize(value)
        return len(stored), sum(len(name.encode()) + len(entry[STRING].encode()) for name, entry in stored.items())

    def deserialize(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the map that was stored."""
        return {readable(name): from_json(entry[STRING]) for name, entry in value.items()}


class NumberMapAttribute(Attribute[dict[str, int]]):
    """A map of whole numbers, each of which an update can increment individually."""

    attr_type = MAP

    def serialize(self, value: Mapping[str, int]) -> dict[str, Any]:
        """Return the map that is stored."""
        return {name: {NUMBER: str(entry)} for name, entry in value.items()}

    def deserialize(self, value: Mapping[str, Any]) -> dict[str, int]:
        """Return the map that was stored."""
        return {name: int(entry[NUMBER]) for name, entry in value.items()}


def to_json(value: Any, field: str = "value") -> str:
    """Return compact JSON text; a value that would not be read back unchanged is refused.

    Args:
        value: None, a bool, an int, a finite float, a str, or a list or map of these; a map's names are strings.
        field: its name in an error.

    Raises:
        InvalidValue: a part of it is anything else; the error's field is the path to that part.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _fault(value, field) from error
    if not _names_are_text(value):
        raise _fault(value, field)
    if not is_whole(text):
        raise _fault(value, field)
    return text


def _names_are_text(value: Any) -> bool:
    """Whether all names of all maps are strings: `json` converts numbers to strings, so that 1 and "1" collide."""
    within = [value]
    while within:
        each = within.pop()
        if isinstance(each, dict):
            if not all(isinstance(name, str) for name in each):
                return False
            each = each.values()
        elif not isinstance(each, (list, tuple)):
            continue
        within += [inner for inner in each if isinstance(inner, (dict, list, tuple))]
    return True


def _fault(value: Any, field: str) -> InvalidValue:
    """Return the error for the part of a value that is not JSON."""
    within: list[tuple[str, int, Any]] = [(field, 0, value)]
    while within:
        path, depth, each = within.pop()
        if depth > _DEEPEST:
            break
        if isinstance(each, dict):
            if wrong := [name for name in each if not isinstance(name, str)]:
                return InvalidValue(path, f"the names of a map must be strings, and {str(wrong[0])[:40]!r} is not one")
            if not all(is_whole(name) for name in each):
                return InvalidValue(path, f"the names of a map {_UNICODE}")
            within += [(f"{path}.{name}", depth + 1, inner) for name, inner in each.items()]
        elif isinstance(each, (list, tuple)):
            within += [(f"{path}.{position}", depth + 1, inner) for position, inner in enumerate(each)]
        elif isinstance(each, str) and not is_whole(each):
            return InvalidValue(path, _UNICODE)
        elif isinstance(each, float) and not math.isfinite(each):
            return InvalidValue(path, "must be a finite number: JSON has no NaN and no infinity")
        elif isinstance(each, int):
            try:
                str(int(each))
            except ValueError:
                return InvalidValue(path, f"a whole number has at most {sys.get_int_max_str_digits():,} digits")
        elif each is not None and not isinstance(each, (str, float)):
            return InvalidValue(
                path, f"must be JSON: None, a bool, int, float, str, list or dict, not {type(each).__name__}"
            )
    return InvalidValue(field, f"is nested too deeply or contains itself; at most {_DEEPEST} levels can be stored")
