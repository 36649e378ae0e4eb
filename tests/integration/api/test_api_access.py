"""Every route with every kind of credential, and with every id that is not the caller's.

The routes come from the application's own map: a route without a probe here fails the suite.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from flask_openapi import OpenAPI
from werkzeug.test import TestResponse

from bot.access.keys import hash_of, issue_key
from bot.http.scopes import FOR_ONE_AGENT
from models.access_patterns.api_keys import create_api_key
from models.access_patterns.roles import change_role
from models.access_patterns.users import get_user
from tests.factories import make_user, new_email
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.test_api_routes import OWN_NAMES, Route, routes, things_of, what_is_told
from tests.wire import recorded


class Probe(NamedTuple):
    """A route's expected answer: `one_agent` if a key of one agent may use it, `admin` if only an administrator may."""

    status: int
    one_agent: bool = False
    admin: bool = False
    body: Any = None


IN_CONVERSATION = "/conversations/<conversation_id>"
PROBES: Mapping[tuple[str, str], Probe] = {
    ("GET", "/agents"): Probe(200, one_agent=True),
    ("POST", "/agents"): Probe(201, body={"name": "Bea"}),
    ("GET", "/agents/<agent_id>"): Probe(200, one_agent=True),
    ("PATCH", "/agents/<agent_id>"): Probe(200, body={"name": "Bea"}),
    ("DELETE", "/agents/<agent_id>"): Probe(204),
    ("GET", "/agents/<agent_id>/conversations"): Probe(200, one_agent=True),
    ("POST", "/agents/<agent_id>/shares"): Probe(201, body={"email": "<somebody>"}),
    # The probes' agents are not shared, so there is no share to remove and no shared agent to read.
    ("DELETE", "/agents/<agent_id>/shares/<user_id>"): Probe(404),
    ("PUT", "/agents/<agent_id>/publication"): Probe(200, body={"published": False}),
    ("GET", "/shared-agents"): Probe(200),
    ("GET", "/shared-agents/<agent_id>"): Probe(404),
    ("GET", "/api-keys"): Probe(200),
    ("POST", "/api-keys"): Probe(201, body={}),
    ("DELETE", "/api-keys/<key_id>"): Probe(204),
    ("GET", "/conversations"): Probe(200, one_agent=True),
    ("POST", "/conversations"): Probe(201, one_agent=True, body={"agent_id": "<agent_id>"}),
    ("GET", IN_CONVERSATION): Probe(200, one_agent=True),
    ("PATCH", IN_CONVERSATION): Probe(200, one_agent=True, body={"title": "Soup"}),
    ("DELETE", IN_CONVERSATION): Probe(204, one_agent=True),
    ("GET", f"{IN_CONVERSATION}/events"): Probe(200, one_agent=True),
    ("GET", f"{IN_CONVERSATION}/messages"): Probe(200, one_agent=True),
    ("POST", f"{IN_CONVERSATION}/messages"): Probe(201, one_agent=True, body={"content": "Hello"}),
    ("GET", f"{IN_CONVERSATION}/messages/<message_id>"): Probe(200, one_agent=True),
    ("DELETE", f"{IN_CONVERSATION}/messages/<message_id>"): Probe(204, one_agent=True),
    ("POST", f"{IN_CONVERSATION}/turns"): Probe(201, one_agent=True),
    ("GET", f"{IN_CONVERSATION}/branches"): Probe(200, one_agent=True),
    ("GET", f"{IN_CONVERSATION}/links"): Probe(200, one_agent=True),
    ("POST", f"{IN_CONVERSATION}/links"): Probe(201, one_agent=True),
    ("DELETE", f"{IN_CONVERSATION}/links/<link_id>"): Probe(204, one_agent=True),
    ("POST", f"{IN_CONVERSATION}/branches"): Probe(201, one_agent=True, body={"from_message_id": None, "reply": False}),
    ("GET", f"{IN_CONVERSATION}/state"): Probe(200, one_agent=True),
    ("GET", f"{IN_CONVERSATION}/state/<key>"): Probe(200, one_agent=True),
    ("PUT", f"{IN_CONVERSATION}/state/<key>"): Probe(200, one_agent=True, body={"value": 1}),
    ("DELETE", f"{IN_CONVERSATION}/state/<key>"): Probe(204, one_agent=True),
    ("GET", "/turns/<turn_id>"): Probe(200, one_agent=True),
    ("GET", "/turns/<turn_id>/events"): Probe(200, one_agent=True),
    ("POST", "/turns/<turn_id>/cancel"): Probe(200, one_agent=True),
    ("GET", "/erasures/<erasure_id>"): Probe(200),
    ("GET", "/users"): Probe(200, admin=True),
    ("POST", "/users"): Probe(201, admin=True, body={"email": "<new_email>"}),
    ("GET", "/users/<user_id>"): Probe(200),
    ("PATCH", "/users/<user_id>"): Probe(200, body={"name": "Bea"}),
    ("GET", "/users/<user_id>/export"): Probe(200),
    ("DELETE", "/users/<user_id>"): Probe(204),
    ("GET", "/users/<user_id>/audit"): Probe(200),
    ("GET", "/audit"): Probe(200),
    ("GET", "/users/<user_id>/limits"): Probe(200),
    ("GET", "/users/<user_id>/usage"): Probe(200),
    ("GET", "/usage"): Probe(200),
    ("PATCH", "/users/<user_id>/limits"): Probe(200, admin=True, body={"tokens_per_day": 1000}),
    ("GET", "/users/me/state"): Probe(200),
    ("GET", "/users/me/state/<key>"): Probe(200),
    ("PUT", "/users/me/state/<key>"): Probe(200, body={"value": 1}),
    ("DELETE", "/users/me/state/<key>"): Probe(204),
}
EVERY_ROUTE = [pytest.param(Route(*each), id=f"{each[0]} {each[1]}") for each in PROBES]


@pytest.fixture(autouse=True)
def _streams_end(streams_end: None) -> None:
    """Probes read answers to their end."""


def test_every_route_has_its_probe(app: OpenAPI) -> None:
    assert set(routes(app)) == set(PROBES)


def test_a_key_of_one_agent_may_ask_for_what_the_probes_say_and_for_nothing_else(app: OpenAPI) -> None:
    # The routes of /v1 have a test of their own.
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules() if rule.rule.startswith(PREFIX)}
    here = FOR_ONE_AGENT & rules.keys()
    allowed = {(method, path) for (method, path), probe in PROBES.items() if probe.one_agent}
    found = {
        (method, rules[endpoint].rule.removeprefix(PREFIX))
        for endpoint in here
        for method in (rules[endpoint].methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert found == allowed
    for endpoint in here:
        slots = rules[endpoint].arguments
        assert not slots or slots & {"agent_id", "conversation_id", "turn_id"}, f"{endpoint} cannot be confined"


def missing(things: Mapping[str, str]) -> dict[str, str]:
    """Return ids that were never issued: the last character of each is random."""
    return {slot: value[:-1] + ("0" if value[-1] != "0" else "1") for slot, value in things.items()}


def ask(caller: Caller, route: Route, things: Mapping[str, str], key: str | None = None) -> TestResponse:
    """Call a route with these ids in its path and its body."""
    body = PROBES[route].body
    if body is not None:
        filled = {f"<{slot}>": value for slot, value in things.items()}
        filled |= {"<new_email>": new_email(), "<somebody>": make_user().email}
        body = {name: filled.get(value, value) if isinstance(value, str) else value for name, value in body.items()}
    elif route.method in ("POST", "PUT", "PATCH"):
        body = {}
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return caller.call(route.method, route.filled(things), body, headers=headers)


def asker(app: OpenAPI, route: Route) -> Caller:
    return Caller(app, role="admin" if PROBES[route].admin else "user")


def slots_of(route: Route) -> list[str]:
    """Return the parts of a request that contain ids: the slots of its path and its body."""
    body = PROBES[route].body or {}
    return sorted(
        {*route.slots, *(value[1:-1] for value in body.values() if isinstance(value, str) and value.endswith("_id>"))}
        - OWN_NAMES
    )


@pytest.fixture(scope="module")
def other(app: OpenAPI) -> dict[str, str]:
    """The ids of another user's resources."""
    return things_of(Caller(app))


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_a_full_key_reaches_only_its_users_data(app: OpenAPI, route: Route, other: dict[str, str]) -> None:
    caller = asker(app, route)
    things = things_of(caller)
    for slot in slots_of(route):
        if not (caller.user.role == "admin" and slot == "user_id"):
            told = [what_is_told(ask(caller, route, {**things, slot: each[slot]})) for each in (other, missing(other))]
            assert told[0] == told[1], f"{slot} of somebody else's shows that it exists"
            assert told[0][0] == 404
    assert ask(caller, route, things).status_code == PROBES[route].status


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_without_a_valid_key_every_id_is_answered_alike(app: OpenAPI, route: Route, other: dict[str, str]) -> None:
    caller = asker(app, route)
    things = things_of(caller)
    past = datetime.now(UTC) - timedelta(seconds=2)
    expired, (revoked, entry) = f"tt_expired{caller.id}", issue_key(caller.user)
    create_api_key(caller.id, key_hash=hash_of(expired), hint="ired", role="admin", expires=past)
    caller.delete(f"/api-keys/{entry.key_id}")
    for key in ("tt_unknown", expired, revoked, "a.b.c"):
        told = [what_is_told(ask(caller, route, each, key)) for each in (things, other, missing(other))]
        assert told[0] == told[1] == told[2], f"a key that is not valid learns something: {told}"
        assert (told[0][0], told[0][1]["code"]) == (401, "unauthenticated")
    caller.client.environ_base.pop("HTTP_AUTHORIZATION")
    assert ask(caller, route, things).status_code == 401


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_a_read_only_key_reads_and_changes_nothing(app: OpenAPI, route: Route, other: dict[str, str]) -> None:
    caller = asker(app, route)
    things = things_of(caller)
    key, _ = issue_key(caller.user, scope="read")
    if route.method == "GET":
        assert ask(caller, route, things, key).status_code == PROBES[route].status
        for slot in slots_of(route):
            told = [
                what_is_told(ask(caller, route, {**things, slot: each[slot]}, key)) for each in (other, missing(other))
            ]
            assert told[0] == told[1]
            assert told[0][0] == 404
    else:
        told = [what_is_told(ask(caller, route, each, key)) for each in (things, other, missing(other))]
        assert told[0] == told[1] == told[2]
        assert (told[0][0], told[0][1]["code"]) == (403, "insufficient_scope")
        # Nothing has changed: read with the full key.
        assert things.items() <= {**things, "agent_id": caller.get("/agents")["data"][0]["id"]}.items()
        assert caller.get(f"/conversations/{things['conversation_id']}")["message_count"] == 2


@pytest.mark.parametrize("route", EVERY_ROUTE)
def test_a_key_of_one_agent_reaches_only_that_agent_and_its_conversations(
    app: OpenAPI, route: Route, other: dict[str, str]
) -> None:
    caller = asker(app, route)
    things, beside = things_of(caller), things_of(caller)  # each with its own agent
    assert things["agent_id"] != beside["agent_id"]
    key, _ = issue_key(caller.user, scope="agent", agent_id=things["agent_id"])
    if not PROBES[route].one_agent:
        told = [what_is_told(ask(caller, route, each, key)) for each in (things, beside, other, missing(other))]
        assert all(each == told[0] for each in told)
        assert (told[0][0], told[0][1]["code"]) == (403, "insufficient_scope")
        return
    for slot in slots_of(route):
        told = [
            what_is_told(ask(caller, route, {**things, slot: each[slot]}, key))
            for each in (beside, other, missing(other), missing(beside))
        ]
        assert all(each == told[0] for each in told), f"{slot} of another agent's shows that it exists: {told}"
        assert told[0][0] == 404
    assert ask(caller, route, things, key).status_code == PROBES[route].status


def test_a_former_administrator_is_none_with_any_key(app: OpenAPI, ann: Caller) -> None:
    boss = Caller(app, role="admin")
    things = things_of(boss)
    boss.get(f"/users/{ann.id}")
    assert change_role(boss.user.user_id, "user")
    for route, probe in PROBES.items():
        if probe.admin:
            answer = ask(boss, Route(*route), things)
            assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden"), route
    for path in ("", "/audit", "/usage", "/limits"):
        boss.refused(404, "not_found", "GET", f"/users/{ann.id}{path}")
    boss.get("/users/me")
    assert change_role(boss.user.user_id, "admin")
    boss.get(f"/users/{ann.id}")


def test_a_new_administrator_is_one_only_with_new_keys(app: OpenAPI, ann: Caller) -> None:
    assert change_role(ann.user.user_id, "admin")
    ann.refused(403, "forbidden", "GET", "/users")
    ann.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ann.make('/api-keys')['key']}"
    ann.refused(403, "forbidden", "GET", "/users")
    Caller(app, user=get_user(ann.user.user_id)).get("/users")


def test_a_plain_users_key_does_not_read_the_role(app: OpenAPI, ann: Caller, admin: Caller) -> None:
    with recorded() as sent:
        ann.refused(404, "not_found", "GET", f"/users/{admin.id}/audit")
    assert [each.pattern for each in sent] == ["AP-21"]
    with recorded() as sent:
        admin.get(f"/users/{ann.id}/audit")
    assert [each.pattern for each in sent] == ["AP-21", "AP-02", "AP-91"]


def test_a_plain_user_cannot_use_an_administrators_routes(app: OpenAPI, ann: Caller) -> None:
    things = things_of(ann)
    for route, probe in PROBES.items():
        if probe.admin:
            answer = ask(ann, Route(*route), things)
            assert (answer.status_code, answer.get_json()["code"]) == (403, "forbidden")
