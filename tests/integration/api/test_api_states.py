"""State: any JSON under a key, for the caller or for a conversation."""

import json
from typing import Any

import pytest

from models.state import ConversationState, UserState
from models.table import clock
from tests.contract_watch import past_the_models
from tests.factories import noise
from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller

VALUES: list[Any] = [
    None,
    True,
    0,
    -1.5,
    1e-300,
    123456789012345678901234567890,
    "",
    "text",
    "\x00😀",
    [],
    {},
    {"": {"#": [None, {"S": "x"}]}},
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],
]


@pytest.fixture(params=["user", "conversation"])
def owner(request: pytest.FixtureRequest, ann: Caller) -> str:
    """The path of the state's owner: Ann, or a conversation of hers."""
    return "/users/me/state" if request.param == "user" else f"/conversations/{ann.conversation()}/state"


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_any_json_comes_back_as_it_was_put(ann: Caller, owner: str, value: Any) -> None:
    put = ann.put(f"{owner}/cart", value=value)
    assert put["value"] == value
    assert (put["key"], put["version"], put["expires_at"]) == ("cart", 1, None)
    assert ann.get(f"{owner}/cart") == put
    assert ann.get(owner)["data"] == [put]


def test_each_put_counts_the_version_up(ann: Caller, owner: str) -> None:
    first = ann.put(f"{owner}/cart", value=1)
    second = ann.put(f"{owner}/cart", value=2)
    assert (second["version"], second["value"], second["created_at"]) == (2, 2, first["created_at"])
    assert second["updated_at"] > first["updated_at"]


def test_a_compare_and_set_succeeds_only_for_the_stored_version(ann: Caller, owner: str) -> None:
    ann.put(f"{owner}/cart", value="a", if_version=0)
    ann.put(f"{owner}/cart", value="b", if_version=1)
    for stale in (0, 1, 3):
        fields = ann.refused(409, "version_conflict", "PUT", f"{owner}/cart", {"value": "c", "if_version": stale})
        assert fields == {"if_version": "must be the stored version, 2"}
    assert ann.call("PUT", f"{owner}/cart", {"value": "c", "if_version": 9}).get_json()["current_version"] == 2
    assert ann.get(f"{owner}/cart")["value"] == "b"

    fields = ann.refused(409, "version_conflict", "DELETE", f"{owner}/cart", query_string="if_version=1")
    assert "if_version" in fields
    ann.delete(f"{owner}/cart", if_version=2)
    ann.refused(404, "not_found", "GET", f"{owner}/cart")
    ann.refused(404, "not_found", "DELETE", f"{owner}/cart")


def test_kinds_are_kept_apart(ann: Caller, owner: str) -> None:
    default = "application" if owner.startswith("/users") else "session"
    other = {"application": "session", "session": "application"}[default]
    assert ann.put(f"{owner}/cart", value="default")["kind"] == default
    assert ann.put(f"{owner}/cart?kind={other}", value="other")["kind"] == other
    assert ann.get(f"{owner}/cart")["value"] == "default"
    assert ann.get(f"{owner}/cart", kind=other)["value"] == "other"
    assert {each["value"] for each in ann.get(owner)["data"]} == {"default", "other"}
    assert [each["value"] for each in ann.get(owner, kind=other)["data"]] == ["other"]
    ann.delete(f"{owner}/cart", kind=other)
    assert [each["value"] for each in ann.get(owner)["data"]] == ["default"]


def test_an_expired_value_is_missing(ann: Caller, owner: str, fake_clock: FakeClock) -> None:
    put = ann.put(f"{owner}/cart", value=1, ttl_seconds=60)
    assert put["expires_at"] is not None
    fake_clock.advance(seconds=62)
    ann.refused(404, "not_found", "GET", f"{owner}/cart")
    assert ann.get(owner)["data"] == []
    assert ann.put(f"{owner}/cart", value=2, if_version=0)["version"] == 1


def test_a_put_without_a_time_to_live_stays(ann: Caller, owner: str, fake_clock: FakeClock) -> None:
    ann.put(f"{owner}/cart", value=1, ttl_seconds=60)
    assert ann.put(f"{owner}/cart", value=2)["expires_at"] is None
    fake_clock.advance(days=400)
    assert ann.get(f"{owner}/cart")["value"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "value"),
        ({"value": 1, "if_version": -1}, "if_version"),
        ({"value": 1, "if_version": "1"}, "if_version"),
        ({"value": 1, "ttl_seconds": 0}, "ttl_seconds"),
        ({"value": 1, "ttl_seconds": 10**10}, "ttl_seconds"),
        ({"value": 1, "ttl_seconds": 1.5}, "ttl_seconds"),
        ({"value": 1, "version": 2}, "version"),
        ({"value": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}, "value"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_its_name(ann: Caller, owner: str, body: Any, field: str) -> None:
    assert list(ann.refused(422, "validation_failed", "PUT", f"{owner}/cart", body)) == [field]


@pytest.mark.parametrize(
    "key", [".", "..", "...", "%2e", "%2E%2E", ".%2e", "%252e", "a%20b", "a%3Bb", "a%5Cb", "x" * 129]
)
def test_a_key_that_is_not_a_path_segment_is_refused_with_the_reason(ann: Caller, owner: str, key: str) -> None:
    fields = ann.refused(422, "validation_failed", "PUT", f"{owner}/{key}", {"value": 1})
    assert fields == {
        "key": "must be 1 to 128 letters from a to z in either case, digits and _.:-, and not only dots",
    }
    assert ann.get(owner)["data"] == []


def test_values_stored_under_dots_earlier_can_be_read_and_deleted(ann: Caller, owner: str) -> None:
    ann.put(f"{owner}/cart", value=1)
    kind = ann.get(f"{owner}/cart")["kind"]
    whose = {"user_id": ann.id} if owner.startswith("/users") else {"conversation_id": owner.split("/")[2]}
    entity = UserState if "user_id" in whose else ConversationState
    moment = clock.now()
    with past_the_models():
        entity(kind=kind, key="..", value="old", version=1, created_at=moment, updated_at=moment, **whose).save()
    assert ann.get(f"{owner}/%2E%2E")["value"] == "old"
    ann.delete(f"{owner}/%2E%2E")
    assert [each["key"] for each in ann.get(owner)["data"]] == ["cart"]


TOO_EXACT = "a number with a fraction may have 17 digits, or exactly those of a double; send others as a string"


@pytest.mark.parametrize("number", ["0.1234567890123456789", "1e-400", "3.14159265358979323846"])
def test_a_number_that_would_lose_digits_is_refused_by_its_path(ann: Caller, owner: str, number: str) -> None:
    body = f'{{"value": {{"a": [0, {number}]}}}}'.encode()
    fields = ann.refused(400, "malformed_request", "PUT", f"{owner}/cart", data=body, content_type="application/json")
    assert fields == {"value.a.1": TOO_EXACT}
    ann.refused(404, "not_found", "GET", f"{owner}/cart")


@pytest.mark.parametrize("number", ["0.1", "0.10000000000000000555", "5e-324", "1.7976931348623157e308", f"{10**400}"])
def test_a_number_keeps_its_value(ann: Caller, owner: str, number: str) -> None:
    body = f'{{"value": {{"a": [{number}]}}}}'.encode()
    assert ann.call("PUT", f"{owner}/cart", data=body, content_type="application/json").status_code == 200
    assert ann.get(f"{owner}/cart")["value"] == {"a": [json.loads(number)]}


def test_an_unknown_kind_is_refused(ann: Caller, owner: str) -> None:
    for method, body in (("GET", None), ("PUT", {"value": 1}), ("DELETE", None)):
        path = f"{owner}/cart"
        assert "kind" in ann.refused(422, "validation_failed", method, path, body, query_string="kind=eternal")
    assert "kind" in ann.refused(422, "validation_failed", "GET", owner, query_string="kind=eternal")


def test_a_value_is_stored_up_to_its_limit_and_no_further(ann: Caller, owner: str) -> None:
    fields = ann.refused(413, "too_large", "PUT", f"{owner}/cart", {"value": noise(500_000)})
    assert fields == {"value": "at most 401,408 bytes after compression"}
    longest = noise(450_000)
    assert ann.put(f"{owner}/cart", value=longest)["value"] == longest


def test_state_is_listed_by_kind_and_key(ann: Caller, owner: str) -> None:
    for key in ("b", "a", "c.1", "c:0"):
        for kind in ("session", "application"):
            ann.put(f"{owner}/{key}?kind={kind}", value=key)
    listed = [(each["kind"], each["key"]) for each in ann.get(owner)["data"]]
    assert listed == [(kind, key) for kind in ("application", "session") for key in ("a", "b", "c.1", "c:0")]
