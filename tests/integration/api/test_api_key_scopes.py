"""Keys with fewer rights than their user, when they were last used, and that none creates one with more rights."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.access.callers import Caller as Who
from bot.access.keys import hash_of, issue_key
from bot.access.last_used import INTERVAL, LastUsedRecorder
from bot.http.context import Services
from models.access_patterns.api_keys import create_api_key, list_api_keys
from models.api_key import ApiKey
from models.table.tenancy import acting_for
from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller
from tests.raw import change
from tests.wire import recorded


def with_key(caller: Caller, **details: Any) -> Caller:
    """Return the same user with another key, made through the API."""
    made = caller.make("/api-keys", **details)
    other = Caller(caller.app, caller.user)
    other.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made['key']}"
    return other


def uses_of(app: OpenAPI) -> LastUsedRecorder:
    services: Services = app.extensions["bot"]
    return services.last_used


def test_a_key_shows_its_scope(ann: Caller) -> None:
    agent_id = ann.agent()
    made = [
        ann.make("/api-keys"),
        ann.make("/api-keys", scope="read"),
        ann.make("/api-keys", scope="agent", agent_id=agent_id),
    ]
    assert [(each["scope"], each["agent_id"]) for each in made] == [("full", None), ("read", None), ("agent", agent_id)]
    listed = {each["id"]: (each["scope"], each["agent_id"]) for each in ann.get("/api-keys")["data"]}
    assert {each["id"]: (each["scope"], each["agent_id"]) for each in made}.items() <= listed.items()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "agent"}, "agent_id"),
        ({"scope": "full", "agent_id": "agt_1"}, "agent_id"),
        ({"scope": "read", "agent_id": "agt_1"}, "agent_id"),
        ({"agent_id": "agt_1"}, "agent_id"),
        ({"scope": "write"}, "scope"),
        ({"scope": ""}, "scope"),
        ({"scope": None}, "scope"),
        ({"scope": ["full"]}, "scope"),
    ],
)
def test_an_invalid_scope_is_refused_by_name(ann: Caller, body: dict[str, Any], field: str) -> None:
    assert field in ann.refused(422, "validation_failed", "POST", "/api-keys", body)


def test_a_key_of_one_agent_is_for_one_of_the_users_own(ann: Caller, bob: Caller) -> None:
    for agent_id in (bob.agent(), "agt_none"):
        ann.refused(404, "not_found", "POST", "/api-keys", {"scope": "agent", "agent_id": agent_id})
    assert len(ann.get("/api-keys")["data"]) == 1


def test_the_lists_of_a_key_of_one_agent_are_full_pages_of_that_agents(ann: Caller) -> None:
    mine, beside = ann.agent(), ann.agent()
    wanted = []
    for _ in range(5):
        wanted.append(ann.conversation(mine))
        ann.conversation(beside)
    only = with_key(ann, scope="agent", agent_id=mine)
    assert [agent["id"] for agent in only.get("/agents")["data"]] == [mine]
    pages = list(only.pages("/conversations", limit=2))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [each["id"] for page in pages for each in page] == wanted[::-1]
    assert [len(page) for page in only.pages(f"/agents/{mine}/conversations", limit=2)] == [2, 2, 1]
    assert "status" in only.refused(422, "validation_failed", "GET", "/conversations?status=active")

    ann.delete(f"/agents/{mine}")
    assert only.get("/agents")["data"] == []
    assert only.get("/conversations")["data"] == []


def test_a_turn_with_a_key_of_one_agent_takes_no_additional_request(ann: Caller) -> None:
    agent_id = ann.agent()
    only = with_key(ann, scope="agent", agent_id=agent_id)
    conversation_id = only.conversation(agent_id)
    only.make(f"/conversations/{conversation_id}/messages", content="Hello")
    with recorded() as sent:
        only.make(f"/conversations/{conversation_id}/messages", content="Hello")
    assert [(each.pattern, each.operation) for each in sent] == [
        ("AP-24", "BatchGetItem"),
        ("AP-50", "Query"),
        ("AP-50", "TransactWriteItems"),
        ("AP-52", "TransactWriteItems"),
    ]


def test_a_cached_conversation_is_not_opened_to_another_key(ann: Caller, bob: Caller) -> None:
    mine, beside = ann.agent(), ann.agent()
    conversation_id = ann.conversation(beside)
    ann.make(f"/conversations/{conversation_id}/messages", content="Hello")
    for caller in (with_key(ann, scope="agent", agent_id=mine), with_key(bob, scope="agent", agent_id=bob.agent())):
        caller.refused(404, "not_found", "POST", f"/conversations/{conversation_id}/messages", {"content": "And now?"})
        caller.refused(404, "not_found", "GET", f"/conversations/{conversation_id}")
    assert ann.get(f"/conversations/{conversation_id}")["message_count"] == 2


def test_a_key_of_a_shared_agent_does_not_show_other_users_conversations(ann: Caller, bob: Caller) -> None:
    agent_id = ann.agent()
    ann.put(f"/agents/{agent_id}/publication", published=True)
    theirs = bob.conversation(agent_id)
    bob.make(f"/conversations/{theirs}/messages", content="Between us")
    only = with_key(ann, scope="agent", agent_id=agent_id)
    absent = theirs[:-1] + ("0" if theirs[-1] != "0" else "1")
    for path in ("", "/messages", "/messages/msg_1", "/state", "/state/cart"):
        told = [only.call("GET", f"/conversations/{each}{path}").get_json() for each in (theirs, absent)]
        assert [{**each, "request_id": None} for each in told] == [{**told[0], "request_id": None}] * 2
        assert told[0]["status"] == 404
    assert only.get("/conversations")["data"] == []


def test_a_key_cannot_create_one_that_expires_later(ann: Caller) -> None:
    end = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    ending = with_key(ann, expires_at=end.isoformat())
    later = (end + timedelta(seconds=1)).isoformat()
    assert "expires_at" in ending.refused(422, "validation_failed", "POST", "/api-keys", {"expires_at": later})
    assert datetime.fromisoformat(ending.make("/api-keys")["expires_at"]) == end
    assert datetime.fromisoformat(ending.make("/api-keys", expires_at=end.isoformat())["expires_at"]) == end


def test_a_key_without_the_administrators_role_cannot_create_one_with_it(admin: Caller) -> None:
    lesser = Who(acting_for(admin.id), "user", "key_1")
    key, _ = issue_key(admin.user, by=lesser)
    assert admin.call("GET", "/users", headers={"Authorization": f"Bearer {key}"}).status_code == 403


def test_an_unknown_scope_allows_nothing(ann: Caller) -> None:
    key = f"tt_newer{ann.id}"
    create_api_key(ann.id, key_hash=hash_of(key), hint="ewer", role="user")
    change(ApiKey.from_key(key_hash=hash_of(key)), "scope", {"S": "telepathy"})
    ann.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    for method, path in (("GET", "/users/me"), ("GET", "/agents"), ("POST", "/agents")):
        ann.refused(403, "insufficient_scope", method, path, {"name": "Bea"} if method == "POST" else None)


def test_the_last_use_is_recorded_in_the_background_hourly(app: OpenAPI, ann: Caller, fake_clock: FakeClock) -> None:
    uses = uses_of(app)
    uses.flush()

    def last_used() -> datetime | None:
        return list_api_keys(ann.id, 10).items[0].last_used_at  # type: ignore[no-any-return]

    first = fake_clock.moment
    with recorded() as sent:
        assert ann.get("/api-keys")["data"][0]["last_used_at"] is None
    assert {each.operation for each in sent} == {"GetItem", "Query"}
    uses.flush()
    assert last_used() == first

    fake_clock.advance(seconds=INTERVAL.total_seconds() - 1)
    ann.get("/users/me")
    with recorded() as sent:
        uses.flush()
        # Another process does not know about it and tries once; the condition refuses the write.
        beside = LastUsedRecorder()
        beside.note(Who(acting_for(ann.id), "user", ann.key_entry.key_id))
        beside.flush()
        beside.note(Who(acting_for(ann.id), "user", ann.key_entry.key_id))
        beside.flush()
    # In the last hour of a day the clock has reached the next one, whose first sign-in is recorded, too.
    assert [each.pattern for each in sent if each.pattern != "AP-90"] == ["AP-27"]
    assert last_used() == first

    later = fake_clock.advance(seconds=1)
    ann.get("/users/me")
    uses.flush()
    assert last_used() == later
    assert ann.get("/api-keys")["data"][0]["last_used_at"] == later.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_a_use_that_cannot_be_recorded_affects_no_request(
    app: OpenAPI, ann: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    uses = uses_of(app)
    uses.flush()

    def fail(*_: object, **__: object) -> bool:
        raise ConnectionError("the table is away")

    ann.get("/users/me")
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
        patched.setattr("bot.access.last_used.note_api_key_use", fail)
        uses.flush()
    assert "could not record the use" in caplog.text
    assert ann.key not in caplog.text

    ann.get("/users/me")
    uses.flush()
    assert ann.get("/api-keys")["data"][0]["last_used_at"] is not None


def test_a_key_that_was_revoked_meanwhile_is_not_brought_back(app: OpenAPI, ann: Caller) -> None:
    other = Caller(app, ann.user)
    other.get("/users/me")
    ann.delete(f"/api-keys/{other.key_entry.key_id}")
    uses_of(app).flush()
    assert [each["id"] for each in ann.get("/api-keys")["data"]] == [ann.key_entry.key_id]


def test_the_thread_stores_noted_uses_and_ends(ann: Caller) -> None:
    uses = LastUsedRecorder(beat=0.01)
    uses.note(Who(acting_for(ann.id), "user", ann.key_entry.key_id))
    uses.note(Who(acting_for(ann.id), "user"))  # a token is not recorded
    uses.start()
    uses.close()
    assert list_api_keys(ann.id, 10).items[0].last_used_at is not None
