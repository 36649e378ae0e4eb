"""Messages as the table would return them, made without a table."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from models.message import ID_PREFIX, ROLES, Message
from models.table.ids import new_id

_START = datetime(2026, 1, 1, tzinfo=UTC)
_moments = (_START + timedelta(seconds=number) for number in count())


def _message(sender: str, content: str, turn: str | None, kind: str = "text", **attributes: Any) -> Message:
    moment = next(_moments)
    return Message(
        conversation_id="conv_1",
        ts=moment,
        message_id=new_id(ID_PREFIX, moment),
        sender=sender,
        role=ROLES[sender],  # type: ignore[index]
        type=kind,
        content=content,
        attributes=attributes or None,
        turn_id=turn,
    )


def user(content: str, turn: str | None = None) -> Message:
    return _message("user", content, turn)


def agent(content: str, turn: str | None = None) -> Message:
    return _message("agent", content, turn)


def instruction(content: str, turn: str | None = None) -> Message:
    return _message("system", content, turn)


def parts(*given: dict[str, Any], turn: str | None = None) -> Message:
    return _message("user", json.dumps(given), turn, "parts")


def call(call_id: str, turn: str, name: str = "look", arguments: str = "{}") -> Message:
    return _message(
        "agent", arguments, turn, "function_call", is_function_call=True, call_id=call_id, function_name=name
    )


def result(call_id: str, turn: str, content: str = "42") -> Message:
    return _message("tool", content, turn, "function_result", call_id=call_id, function_name="look")
