"""Bodies that cannot be parsed: every route with a body refuses them, and says what is wrong and where."""

import json
from io import BytesIO
from pathlib import Path

import pytest
from flask_openapi import OpenAPI

from models.table.connection import TableSettings
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.integration.api.test_api_routes import routes, things_of

BROKEN = [
    (b"{", "body"),
    (b"nothing", "body"),
    (b"{'a': 1}", "body"),
    (b'{"a": 1,}', "body"),
    (b'{"a": 1} {}', "body"),
    (b"\xff\xfe", "body"),
    (b'{"a": "\xed\xa0\x80"}', "body"),
    (b'\xef\xbb\xbf{"a": 1}', "body"),
    (b'{"a": NaN}', "body"),
    (b'{"a": -Infinity}', "body"),
    (b'{"a": 1e999}', "body"),
    (b'{"a": ' + b"9" * 5000 + b"}", "body"),
    (b'{"a": 1, "a": 2}', "body"),
    (b'{"a": {"b": 1, "b": 2}}', "body"),
    (b"[]", "body"),
    (b"null", "body"),
    (b'"text"', "body"),
    (b"5", "body"),
    (b'{"a": "\\ud800"}', "a"),
    (b'{"a": ["x", {"b": "\\udc00 alone"}]}', "a.1.b"),
    (b'{"\\ud800": 1}', "body"),
    (b'{"a": ' + b"[" * 70 + b"]" * 70 + b"}", "a"),
    (b'{"a": ' + b"[" * 500 + b'"\\u0041"' + b"]" * 500 + b"}", "a"),
    (b'{"a": ' + b'{"b":' * 100_000 + b"1" + b"}" * 100_000 + b"}", "body"),
]


@pytest.mark.parametrize(("data", "field"), BROKEN, ids=lambda value: repr(value)[:30])
def test_anything_but_a_json_object_is_malformed_and_the_error_says_where(ann: Caller, data: bytes, field: str) -> None:
    path = f"/conversations/{ann.conversation()}/messages"
    for method, target in (("POST", path), ("PATCH", "/users/me"), ("PUT", "/users/me/state/cart")):
        fields = ann.refused(400, "malformed_request", method, target, data=data, content_type="application/json")
        assert list(fields) == [field]
    assert ann.get(path)["data"] == []


def test_every_route_that_takes_a_body_reads_it_strictly(app: OpenAPI, ann: Caller) -> None:
    things = things_of(ann)
    for route in routes(app):
        if route.method in ("POST", "PUT", "PATCH"):
            path = route.filled(things)
            fields = ann.refused(
                400, "malformed_request", route.method, path, data="{", content_type="application/json"
            )
            assert list(fields) == ["body"], str(route)


def test_a_whole_surrogate_pair_is_a_character(ann: Caller) -> None:
    put = ann.call("PUT", "/users/me/state/smile", data=b'{"value": "\\ud83d\\ude00"}', content_type="application/json")
    assert put.get_json()["value"] == "😀"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "json"]
)
def test_another_kind_of_content_is_refused_on_every_route_that_takes_a_body(
    app: OpenAPI, ann: Caller, content_type: str
) -> None:
    things = things_of(ann)
    for route in routes(app):
        if route.method in ("POST", "PUT", "PATCH"):
            path = route.filled(things)
            fields = ann.refused(
                415, "unsupported_media_type", route.method, path, data=b'{"name": "Ada"}', content_type=content_type
            )
            assert fields == {"Content-Type": "must be application/json"}


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/merge-patch+json"])
def test_other_json_media_types_are_accepted(ann: Caller, content_type: str) -> None:
    answer = ann.call("PATCH", "/users/me", data=b'{"name": "Ann"}', content_type=content_type)
    assert answer.get_json()["name"] == "Ann"


def test_a_body_over_the_limit_is_refused_on_every_route_that_takes_one(
    app: OpenAPI, ann: Caller, table: TableSettings, tmp_path: Path
) -> None:
    things = things_of(ann)
    small = make_app(table, tmp_path, max_body_bytes=2000)
    caller = Caller(small, ann.user)
    for route in routes(small):
        if route.method in ("POST", "PUT", "PATCH"):
            path = route.filled(things)
            fields = caller.refused(413, "too_large", route.method, path, {"name": "x" * 2000})
            assert list(fields) == ["body"], str(route)


def test_a_body_over_the_limit_without_a_content_length_is_refused_and_not_truncated(
    ann: Caller, table: TableSettings, tmp_path: Path
) -> None:
    caller = Caller(make_app(table, tmp_path, max_body_bytes=2000), ann.user)
    for length, status in ((1000, 200), (3000, 413)):
        sent = b'{"preferences": {"x": "' + b"x" * length + b'"}}'
        answer = caller.call(
            "PATCH",
            "/users/me",
            input_stream=BytesIO(sent),
            content_type="application/json",
            environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        )
        assert answer.status_code == status, answer.text


class _Stalled(BytesIO):
    """A body that breaks off."""

    def readinto(self, _: object) -> int:
        raise ConnectionResetError


def test_a_body_that_does_not_arrive_is_malformed_and_says_why(ann: Caller) -> None:
    fields = ann.refused(
        400,
        "malformed_request",
        "PATCH",
        "/users/me",
        input_stream=_Stalled(),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert fields == {"body": "must arrive completely and in time"}


def test_all_wrong_fields_are_named_at_once(ann: Caller) -> None:
    body = {"name": "", "settings": {"temperature": 3, "seed": "x"}, "functions": [{"name": "a b"}], "more": 1}
    fields = ann.refused(422, "validation_failed", "POST", "/agents", body)
    assert set(fields) == {"name", "settings.temperature", "settings.seed", "functions.0.name", "more"}


def test_a_deep_value_within_the_limit_is_kept(ann: Caller) -> None:
    deep = json.loads("[" * 32 + "]" * 32)
    assert ann.put("/users/me/state/deep", value=deep)["value"] == deep
