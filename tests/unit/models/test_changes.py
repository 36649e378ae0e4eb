"""A partial update changes only what was requested, whatever the names and values look like."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pynamodb.expressions.update import Update

from models.table.changes import actions_for, merge, set_or_remove
from models.turn import Turn
from models.user import User


def rendered(*actions: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    expression = Update(*actions).serialize(names, values)
    assert expression is not None
    return expression, {placeholder: name for name, placeholder in names.items()}, values


@given(st.text(min_size=1))
def test_any_name_of_a_map_is_a_single_name(name: str) -> None:
    expression, names, values = rendered(*merge(User.settings, {name: 1}))
    assert expression == ("SET #0.#0 = :0" if name == "settings" else "SET #0.#1 = :0")
    assert list(names.values()) == list(dict.fromkeys(["settings", name]))
    assert values == {":0": {"S": "1"}}


def test_names_that_look_like_paths_are_only_names() -> None:
    for name in ("a.b", "a[0]", "[0]", "a b", "#0", ":0", "]["):
        expression, names, _ = rendered(*merge(User.settings, {name: None}))
        assert (expression, names["#1"]) == ("REMOVE #0.#1", name)


def test_none_removes_a_name_and_an_attribute() -> None:
    expression, names, _ = rendered(*actions_for(User, {"name": None, "settings": {"theme": None}}))
    assert expression == "REMOVE #0, #1.#2"
    assert list(names.values()) == ["name", "settings", "theme"]


def test_none_for_a_map_empties_it_so_that_names_can_be_set_again() -> None:
    expression, _, values = rendered(*actions_for(User, {"settings": None}))
    assert (expression, values) == ("SET #0 = :0", {":0": {"M": {}}})


def test_a_value_that_looks_like_dynamodb_json_is_only_a_value() -> None:
    likenesses: list[dict[str, Any]] = [{"S": "text"}, {"N": "1"}, {"M": {}}, {"NULL": True}]
    for value in likenesses:
        _, _, values = rendered(set_or_remove(Turn.error, value))
        assert values == {":0": {"S": Turn.error.serialize(value)}}
