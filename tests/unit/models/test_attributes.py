"""What is put into an attribute comes out of it again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.table.attributes import JsonAttribute, JsonMapAttribute, TimestampAttribute

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(JSON)
def test_any_json_value_comes_back(value: object) -> None:
    attribute = JsonAttribute()
    assert attribute.deserialize(attribute.serialize(value)) == value


def test_a_large_integer_keeps_its_digits() -> None:
    attribute = JsonAttribute()
    assert attribute.deserialize(attribute.serialize(2**80 + 1)) == 2**80 + 1


def test_a_lone_surrogate_which_json_allows_comes_back() -> None:
    attribute = JsonAttribute()
    stored = attribute.serialize({"cut": "\ud83d"})
    assert stored.encode()
    assert attribute.deserialize(stored) == {"cut": "\ud83d"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_what_json_does_not_have_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        JsonAttribute().serialize(value)


@given(st.dictionaries(st.text(min_size=1), JSON, max_size=5))
def test_a_map_comes_back_name_by_name(value: dict[str, object]) -> None:
    attribute = JsonMapAttribute()
    stored = attribute.serialize(value)
    assert all(list(entry) == ["S"] for entry in stored.values())
    assert attribute.deserialize(stored) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_comes_back(moment: datetime) -> None:
    attribute = TimestampAttribute()
    assert attribute.deserialize(attribute.serialize(moment)) == moment
