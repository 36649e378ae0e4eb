"""Each reading route makes the documented number of DynamoDB requests and round trips."""

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.cli.docs import routes
from bot.cli.round_trips import TRIPS
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import begin_turn
from models.export.site import Trips
from models.table.connection import TableSettings
from models.table.tenancy import acting_for
from tests.conftest import new_table
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving
from tests.integration.api.test_api_routes import erased
from tests.trips import held_to

Ask = Callable[[], Any]


@pytest.fixture(scope="module")
def table(engine: str) -> Iterator[TableSettings]:
    """A separate table, because lists of users and of published agents depend on what other tests have made."""
    with new_table(engine) as made:
        yield made


@pytest.fixture(scope="module")
def app(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAPI]:
    with serving(table, tmp_path_factory.mktemp("data")) as made:
        yield made


class People:
    """Ann, who calls; Bob, who shares an agent with her; and an administrator."""

    def __init__(self, app: OpenAPI) -> None:
        self.ann, self.bob, self.admin = Caller(app), Caller(app), Caller(app, role="admin")

    def talk(self) -> str:
        """Return the path of a conversation of Ann's with three messages."""
        conversation_id = self.ann.conversation()
        for content in "abc":
            self.ann.say(conversation_id, content)
        return f"/conversations/{conversation_id}"

    def branch(self) -> str:
        """Return the path of a branch with a message of its own."""
        conversation = self.talk()
        last = self.ann.get(conversation)["messages"][-1]["id"]
        made = self.ann.make(f"{conversation}/branches", from_message_id=last, content="d", reply=False)
        return f"/conversations/{made['branch']['id']}"

    def shared(self) -> str:
        """Return the id of an agent of Bob's that Ann may talk to."""
        agent_id = self.bob.agent()
        self.bob.make(f"/agents/{agent_id}/shares", user_id=self.ann.id)
        return agent_id

    def turn(self) -> str:
        """Return the path of a turn of Ann's that has ended."""
        turn = self.ann.make(f"/conversations/{self.ann.conversation()}/messages", content="Hello")["turn"]
        return f"/turns/{turn['id']}"

    def running(self) -> str:
        """Return the path of a running plain turn of Ann's."""
        ids = acting_for(self.ann.id), self.ann.conversation()
        begun = begin_turn(*ids, lambda _: [Draft("user", "Hello")], window=20, lease=timedelta(hours=1))
        return f"/turns/{begun.lease.turn_id}"


def asks(who: Caller, path: str, **query: Any) -> Ask:
    return lambda: who.get(path, **query)


def second_page(people: People) -> Ask:
    path = people.talk() + "/messages"
    cursor = people.ann.get(path, limit=1, order="desc")["next_cursor"]
    return asks(people.ann, path, limit=1, order="desc", cursor=cursor)


def with_state(people: People, below: str = "/cart") -> Ask:
    path = people.talk() + "/state"
    people.ann.put(path + "/cart", value=1)
    return asks(people.ann, path + below)


def of_the_user(people: People, below: str = "/cart") -> Ask:
    people.ann.put("/users/me/state/cart", value=1)
    return asks(people.ann, "/users/me/state" + below)


def by_link(people: People, conversation: str) -> Ask:
    return asks(people.ann, f"/shared-conversations/{people.ann.make(conversation + '/links')['token']}")


def shared_agents(people: People) -> Ask:
    people.shared()
    return asks(people.ann, "/shared-agents")


def as_model(people: People, model: str | None = None) -> Ask:
    """Return a function that reads a model, or all; another user's agent is among them."""
    people.shared()
    path = "/v1/models" if model is None else f"/v1/models/{model}"

    def read() -> None:
        assert people.ann.client.get(path).status_code == 200

    return read


def streamed(who: Caller, path: str) -> Ask:
    """Return a function that reads a stream to its end."""

    def read() -> None:
        answer = who.call("GET", path)
        assert answer.status_code == 200
        assert answer.data

    return read


def first_event(people: People) -> Ask:
    """Return a function that reads a stream without an end up to its first event."""
    path = people.talk()

    def ask() -> None:
        answer = people.ann.client.open(f"/api/v1{path}/events")
        assert b"conversation.followed" in next(iter(answer.response))
        answer.close()

    return ask


def with_conversation(people: People) -> Ask:
    # The owner has an agent too, which is on the page of agents.
    people.talk()
    return streamed(people.ann, "/users/me/export")


def known_limits(people: People, who: Caller, path: str) -> Ask:
    people.ann.get("/users/me/limits")
    return asks(who, path)


# How to request each scenario of each route; the keys are the route and the scenario's name in the documentation.
SCENARIOS: Mapping[tuple[str, str], Callable[[People], Ask]] = {
    ("/agents", ""): lambda p: asks(p.ann, "/agents"),
    ("/agents/{agent_id}", ""): lambda p: asks(p.ann, f"/agents/{p.ann.agent()}"),
    ("/agents/{agent_id}/conversations", "the caller's agent"): lambda p: asks(
        p.ann, f"/agents/{p.ann.agent()}/conversations"
    ),
    ("/agents/{agent_id}/conversations", "another user's agent"): lambda p: asks(
        p.ann, f"/agents/{p.shared()}/conversations"
    ),
    ("/api-keys", ""): lambda p: asks(p.ann, "/api-keys"),
    ("/audit", ""): lambda p: asks(p.ann, "/audit"),
    ("/conversations", "all statuses"): lambda p: asks(p.ann, "/conversations"),
    ("/conversations", "one status"): lambda p: asks(p.ann, "/conversations", status="active"),
    ("/conversations/{conversation_id}", "with its newest messages"): lambda p: asks(p.ann, p.talk()),
    ("/conversations/{conversation_id}/events", "until its first event"): first_event,
    ("/conversations/{conversation_id}", "without messages"): lambda p: asks(p.ann, p.talk(), messages=0),
    ("/conversations/{conversation_id}/messages", "the newest page, newest first"): lambda p: asks(
        p.ann, p.talk() + "/messages", order="desc", limit=2
    ),
    ("/conversations/{conversation_id}/messages", "any other page"): second_page,
    (
        "/conversations/{conversation_id}/messages",
        "another page, in a branch that continues one conversation",
    ): lambda p: asks(p.ann, p.branch() + "/messages"),
    ("/conversations/{conversation_id}/branches", ""): lambda p: asks(p.ann, p.talk() + "/branches"),
    ("/conversations/{conversation_id}/links", ""): lambda p: asks(p.ann, p.talk() + "/links"),
    ("/conversations/{conversation_id}/messages/{message_id}", ""): lambda p: asks(
        p.ann, f"{(talk := p.talk())}/messages/{p.ann.get(talk)['messages'][0]['id']}"
    ),
    ("/conversations/{conversation_id}/state", ""): lambda p: with_state(p, ""),
    ("/conversations/{conversation_id}/state/{key}", ""): with_state,
    ("/erasures/{erasure_id}", "the caller's erasure"): lambda p: asks(p.ann, f"/erasures/{erased(p.ann)}"),
    ("/erasures/{erasure_id}", "for an administrator"): lambda p: asks(p.admin, f"/erasures/{erased(p.ann)}"),
    ("/shared-conversations/{token}", ""): lambda p: by_link(p, p.talk()),
    ("/shared-conversations/{token}", "a branch that continues one conversation"): lambda p: by_link(p, p.branch()),
    ("/shared-agents", ""): shared_agents,
    ("/shared-agents/{agent_id}", ""): lambda p: asks(p.ann, f"/shared-agents/{p.shared()}"),
    ("/turns/{turn_id}", "a turn that has ended"): lambda p: asks(p.ann, p.turn()),
    ("/turns/{turn_id}", "a plain turn that is running"): lambda p: asks(p.ann, p.running()),
    ("/turns/{turn_id}/events", "a turn that has ended, from the start"): lambda p: streamed(
        p.ann, p.turn() + "/events"
    ),
    ("/usage", "up to 1,000 turns"): lambda p: asks(p.ann, "/usage"),
    ("/users", "for an administrator"): lambda p: asks(p.admin, "/users"),
    ("/users", "by email, for an administrator"): lambda p: asks(p.admin, "/users", email=p.ann.user.email),
    ("/users/me/state", ""): lambda p: of_the_user(p, ""),
    ("/users/me/state/{key}", ""): of_the_user,
    ("/users/{user_id}", "the caller"): lambda p: asks(p.ann, "/users/me"),
    ("/users/{user_id}", "another user, for an administrator"): lambda p: asks(p.admin, f"/users/{p.ann.id}"),
    ("/users/{user_id}/audit", "the caller"): lambda p: asks(p.ann, "/users/me/audit"),
    ("/users/{user_id}/audit", "another user, for an administrator"): lambda p: asks(
        p.admin, f"/users/{p.ann.id}/audit"
    ),
    ("/users/{user_id}/export", "without conversations"): lambda p: streamed(p.ann, "/users/me/export"),
    ("/users/{user_id}/export", "with one conversation"): with_conversation,
    ("/users/{user_id}/limits", "the caller"): lambda p: known_limits(p, p.ann, "/users/me/limits"),
    ("/users/{user_id}/limits", "the caller, for the first time"): lambda p: asks(p.ann, "/users/me/limits"),
    ("/users/{user_id}/limits", "another user, for an administrator"): lambda p: known_limits(
        p, p.admin, f"/users/{p.ann.id}/limits"
    ),
    ("/users/{user_id}/usage", "the caller"): lambda p: asks(p.ann, "/users/me/usage"),
    ("/users/{user_id}/usage", "another user, for an administrator"): lambda p: asks(
        p.admin, f"/users/{p.ann.id}/usage"
    ),
    ("GET /v1/models", ""): as_model,
    ("GET /v1/models/{model}", "the caller's agent, by id or slug"): lambda p: as_model(p, p.ann.agent()),
    ("GET /v1/models/{model}", "another user's agent, by slug"): lambda p: as_model(p, "shared:ada"),
    ("GET /v1/models/{model}", "another user's agent, by id"): lambda p: as_model(p, p.shared()),
}

ALL = [(route, each) for route, scenarios in TRIPS.items() for each in scenarios]


@pytest.mark.parametrize(("route", "trips"), ALL, ids=[f"{route} {each.when}".strip() for route, each in ALL])
def test_a_read_takes_as_many_trips_as_the_documentation_says(app: OpenAPI, route: str, trips: Trips) -> None:
    ask = SCENARIOS[route.removeprefix("GET /api/v1"), trips.when](People(app))
    with held_to(trips.sent):
        ask()


@pytest.mark.parametrize(
    "query", [{}, {"order": "asc", "limit": 1}, {"order": "desc", "until": "2100-01-01T00:00:00Z"}]
)
def test_a_page_that_does_not_begin_at_the_header_is_read_in_parallel_with_it(
    app: OpenAPI, query: dict[str, Any]
) -> None:
    people = People(app)
    path = people.talk() + "/messages"
    with held_to((1, 2)):
        people.ann.get(path, **query)


def test_the_newest_messages_since_a_moment_are_one_trip(app: OpenAPI) -> None:
    people = People(app)
    path = people.talk() + "/messages"
    with held_to((1, 1)):
        found = people.ann.get(path, order="desc", since="2020-01-01T00:00:00Z")
    assert [each["content"] for each in found["data"]] == ["c", "b", "a"]


def test_every_route_that_reads_is_in_the_table() -> None:
    reads = {
        f"{route.method} {route.path}"
        for route in routes()
        if route.method == "GET" and route.path.startswith(("/api/", "/v1/"))
    }
    assert reads == set(TRIPS)


class TestWhatIsFound:
    """The check itself fails in each case."""

    def test_requests_that_wait_for_each_other(self, ann: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tests.trips._PATIENCE", 0.2)
        with pytest.raises(AssertionError, match="trip 1 is not 2 requests at once"), held_to((2,)):
            assert ann.call("GET", "/agents").status_code == 500

    def test_one_request_more(self, ann: Caller) -> None:
        with pytest.raises(AssertionError, match="Query is one request more"), held_to((1,)):
            ann.get("/agents")

    def test_one_request_less(self, ann: Caller) -> None:
        with pytest.raises(AssertionError, match="fewer requests than that"), held_to((1, 1, 1)):
            ann.get("/agents")

    def test_requests_that_do_not_wait_for_each_other(self, ann: Caller) -> None:
        with pytest.raises(AssertionError, match="did not wait for the trip before"), held_to((1, 1, 3)):
            ann.get("/users/me")
