"""What holds for every route: the tests take the routes from the application, so new ones are included."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from bot.access.keys import hash_of, issue_key
from models.access_patterns.api_keys import create_api_key
from tests.integration.api.caller import PREFIX, Caller, documented_path

# What a request needs to get as far as its ids. A new route that needs a body fails here until it has one.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/conversations/<conversation_id>/messages"): {"content": "Hello"},
    ("POST", "/conversations/<conversation_id>/branches"): {"from_message_id": None, "reply": False},
    ("PUT", "/conversations/<conversation_id>/state/<key>"): {"value": 1},
    ("PUT", "/users/me/state/<key>"): {"value": 1},
    ("POST", "/agents/<agent_id>/shares"): {"user_id": "usr_none"},
    ("PUT", "/agents/<agent_id>/publication"): {"published": False},
}
# Read without a credential, by a token that only its reader knows; test_api_share_links.py is about it.
PUBLIC = "/shared-conversations/<token>"
# Names that a caller makes up within what is the caller's own; they identify nothing of anybody else's.
OWN_NAMES = {"key"}


class Route(NamedTuple):
    """A method on a path under the API's prefix."""

    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def slots(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("<")]

    def filled(self, values: Mapping[str, str]) -> str:
        path = self.path
        for slot, value in values.items():
            path = path.replace(f"<{slot}>", value)
        return path


def routes(app: OpenAPI) -> Iterator[Route]:
    """Yield every route that needs a credential."""
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/api/") and rule.rule != PREFIX + PUBLIC:
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(method, rule.rule.removeprefix(PREFIX))


def things_of(caller: Caller) -> dict[str, str]:
    """Return ids of a caller's resources, by the name of their path parameter."""
    conversation_id = caller.conversation()
    message_id = caller.say(conversation_id, "Hello")
    turn = caller.make(f"/conversations/{conversation_id}/turns")["turn"]
    link = caller.make(f"/conversations/{conversation_id}/links")
    caller.put(f"/conversations/{conversation_id}/state/cart", value=1)
    caller.put("/users/me/state/cart", value=1)
    return {
        "user_id": caller.id,
        "agent_id": caller.get(f"/conversations/{conversation_id}")["agent_id"],
        "conversation_id": conversation_id,
        "message_id": message_id,
        "link_id": link["id"],
        "turn_id": turn["id"],
        "key_id": caller.key_entry.key_id,
        "erasure_id": erased(caller),
        "key": "cart",
    }


def erased(caller: Caller) -> str:
    """Return the id of an erasure of the caller's data."""
    answer = caller.call("DELETE", f"/conversations/{caller.conversation()}")
    return answer.headers["Location"].rpartition("/")[2]


def what_is_told(answer: TestResponse) -> tuple[int, Any, dict[str, str]]:
    """Return everything in an answer except the request id."""
    body = answer.get_json()
    body.pop("request_id")
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
    return answer.status_code, body, headers


def test_another_users_id_answers_exactly_like_a_missing_one(app: OpenAPI, ann: Caller, bob: Caller) -> None:
    bobs, anns = things_of(bob), things_of(ann)
    # The last character of an id is random, so an id that differs there was never issued.
    missing = {slot: value[:-1] + ("0" if value[-1] != "0" else "1") for slot, value in bobs.items()}
    probed = 0
    for route in routes(app):
        for slot in set(route.slots) - OWN_NAMES:
            answers = [
                ann.call(route.method, route.filled({**anns, slot: value}), BODIES.get(route))
                for value in (bobs[slot], missing[slot])
            ]
            foreign, absent = map(what_is_told, answers)
            assert foreign == absent, f"{route}: {slot} of somebody else's shows that it exists"
            assert foreign[0] == 404, f"{route}: {slot} of somebody else's is answered with {foreign}"
            assert bobs[slot] not in answers[0].text
            probed += 1
    assert probed >= 23


def test_bobs_data_is_unchanged_after_anns_attempts(app: OpenAPI, ann: Caller, bob: Caller) -> None:
    bobs, anns = things_of(bob), things_of(ann)
    for route in routes(app):
        for slot in set(route.slots) - OWN_NAMES:
            ann.call(route.method, route.filled({**anns, slot: bobs[slot]}), BODIES.get(route))
    conversation = f"/conversations/{bobs['conversation_id']}"
    assert [each["content"] for each in bob.get(conversation)["messages"]] == ["Hello", "You said: Hello"]
    assert bob.get(f"{conversation}/state/cart")["version"] == 1
    assert bob.get(f"/agents/{bobs['agent_id']}")["version"] == 1
    assert bob.get(f"/turns/{bobs['turn_id']}")["status"] == "completed"


def test_a_conversation_with_another_users_agent_cannot_be_started(ann: Caller, bob: Caller) -> None:
    bobs = bob.agent()
    missing = bobs[:-1] + ("0" if bobs[-1] != "0" else "1")
    answers = [ann.call("POST", "/conversations", {"agent_id": agent_id}) for agent_id in (bobs, missing)]
    foreign, absent = map(what_is_told, answers)
    assert foreign == absent
    assert foreign[0] == 404


@pytest.fixture
def refused(ann: Caller) -> list[str | None]:
    """Headers that must be refused: none, and an unknown, a revoked and an expired key."""
    late = datetime.now(UTC) - timedelta(seconds=2)
    expired = "tt_expired" + ann.id
    create_api_key(ann.id, key_hash=hash_of(expired), hint="ired", role="admin", expires=late)
    revoked, entry = issue_key(ann.user)
    ann.delete(f"/api-keys/{entry.key_id}")
    return [None, "Bearer tt_unknown", f"Bearer {revoked}", f"Bearer {expired}"]


def assert_shut_out(app: OpenAPI, route: Route, path: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    body = BODIES.get(route, {})
    answer = app.test_client().open(PREFIX + path, method=route.method, headers=headers, json=body)
    assert answer.status_code == 401, f"{route} with {header!r}: {answer.text}"
    assert answer.get_json()["code"] == "unauthenticated"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_every_route_requires_a_key(app: OpenAPI, ann: Caller, refused: list[str | None]) -> None:
    things = things_of(ann)
    for route in routes(app):
        for header in refused:
            assert_shut_out(app, route, route.filled(things), header)
    assert ann.get("/users/me")["id"] == ann.id, "nothing was deleted on the way"


def test_malformed_authorization_headers_are_refused(app: OpenAPI, ann: Caller) -> None:
    key = ann.key
    headers = [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {key}",
        key,
        f"Bearer {key}x",
        f"Bearer {key[:-1]}",
        f"Bearer {key} {key}",
    ]
    headers += ["Bearer " + "x" * 5000, "Bearer tt_\xe9", f"Bearer,{key}", f"Token {key}", f"Bearer: {key}"]
    for header in headers:
        assert_shut_out(app, Route("GET", "/users/me"), "/users/me", header)
    for header in (f"Bearer {key}", f"bearer  {key} ", f"BEARER {key}"):
        assert ann.call("GET", "/users/me", headers={"Authorization": header}).status_code == 200


def test_a_revoked_key_runs_no_turn_in_a_cached_conversation(ann: Caller, app: OpenAPI) -> None:
    conversation_id = ann.conversation()
    ann.make(f"/conversations/{conversation_id}/messages", content="Hello")
    other = Caller(app, ann.user)

    other.delete(f"/api-keys/{ann.key_entry.key_id}")

    answer = ann.call("POST", f"/conversations/{conversation_id}/messages", {"content": "And now?"})
    assert answer.status_code == 401
    assert other.get(f"/conversations/{conversation_id}")["message_count"] == 2


def test_every_route_and_method_is_in_the_document_and_no_others_are(app: OpenAPI) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in app.api_doc["paths"].items()
        for method in operations
        if path.startswith("/api/")
    }
    every = [*routes(app), Route("GET", PUBLIC)]
    assert documented == {(method, documented_path(PREFIX + path)) for method, path in every}


def test_unknown_query_parameters_are_refused_by_name(app: OpenAPI, ann: Caller) -> None:
    things = things_of(ann)
    for route in routes(app):
        fields = ann.refused(
            422, "validation_failed", route.method, route.filled(things), BODIES.get(route), query_string="surprise=1"
        )
        assert "surprise" in fields, str(route)


def test_unknown_body_fields_are_refused_by_name(app: OpenAPI, ann: Caller) -> None:
    things = things_of(ann)
    with_body = [route for route in routes(app) if route.method in ("POST", "PUT", "PATCH")]
    for route in with_body:
        body = {**BODIES.get(route, {}), "surprise": 1}
        assert "surprise" in ann.refused(422, "validation_failed", route.method, route.filled(things), body), str(route)
    assert len(with_body) >= 11


@pytest.mark.parametrize("name", ["a%23b", "a%20b", "%00", "a%0Ab", "%C3%A9", "x" * 65, "a.b%2Fc"])
def test_a_malformed_id_is_refused_by_the_name_of_its_field(app: OpenAPI, ann: Caller, name: str) -> None:
    things = things_of(ann)
    for route in routes(app):
        for slot in set(route.slots) - OWN_NAMES:
            path = route.filled({**things, slot: name})
            if "%2F" in name:  # a slash ends the path parameter, so there is no such route
                answer = ann.client.open(PREFIX + path, method=route.method, json=BODIES.get(route))
                assert answer.status_code in (404, 405), f"{route}: {answer.text}"
            else:
                assert slot in ann.refused(422, "validation_failed", route.method, path, BODIES.get(route)), str(route)


@pytest.mark.parametrize("key", ["a%23b", "a%20b", "%00", "x" * 129])
def test_an_invalid_state_key_is_refused(ann: Caller, key: str) -> None:
    conversation_id = ann.conversation()
    for path in ("/users/me/state", f"/conversations/{conversation_id}/state"):
        assert "key" in ann.refused(422, "validation_failed", "PUT", f"{path}/{key}", {"value": 1})


def test_a_query_parameter_that_is_sent_twice_is_refused_by_name(app: OpenAPI, ann: Caller) -> None:
    things = things_of(ann)
    lists = [route for route in routes(app) if route.method == "GET" and _is_paged(app, route)]
    for route in lists:
        path = route.filled(things)
        caller = Caller(app, role="admin") if route.path == "/users" else ann
        fields = caller.refused(422, "validation_failed", "GET", path, query_string="limit=1&limit=2")
        assert fields == {"limit": "must be sent once"}, str(route)
    assert len(lists) == 13


@pytest.mark.parametrize(
    ("limit", "said"), [("0", "1"), ("1001", "1000"), ("-1", "1"), ("x", "integer"), ("", "integer")]
)
def test_an_invalid_limit_is_refused_by_name_on_every_list(app: OpenAPI, admin: Caller, limit: str, said: str) -> None:
    things = things_of(admin)
    for route in routes(app):
        if route.method == "GET" and _is_paged(app, route):
            fields = admin.refused(422, "validation_failed", "GET", route.filled(things), query_string={"limit": limit})
            assert said in fields["limit"], str(route)


def test_an_unsupported_method_is_answered_with_the_allowed_ones(app: OpenAPI, ann: Caller) -> None:
    answer = ann.client.put(f"{PREFIX}/agents", json={})
    assert answer.status_code == 405
    assert answer.get_json()["code"] == "method_not_allowed"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def _is_paged(app: OpenAPI, route: Route) -> bool:
    operation = app.api_doc["paths"][documented_path(PREFIX + route.path)][route.method.lower()]
    return any(each["name"] == "cursor" for each in operation.get("parameters", []))
