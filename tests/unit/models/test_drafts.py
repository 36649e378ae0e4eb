"""A draft that no model could accept is refused before it is stored, because it would break every later turn."""

from typing import Any

import pytest

from models.access_patterns.messages import Draft
from models.table.errors import InvalidDraft

CALL = {"call_id": "c1", "function_name": "look"}


@pytest.mark.parametrize(
    ("draft", "field"),
    [
        ({"content": None}, "content"),
        ({"content": 7}, "content"),
        ({"content": None, "type": "function_call", "attributes": CALL}, "content"),
        ({"content": None, "type": "function_result", "attributes": CALL}, "content"),
        ({"content": None, "type": "parts"}, "content"),
        ({"content": "Hello", "type": "parts"}, "content"),
        ({"content": "{}", "type": "parts"}, "content"),
        ({"content": '["Hello"]', "type": "parts"}, "content"),
        ({"content": "[" * 100_000, "type": "parts"}, "content"),
        ({"type": "function_call"}, "attributes.call_id"),
        ({"type": "function_call", "attributes": CALL | {"call_id": None}}, "attributes.call_id"),
        ({"type": "function_call", "attributes": {"call_id": "c1"}}, "attributes.function_name"),
        ({"type": "function_call", "attributes": CALL | {"function_name": " "}}, "attributes.function_name"),
        ({"type": "function_result", "attributes": {"call_id": ""}}, "attributes.call_id"),
        ({"type": "image"}, "type"),
        ({"sender": "assistant"}, "sender"),
    ],
    ids=str,
)
def test_an_invalid_message_is_refused_and_the_field_is_named(draft: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidDraft, match="must be") as refused:
        Draft(**{"sender": "agent", "content": "{}", **draft})
    assert refused.value.field == field
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize(
    "draft",
    [
        {"content": ""},
        {"content": "{broken", "type": "function_call", "attributes": CALL},
        {"content": "", "type": "function_result", "attributes": {"call_id": "c1"}},
        {"content": "[]", "type": "parts"},
        {"content": '[{"type":"text","text":"Hello"}]', "type": "parts", "role": "developer"},
    ],
    ids=str,
)
def test_a_valid_message_is_kept(draft: dict[str, Any]) -> None:
    assert Draft(**{"sender": "agent", **draft}).content == draft["content"]
