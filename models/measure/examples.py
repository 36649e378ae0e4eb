"""Requests and responses as examples for the documentation, with reproducible text."""

import re
from collections.abc import Iterable
from typing import Any

from models.measure.exchange import Exchange
from models.table import connection

_ID = re.compile(r"\b(usr|agt|conv|msg|turn|key|era|evt|lnk)_([0-9a-z]{12})([0-9a-z]{14})\b")
_OMITTED = frozenset({"ResponseMetadata", "ConsumedCapacity", "ReturnConsumedCapacity", "UnprocessedKeys"})
_TABLE = "turntable"
_LONGEST = 90
_MOST = 3


_MASKS = (
    (_ID, "id"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?"), "time"),
    (re.compile(r"\b[\w.-]+@example\.com"), "email"),
    (re.compile(r"[0-9a-f]{64}"), "hash"),
    (re.compile(r"\b\d{10}\b"), "seconds"),
)


def masked(value: Any) -> Any:
    """Return examples with everything masked that may differ between two runs: ids, times, emails, hashes."""
    match value:
        case dict():
            return {name: masked(entry) for name, entry in value.items()}
        case list():
            return [masked(entry) for entry in value]
        case str():
            for pattern, name in _MASKS:
                value = pattern.sub(f"<{name}>", value)
            return value
        case _:
            return value


class Examples:
    """Makes examples from exchanges: it replaces what differs between runs, and truncates what is too long."""

    def __init__(self) -> None:
        """Start with no ids."""
        self._ids: dict[str, str] = {}

    def of(self, exchanges: Iterable[Exchange]) -> list[dict[str, Any]]:
        """Return up to three requests with their responses."""
        return [
            {
                "operation": exchange.operation,
                "request": self._shown(dict(exchange.body)),
                "answer": self._shown(dict(exchange.answer)),
            }
            for exchange in list(exchanges)[:_MOST]
        ]

    def _shown(self, value: Any, name: str = "") -> Any:
        match value:
            case dict():
                shown_names = {each: self._name(each) for each in value if each not in _OMITTED}
                return {shown: self._shown(value[each], each) for each, shown in shown_names.items()}
            case list():
                shown = [self._shown(entry) for entry in value[:_MOST]]
                return shown if len(value) <= _MOST else [*shown[:-1], f"… and {len(value) - _MOST + 1} more"]
            case str():
                return self._text(value, name)
            case _:
                return value

    def _name(self, name: str) -> str:
        """Return a name unchanged, except the table's, which is a name in the JSON of a batch."""
        return _TABLE if name == connection.settings().name else name

    def _text(self, text: str, name: str) -> str:
        if name == "TableName":
            return _TABLE
        if name == "ClientRequestToken":
            return "0190f5d2-0000-4000-8000-000000000000"
        text = _ID.sub(self._id, text)
        if name.endswith("Expression"):
            return text
        return text if len(text) <= _LONGEST else text[: _LONGEST // 2].rstrip() + " …"

    def _id(self, match: re.Match[str]) -> str:
        """Return an id with the same timestamp and a number instead of its random part."""
        number = self._ids.setdefault(match[0], f"{len(self._ids) + 1:014}")
        return f"{match[1]}_{match[2]}{number}"
