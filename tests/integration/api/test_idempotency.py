"""`Idempotency-Key`: on every POST, a repeated request gets the same answer and has no second effect."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from models.access_patterns.idempotency import find_repeated
from models.table import clock
from models.table.connection import TableSettings
from tests.conftest import new_table
from tests.factories import new_email
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.conftest import serving
from tests.integration.api.test_api_routes import Route, routes, things_of
from tests.processes import wait_until
from tests.raw import whole_table
from tests.together import at_once
from tests.wire import lost_answers, others_come_first, recorded

HEADER = "Idempotency-Key"
Bodies = tuple[Mapping[str, Any], Mapping[str, Any]]

# Two bodies for each route; a new POST fails here until it has them, and takes the header.
POSTS: Mapping[tuple[str, str], Callable[[Caller, Mapping[str, str]], Bodies]] = {
    ("POST", "/users"): lambda *_: ({"email": new_email()}, {"email": new_email()}),
    ("POST", "/api-keys"): lambda *_: ({"name": "laptop"}, {"name": "phone"}),
    ("POST", "/agents"): lambda *_: (
        {"name": "Ada", "provider": "echo", "system_message": "You are brief."},
        {"name": "Eve", "provider": "echo"},
    ),
    ("POST", "/agents/<agent_id>/shares"): lambda caller, _: (
        {"user_id": Caller(caller.app).id},
        {"user_id": Caller(caller.app).id},
    ),
    ("POST", "/conversations"): lambda _, things: (
        {"agent_id": things["agent_id"], "title": "One"},
        {"agent_id": things["agent_id"]},
    ),
    ("POST", "/conversations/<conversation_id>/messages"): lambda *_: ({"content": "One"}, {"content": "Two"}),
    ("POST", "/conversations/<conversation_id>/branches"): lambda *_: (
        {"from_message_id": None, "content": "One"},
        {"from_message_id": None, "content": "Two", "reply": False},
    ),
    ("POST", "/conversations/<conversation_id>/links"): lambda *_: ({"expires_in_days": 1}, {"expires_in_days": 2}),
    ("POST", "/conversations/<conversation_id>/turns"): lambda *_: ({}, {"background": True}),
}
# It has one effect however often it is asked for, and no body to differ in.
IDEMPOTENT_BY_ITSELF = {("POST", "/turns/<turn_id>/cancel")}


@pytest.fixture(scope="module")
def table(engine: str) -> Iterator[TableSettings]:
    """A separate table, because these tests compare all of it, and nothing else may write to it meanwhile."""
    with new_table(engine) as made:
        yield made


@pytest.fixture(scope="module")
def app(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAPI]:
    with serving(table, tmp_path_factory.mktemp("data")) as made:
        yield made


def post(caller: Caller, path: str, body: Any, key: str, **headers: str) -> TestResponse:
    return caller.call("POST", path, body, headers={HEADER: key, **headers})


def told(answer: TestResponse) -> tuple[int, Any, str | None]:
    body = answer.get_json()
    body.pop("request_id", None)
    return answer.status_code, body, answer.headers.get("Location")


def every_post(app: OpenAPI) -> Iterator[Route]:
    yield from (route for route in routes(app) if route.method == "POST")


def test_every_post_has_a_case(app: OpenAPI) -> None:
    assert set(every_post(app)) == POSTS.keys() | IDEMPOTENT_BY_ITSELF


def test_the_document_names_the_header_on_every_post_and_nowhere_else(app: OpenAPI) -> None:
    for path, operations in app.api_doc["paths"].items():
        for method, operation in operations.items():
            named = any(each["name"] == HEADER for each in operation.get("parameters", []))
            assert named == (method == "post"), f"{method} {path}"


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route[1])
def test_the_same_request_again_is_the_same_answer_and_nothing_is_written(
    admin: Caller, route: tuple[str, str]
) -> None:
    things = things_of(admin)
    body, other = POSTS[route](admin, things)
    path = Route(*route).filled(things)
    first = post(admin, path, body, "the key")
    assert first.status_code == 201, first.text
    assert "Idempotent-Replayed" not in first.headers
    before = whole_table()

    again = post(admin, path, body, "the key")

    assert told(again) == told(first)
    assert again.headers["Idempotent-Replayed"] == "true"
    refused = post(admin, path, other, "the key")
    assert (refused.status_code, refused.get_json()["code"]) == (422, "idempotency_key_reused")
    assert refused.get_json()["errors"] == [{"field": HEADER, "message": "was already used with a different body"}]
    assert whole_table() == before


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9"])
def test_an_invalid_key_is_refused_by_name(app: OpenAPI, admin: Caller, key: str) -> None:
    things = things_of(admin)
    for route in every_post(app):
        body = POSTS[route](admin, things)[0] if route in POSTS else {}
        fields = admin.refused(422, "validation_failed", "POST", route.filled(things), body, headers={HEADER: key})
        assert "printable ASCII" in fields[HEADER], str(route)


def test_any_printable_key_is_accepted(ann: Caller) -> None:
    for key in ("#", "USER#x", " a b ", '"8e03978e-40d5"', "~" * 255):
        assert post(ann, "/agents", {"name": "Ada"}, key).status_code == 201


def test_a_key_belongs_to_its_caller_and_its_route(ann: Caller, bob: Caller) -> None:
    first = post(ann, "/agents", {"name": "Ada"}, "k").get_json()
    assert post(bob, "/agents", {"name": "Ada"}, "k").get_json()["id"] != first["id"]
    assert post(ann, "/api-keys", {"name": "Ada"}, "k").status_code == 201
    one, two = ann.conversation(), ann.conversation()
    for each in (one, two):
        answer = post(ann, f"/conversations/{each}/messages", {"content": "Hi", "reply": False}, "k")
        assert answer.get_json()["input"][0]["conversation_id"] == each


def test_a_key_of_one_agent_does_not_get_the_answers_of_a_full_key(ann: Caller, app: OpenAPI) -> None:
    mine, other = ann.agent(), ann.agent()
    assert post(ann, "/conversations", {"agent_id": other}, "k").status_code == 201
    narrow = ann.make("/api-keys", scope="agent", agent_id=mine)["key"]
    answer = post(ann, "/conversations", {"agent_id": other}, "k", Authorization=f"Bearer {narrow}")
    assert answer.status_code == 404


def test_name_order_and_whitespace_do_not_change_the_body(ann: Caller) -> None:
    first = post(ann, "/agents", {"name": "Ada", "provider": "echo"}, "k")
    again = ann.call(
        "POST",
        "/agents",
        data=b'{ "provider": "echo",\n"name": "Ada" }',
        content_type="application/json",
        headers={HEADER: "k"},
    )
    assert told(again) == told(first)


def test_the_first_answer_is_replayed_even_if_the_resource_has_changed(ann: Caller) -> None:
    first = post(ann, "/agents", {"name": "Ada", "provider": "echo"}, "k")
    ann.patch(f"/agents/{first.get_json()['id']}", name="Eve")
    assert told(post(ann, "/agents", {"name": "Ada", "provider": "echo"}, "k")) == told(first)


def test_a_request_refused_without_effect_leaves_its_key_free(ann: Caller) -> None:
    missing = "agt_" + "0" * 26
    assert post(ann, "/conversations", {"agent_id": missing}, "k").status_code == 404
    assert post(ann, "/conversations", {"agent_id": missing, "surprise": 1}, "k").status_code == 422
    assert post(ann, "/conversations", {"agent_id": ann.agent()}, "k").status_code == 201


def test_after_a_day_a_key_is_free_again(ann: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    first = post(ann, "/agents", {"name": "Ada"}, "k").get_json()
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + clock.timedelta(hours=23))
    assert post(ann, "/agents", {"name": "Ada"}, "k").get_json() == first
    monkeypatch.setattr(clock, "now", lambda: now() + clock.timedelta(hours=25))
    assert post(ann, "/agents", {"name": "Eve"}, "k").get_json()["id"] != first["id"]


def test_no_client_text_or_secret_is_stored_in_clear(ann: Caller) -> None:
    secret = post(ann, "/api-keys", {"name": "laptop"}, "a key of mine").get_json()["key"]
    post(ann, "/agents", {"name": "Ada", "system_message": "Nobody may read this."}, "a key of mine")
    records = {key: item for key, item in whole_table().items() if key[0] == f"USER#{ann.id}#IDEMPOTENCY"}
    assert len(records) == 2
    for text in (secret, "a key of mine", "Nobody may read this."):
        assert text not in str(records)


def test_without_the_header_nothing_is_looked_up_and_nothing_more_is_written(ann: Caller) -> None:
    conversation_id = ann.conversation()
    ann.make(f"/conversations/{conversation_id}/messages", content="Hello")
    with recorded() as sent:
        ann.make(f"/conversations/{conversation_id}/messages", content="Hello again")
    assert [each.pattern for each in sent] == ["AP-24", "AP-50", "AP-50", "AP-52"]
    assert "IDEMPOTENCY" not in str([each.body for each in sent])


@pytest.mark.parametrize(
    "body",
    [{"content": "Hello"}, {"content": "Hello", "background": True}, {"content": "Hello", "reply": False}],
    ids=["plain", "background", "stored"],
)
def test_a_repeated_message_is_stored_once(ann: Caller, body: Any) -> None:
    path = f"/conversations/{ann.conversation()}/messages"
    first = post(ann, path, body, "k")
    answers = [post(ann, path, body, "k") for _ in range(3)]
    assert all(told(each) == told(first) for each in answers)
    assert ann.get(path)["data"][0]["content"] == "Hello"
    assert [each["content"] for each in ann.get(path)["data"] if each["sender"] == "user"] == ["Hello"]
    if body.get("background"):
        wait_until(lambda: ann.get(first.headers["Location"].removeprefix(PREFIX))["status"] == "completed")


def test_a_stream_is_replayed_from_its_start(ann: Caller) -> None:
    path = f"/conversations/{ann.conversation()}/messages"
    body = {"content": "Hello", "stream": True}
    first, again = post(ann, path, body, "k"), post(ann, path, body, "k")
    assert (first.status_code, first.text) == (again.status_code, again.text)
    assert again.mimetype == "text/event-stream"


def test_deleted_data_is_not_replayed(ann: Caller) -> None:
    for body in ({"content": "Hello"}, {"content": "Hello", "reply": False}, {"content": "Hello", "stream": True}):
        conversation_id = ann.conversation()
        path = f"/conversations/{conversation_id}/messages"
        assert post(ann, path, body, "k").status_code < 300
        ann.call("DELETE", f"/conversations/{conversation_id}")
        answer = post(ann, path, body, "k")
        assert (answer.status_code, answer.get_json()["code"]) == (404, "not_found")


def test_a_users_records_go_with_the_user(ann: Caller) -> None:
    post(ann, "/agents", {"name": "Ada"}, "k")
    ann.call("DELETE", "/users/me")
    assert not [key for key in whole_table() if key[0].startswith(f"USER#{ann.id}#IDEMPOTENCY")]


@pytest.mark.parametrize("body", [{"name": "Ada"}, {"name": "Ada", "system_message": "x" * 60_000}])
def test_requests_at_the_same_instant_make_one_thing(app: OpenAPI, ann: Caller, body: Any) -> None:
    callers = [Caller(app, ann.user) for _ in range(8)]
    answers = at_once([lambda caller=caller: post(caller, "/agents", body, "k") for caller in callers])
    assert {answer.status_code for answer in answers} == {201}  # type: ignore[union-attr]
    assert len({answer.get_json()["id"] for answer in answers}) == 1  # type: ignore[union-attr]
    assert len(ann.get("/agents")["data"]) == 1


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route[1])
def test_the_loser_of_a_race_gets_the_winners_answer(admin: Caller, route: tuple[str, str]) -> None:
    things = things_of(admin)
    body, _ = POSTS[route](admin, things)
    path = Route(*route).filled(things)
    other = Caller(admin.app, admin.user)
    first: list[TestResponse] = []
    with others_come_first("TransactWriteItems", lambda: first.append(post(other, path, body, "k")), times=1):
        second = post(admin, path, body, "k")
    assert first[0].status_code == 201
    assert told(second) == told(first[0])


@pytest.mark.parametrize("route", POSTS, ids=lambda route: route[1])
def test_an_effect_without_an_acknowledgement_is_reported_by_the_next_try(
    admin: Caller, route: tuple[str, str]
) -> None:
    things = things_of(admin)
    body, _ = POSTS[route](admin, things)
    path = Route(*route).filled(things)
    key = f"k{len(route[1])}"
    with lost_answers("TransactWriteItems", times=1) as lost:
        first = post(admin, path, body, key)
    assert lost
    assert first.status_code == 201, first.text
    assert told(post(admin, path, body, key)) == told(first)


def test_records_are_not_visible_to_other_users(ann: Caller, bob: Caller) -> None:
    post(ann, "/agents", {"name": "Ada"}, "k")
    ((_, sort_key),) = [key for key in whole_table() if key[0] == f"USER#{ann.id}#IDEMPOTENCY"]
    fingerprint = sort_key.removeprefix("KEY#")
    assert find_repeated(ann.user.user_id, fingerprint) is not None
    assert find_repeated(bob.user.user_id, fingerprint) is None


def test_cancelling_is_idempotent(ann: Caller) -> None:
    turn_id = things_of(ann)["turn_id"]
    before = whole_table()
    answers = [post(ann, f"/turns/{turn_id}/cancel", {}, "k") for _ in range(2)]
    assert [told(each) for each in answers] == [told(answers[0])] * 2
    assert answers[0].status_code == 200
    assert whole_table() == before
