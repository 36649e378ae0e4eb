"""Lists: full pages, a cursor on every page but the last, and cursors that are valid for nothing else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI

from models.table.connection import TableSettings, configure
from tests.conftest import new_table
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app

LIMIT = 3


@dataclass
class Listing:
    """A caller's list: its path, and how to add an item to it."""

    path: str
    add: Callable[[int], Any]
    query: dict[str, str]
    there: int = 0


def _agents(caller: Caller) -> Listing:
    return Listing("/agents", lambda n: caller.agent(), {})


def _keys(caller: Caller) -> Listing:
    return Listing("/api-keys", lambda n: caller.make("/api-keys"), {}, there=1)


def _conversations(caller: Caller) -> Listing:
    agent_id = caller.agent()
    statuses = ("active", "completed", "archived")

    def add(number: int) -> None:
        conversation_id = caller.conversation(agent_id)
        if status := number % 3:
            caller.patch(f"/conversations/{conversation_id}", status=statuses[status])

    return Listing("/conversations", add, {})


def _completed(caller: Caller) -> Listing:
    agent_id = caller.agent()
    caller.conversation(agent_id)

    def add(number: int) -> None:
        caller.patch(f"/conversations/{caller.conversation(agent_id)}", status="completed")

    return Listing("/conversations", add, {"status": "completed"})


def _conversations_of_agent(caller: Caller) -> Listing:
    agent_id = caller.agent()
    caller.conversation()
    return Listing(f"/agents/{agent_id}/conversations", lambda n: caller.conversation(agent_id), {})


def _messages(caller: Caller) -> Listing:
    conversation_id = caller.conversation()
    return Listing(f"/conversations/{conversation_id}/messages", lambda n: caller.say(conversation_id, str(n)), {})


def _messages_newest_first(caller: Caller) -> Listing:
    listing = _messages(caller)
    listing.query = {"order": "desc"}
    return listing


def _messages_between(caller: Caller) -> Listing:
    conversation_id = caller.conversation()
    path = f"/conversations/{conversation_id}/messages"
    caller.say(conversation_id, "before")
    last = caller.get(path)["data"][0]["created_at"]
    just_after = last.replace("Z", "1Z")
    return Listing(path, lambda n: caller.say(conversation_id, str(n)), {"since": _next_moment(just_after)})


def _next_moment(text: str) -> str:
    from datetime import datetime, timedelta

    moment = datetime.fromisoformat(text[:-2] + "Z") + timedelta(microseconds=1)
    return moment.isoformat().replace("+00:00", "Z")


def _own_state(caller: Caller) -> Listing:
    kinds = ("session", "application")
    return Listing("/users/me/state", lambda n: caller.put(f"/users/me/state/k{n}?kind={kinds[n % 2]}", value=n), {})


def _state_of_conversation(caller: Caller) -> Listing:
    path = f"/conversations/{caller.conversation()}/state"
    caller.put(f"{path}/other?kind=application", value=1)
    return Listing(path, lambda n: caller.put(f"{path}/k{n}?kind=session", value=n), {"kind": "session"})


LISTINGS = [
    _agents,
    _keys,
    _conversations,
    _completed,
    _conversations_of_agent,
    _messages,
    _messages_newest_first,
    _messages_between,
    _own_state,
    _state_of_conversation,
]


def assert_pages(caller: Caller, listing: Listing, total: int) -> None:
    """Check that the list returns each item once, in order and in full pages."""
    whole = caller.get(listing.path, limit=1000, **listing.query)
    assert whole["next_cursor"] is None
    assert len(whole["data"]) == total
    pages = list(caller.pages(listing.path, limit=LIMIT, **listing.query))
    assert [thing for page in pages for thing in page] == whole["data"]
    assert all(len(page) == LIMIT for page in pages[:-1]), "a page is full unless it is the last one"
    assert len(pages) == max(1, -(-total // LIMIT)), "no page is empty but the only one"


@pytest.mark.parametrize("make", LISTINGS, ids=lambda make: make.__name__.strip("_"))
def test_a_list_pages_at_every_number_of_things(ann: Caller, bob: Caller, make: Callable[[Caller], Listing]) -> None:
    listing, others = make(ann), make(bob)
    others.add(0)
    for total in (0, 1, LIMIT, LIMIT + 1, 3 * LIMIT):
        if total < listing.there:
            continue  # a caller who lists keys has at least one
        while listing.there < total:
            listing.add(listing.there)
            listing.there += 1
        assert_pages(ann, listing, total)


@pytest.fixture
def alone(engine: str, tmp_path: Path) -> Iterator[Caller]:
    """An administrator who is the only user."""
    with new_table(engine) as table:
        app = make_app(table, tmp_path)
        yield Caller(app, role="admin")
        app.extensions["bot"].providers.close()


def test_the_list_of_users_pages_at_every_number_of_users(alone: Caller, table: TableSettings) -> None:
    there = 1
    for total in (1, LIMIT, LIMIT + 1, 3 * LIMIT):
        while there < total:
            alone.make("/users", email=f"user-{there}@example.com")
            there += 1
        assert_pages(alone, Listing("/users", lambda n: None, {}), total)


def test_a_page_of_100_kb_messages_is_full_although_the_query_is_split(ann: Caller) -> None:
    conversation_id = ann.conversation()
    for number in range(13):
        ann.say(conversation_id, f"{number:02}" + "x" * 100_000)
    for order in ("asc", "desc"):
        path = f"/conversations/{conversation_id}/messages"
        pages = list(ann.pages(path, limit=12, order=order))
        assert [len(page) for page in pages] == [12, 1]
        numbers = [int(each["content"][:2]) for page in pages for each in page]
        assert numbers == sorted(range(13), reverse=order == "desc")
    assert len(ann.get(f"/conversations/{conversation_id}", messages=13)["messages"]) == 13


def test_additions_while_paging_disturb_nothing(ann: Caller) -> None:
    conversation_id = ann.conversation()
    path = f"/conversations/{conversation_id}/messages"
    for number in range(4):
        ann.say(conversation_id, str(number))
    oldest_first, newest_first = (ann.get(path, limit=2, order=order) for order in ("asc", "desc"))
    ann.say(conversation_id, "4")
    ann.delete(f"{path}/{oldest_first['data'][1]['id']}")
    assert [each["content"] for each in ann.get(path, cursor=oldest_first["next_cursor"])["data"]] == ["2", "3", "4"]
    rest = ann.get(path, order="desc", cursor=newest_first["next_cursor"])
    assert [each["content"] for each in rest["data"]] == ["0"]


def _cursors(caller: Caller) -> dict[tuple[str, str], str]:
    """Return a cursor of each of a caller's lists, by path and query."""
    found = {}
    for make in LISTINGS:
        listing = make(caller)
        for number in range(3):
            listing.add(number)
        page = caller.get(listing.path, limit=1, **listing.query)
        query = "&".join(f"{name}={value}" for name, value in listing.query.items())
        found[listing.path, query] = page["next_cursor"]
    assert all(found.values())
    return found


def assert_cursor_refused(caller: Caller, path: str, query: str, cursor: str) -> None:
    fields = caller.refused(400, "invalid_cursor", "GET", path, query_string=f"{query}&cursor={cursor}".strip("&"))
    assert list(fields) == ["cursor"]


def test_a_cursor_is_valid_only_for_its_own_list_and_filters(ann: Caller) -> None:
    cursors = _cursors(ann)
    for (path, query), cursor in cursors.items():
        assert ann.call("GET", path, query_string=f"{query}&cursor={cursor}").status_code == 200
        following = (*cursors, *cursors)[list(cursors).index((path, query)) + 1]
        alike = [other for other in cursors if other[0] == path and other != (path, query)]
        for other in {following, *alike}:
            assert_cursor_refused(ann, *other, cursor)


def test_a_cursor_of_one_list_does_not_fit_another_filter_of_it(ann: Caller) -> None:
    listing = _messages(ann)
    for number in range(3):
        listing.add(number)
    cursor = ann.get(listing.path, limit=1)["next_cursor"]
    for query in ("order=desc", "since=2020-01-01T00:00:00Z", "until=2099-01-01T00:00:00Z"):
        assert_cursor_refused(ann, listing.path, query, cursor)
    assert ann.call("GET", listing.path, query_string=f"limit=7&cursor={cursor}").status_code == 200


def test_another_users_cursor_is_refused(ann: Caller, bob: Caller) -> None:
    for (path, query), cursor in _cursors(bob).items():
        if path in ("/agents", "/conversations", "/api-keys", "/users/me/state"):
            assert_cursor_refused(ann, path, query, cursor)


def test_a_cursor_that_was_not_issued_is_refused(ann: Caller) -> None:
    for _ in range(2):
        ann.agent()
    cursor = ann.get("/agents", limit=1)["next_cursor"]
    head, _, signature = cursor.partition(".")
    made_up = [
        "",
        "x",
        "null",
        "%00",
        "%ff",
        "W10",
        f"{head}.",
        f".{signature}",
        cursor[:-2],
        cursor + "A",
        cursor.upper(),
    ]
    for each in made_up:
        assert_cursor_refused(ann, "/agents", "", each)
    fields = ann.refused(422, "validation_failed", "GET", "/agents", query_string={"cursor": "x" * 1025})
    assert list(fields) == ["cursor"]


def test_a_cursor_of_another_deployment_is_refused(ann: Caller, table: TableSettings, tmp_path: Path) -> None:
    for _ in range(2):
        ann.agent()
    elsewhere = Caller(make_app(table, tmp_path, secret_key="another secret, which is long enough too"), ann.user)
    configure(table)
    assert_cursor_refused(ann, "/agents", "", elsewhere.get("/agents", limit=1)["next_cursor"])


def test_a_cursor_says_nothing_in_clear_about_other_users(app: OpenAPI, admin: Caller) -> None:
    page = admin.get("/users", limit=1)
    if page["next_cursor"]:
        assert "@" not in page["next_cursor"]
