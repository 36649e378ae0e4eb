"""Attribute types that PynamoDB does not have in the form that we need."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pynamodb.attributes import Attribute
from pynamodb.constants import MAP, NUMBER, STRING

from models.table import clock


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
    """Any JSON value as compact JSON text: numbers keep their precision, and empty names and depth are no matter."""

    attr_type = STRING

    def serialize(self, value: Any) -> str:
        """Return the JSON text that is stored."""
        return to_json(value)

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
        """Return the map that is stored."""
        return {name: {STRING: to_json(entry)} for name, entry in value.items()}

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


def to_json(value: Any) -> str:
    """Return compact JSON text.

    Raises:
        ValueError: the value holds NaN or an infinity, which JSON does not have.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # JSON allows half a surrogate pair, UTF-8 does not: then, and only then, everything is escaped.
        text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text
