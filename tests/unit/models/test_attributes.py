"""What is stored in an attribute reads back unchanged."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.table.attributes import JsonAttribute, JsonMapAttribute, TextAttribute, TimestampAttribute
from models.table.changes import merge
from models.table.errors import InvalidValue
from models.table.long_text import LongJsonAttribute
from models.user import User

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_any_json_value_reads_back(value: object) -> None:
    attribute = JsonAttribute()
    assert attribute.deserialize(attribute.serialize(value)) == value


def test_a_large_integer_keeps_its_digits() -> None:
    attribute = JsonAttribute()
    assert attribute.deserialize(attribute.serialize(2**80 + 1)) == 2**80 + 1


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"cut": "\ud83d"}, "value.cut"),
        (["\ude00\ud83d"], "value.0"),
        ({"\ud83d": 1}, "value"),
        ({"deep": [{"\ude00": 1}]}, "value.deep.0"),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_with_its_path(value: object, field: str) -> None:
    with pytest.raises(InvalidValue, match="half of a surrogate pair") as refusal:
        JsonAttribute().serialize(value)
    assert refusal.value.field == field


def test_half_of_a_surrogate_pair_that_an_older_version_stored_is_read_as_a_replacement_character() -> None:
    stored = json.dumps({"cut": "a\ud83d", "\ude00": ["\U0001f600", 2**70, 0.1]})
    assert JsonAttribute().deserialize(stored) == {"cut": "a\ufffd", "\ufffd": ["\U0001f600", 2**70, 0.1]}
    named = JsonMapAttribute().deserialize({"\ud83d": {"S": stored}})
    assert list(named) == ["\ufffd"]
    assert json.dumps(named, ensure_ascii=False).encode()
    assert TextAttribute().deserialize("a\ud83db") == "a\ufffdb"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_numbers_that_json_does_not_have_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON has no NaN"):
        JsonAttribute().serialize(value)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=5))
def test_a_map_reads_back_name_by_name(value: dict[str, object]) -> None:
    attribute = JsonMapAttribute()
    stored = attribute.serialize(value)
    assert all(list(entry) == ["S"] for entry in stored.values())
    assert attribute.deserialize(stored) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_reads_back(moment: datetime) -> None:
    attribute = TimestampAttribute()
    assert attribute.deserialize(attribute.serialize(moment)) == moment


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({1: "a", "1": "b"}, "value"),
        ([{"a": {True: 1}}], "value.0.a"),
        ({"a": [0, {None: 1}]}, "value.a.1"),
        ({1.5: 1}, "value"),
        ({"a": {"b": {3: 4}}}, "value.a.b"),
        ([1, Decimal("0.1")], "value.1"),
        ({"a": {1, 2}}, "value.a"),
        (b"bytes", "value"),
        ({"a": [float("nan")]}, "value.a.0"),
        ([10**5000], "value.0"),
    ],
)
def test_a_value_that_would_not_read_back_unchanged_is_refused_by_its_path(value: Any, path: str) -> None:
    for serialize in (JsonAttribute().serialize, LongJsonAttribute().text_of):
        with pytest.raises(InvalidValue) as refusal:
            serialize(value)
        assert refusal.value.field == path
    with pytest.raises(InvalidValue) as refusal:
        JsonMapAttribute().serialize({"name": value})
    assert refusal.value.field == path.replace("value", "value.name", 1)
    with pytest.raises(InvalidValue) as refusal:
        merge(User.preferences, {"name": value})
    assert refusal.value.field == path.replace("value", "preferences.name", 1)


def test_a_map_with_numbers_as_names_is_refused() -> None:
    for use in (JsonMapAttribute().serialize, lambda value: merge(User.preferences, value)):
        with pytest.raises(InvalidValue, match="must be strings"):
            use({1: "a", "1": "b"})


def test_a_value_that_contains_itself_or_is_nested_too_deeply_is_refused() -> None:
    ring: list[Any] = []
    ring.append({"again": ring})
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (ring, deep):
        with pytest.raises(InvalidValue, match="nested too deep"):
            JsonAttribute().serialize(value)
        with pytest.raises(InvalidValue, match="nested too deep"):
            JsonMapAttribute().serialize({"name": value})


@given(st.integers(-(10**4000), 10**4000) | st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_a_number_reads_back_exactly(number: float, nested: bool) -> None:
    value = {"a": [number]} if nested else number
    attribute = JsonAttribute()
    found = attribute.deserialize(attribute.serialize(value))
    assert repr(found) == repr(value)
