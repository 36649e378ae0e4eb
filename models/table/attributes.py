"""Attribute types that PynamoDB does not have in the form that we need."""

import json
import math
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.constants import MAP, NUMBER, STRING

from models.table import clock
from models.table.errors import InvalidValue

# How deep a fault is looked for; Python's own `json` gives up somewhere behind it.
_DEEPEST = 900


class TimestampAttribute(Attribute[datetime]):
    """A moment in UTC as a string of fixed width (see `clock`), so that it sorts and compares as time does."""

    attr_type = STRING

    def serialize(self, value: datetime) -> str:
        """Return the string that is stored."""
        return clock.to_timestamp(value)

    def deserialize(self, value: str) -> datetime:
        """Return the moment that was stored."""
        return clock.from_timestamp(value)


class JsonAttribute(Attribute[Any]):
    """Any JSON value as compact JSON text; empty names and depth are no matter.

    DynamoDB's own numbers have 38 digits. As text, whole numbers keep all of theirs, and any other comes back as the
    double that it was.
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
        return json.loads(value)


class JsonMapAttribute(Attribute[dict[str, Any]]):
    """A map whose values are JSON text.

    Unlike one JSON string, each name can be set and removed by itself in an update: two writers that change two names
    at the same time both win, and nobody has to read first.
    """

    attr_type = MAP

    def serialize(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the map that is stored.

        Raises:
            InvalidValue: a name is no string, or what it stands for is not JSON.
        """
        field = self.attr_name or "value"
        if not all(isinstance(name, str) for name in value):
            raise _fault(value, field)
        return {name: {STRING: to_json(entry, f"{field}.{name}")} for name, entry in value.items()}

    def deserialize(self, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the map that was stored."""
        return {name: json.loads(entry[STRING]) for name, entry in value.items()}


class NumberMapAttribute(Attribute[dict[str, int]]):
    """A map of whole numbers, each of which can be counted up by itself in an update."""

    attr_type = MAP

    def serialize(self, value: Mapping[str, int]) -> dict[str, Any]:
        """Return the map that is stored."""
        return {name: {NUMBER: str(entry)} for name, entry in value.items()}

    def deserialize(self, value: Mapping[str, Any]) -> dict[str, int]:
        """Return the map that was stored."""
        return {name: int(entry[NUMBER]) for name, entry in value.items()}


def to_json(value: Any, field: str = "value") -> str:
    """Return compact JSON text from which the same value is read: what would come back as something else is refused.

    Args:
        value: None, a bool, an int, a finite float, a str, or a list or map of such; a map's names are strings.
        field: what an error calls it.

    Raises:
        InvalidValue: it is something else; the error's field is the path to it.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise _fault(value, field) from error
    if not _names_are_text(value):
        raise _fault(value, field)
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON allows half a surrogate pair, UTF-8 does not: then, and only then, everything is escaped.
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def _names_are_text(value: Any) -> bool:
    """Whether all names of all maps are strings; `json` makes strings of numbers, and of 1 and "1" the same one."""
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
    """Return the error that names what of a value is not JSON."""
    within: list[tuple[str, int, Any]] = [(field, 0, value)]
    while within:
        path, depth, each = within.pop()
        if depth > _DEEPEST:
            break
        if isinstance(each, dict):
            if wrong := [name for name in each if not isinstance(name, str)]:
                return InvalidValue(path, f"the names of a map must be strings, and {str(wrong[0])[:40]!r} is none")
            within += [(f"{path}.{name}", depth + 1, inner) for name, inner in each.items()]
        elif isinstance(each, (list, tuple)):
            within += [(f"{path}.{position}", depth + 1, inner) for position, inner in enumerate(each)]
        elif isinstance(each, float) and not math.isfinite(each):
            return InvalidValue(path, "must be a finite number: JSON has no NaN and no infinity")
        elif isinstance(each, int):
            try:
                str(int(each))
            except ValueError:
                return InvalidValue(path, f"a whole number has at most {sys.get_int_max_str_digits():,} digits")
        elif each is not None and not isinstance(each, (str, float)):
            return InvalidValue(
                path, f"must be JSON: None, a bool, int, float, str, list or dict, and not a {type(each).__name__}"
            )
    return InvalidValue(field, f"is nested too deep, or holds itself; at most {_DEEPEST} levels can be stored")
