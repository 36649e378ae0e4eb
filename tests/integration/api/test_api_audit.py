"""The audit trail has every change of access once, with its actor, and is private."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.access import sign_in_log as module
from models.access_patterns.audit import list_events
from models.table import clock
from models.table.connection import TableSettings, configure
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.conftest import make_app
from tests.wire import lost_answers, recorded

ADDRESS = "203.0.113.7"
SECRET = "sk-planted-0123456789abcdef"


def trail(caller: Caller) -> list[dict[str, Any]]:
    """Return a user's audit trail, newest first."""
    return [event for page in caller.pages("/audit", limit=3) for event in page]


def share(caller: Caller, other: Caller) -> tuple[str, str]:
    agent_id = caller.agent()
    caller.make(f"/agents/{agent_id}/shares", user_id=other.id)
    return agent_id, agent_id


def unshare(caller: Caller, other: Caller) -> tuple[str, str]:
    agent_id, _ = share(caller, other)
    caller.delete(f"/agents/{agent_id}/shares/{other.id}")
    return agent_id, agent_id


def publish(caller: Caller, _: Caller) -> tuple[str, str]:
    agent_id = caller.agent()
    caller.put(f"/agents/{agent_id}/publication", published=True)
    return agent_id, agent_id


def withdraw(caller: Caller, other: Caller) -> tuple[str, str]:
    agent_id, _ = publish(caller, other)
    caller.put(f"/agents/{agent_id}/publication", published=False)
    return agent_id, agent_id


def lend(caller: Caller, _: Caller) -> tuple[str, str]:
    agent_id = caller.agent()
    caller.patch(f"/agents/{agent_id}", share_credentials=True)
    return agent_id, agent_id


def make_key(caller: Caller, _: Caller) -> tuple[str, str]:
    made = caller.make("/api-keys")
    return made["id"], made["key"]


def revoke_key(caller: Caller, other: Caller) -> tuple[str, str]:
    key_id, key = make_key(caller, other)
    caller.delete(f"/api-keys/{key_id}")
    return key_id, key


def share_by_link(caller: Caller, _: Caller) -> tuple[str, str]:
    conversation_id = caller.conversation()
    caller.say(conversation_id, "Hello")
    made = caller.make(f"/conversations/{conversation_id}/links")
    return made["id"], made["token"]


def revoke_link(caller: Caller, _: Caller) -> tuple[str, str]:
    conversation_id = caller.conversation()
    caller.say(conversation_id, "Hello")
    made = caller.make(f"/conversations/{conversation_id}/links")
    caller.delete(f"/conversations/{conversation_id}/links/{made['id']}")
    return made["id"], made["token"]


def change_credentials(caller: Caller, _: Caller) -> tuple[str, str]:
    caller.patch("/users/me", api_integration_details={"openai": {"api_key": SECRET}})
    return caller.id, SECRET


def change_email(caller: Caller, _: Caller) -> tuple[str, str]:
    email = f"new-{caller.id.lower()}@example.com"
    caller.patch("/users/me", email=email)
    return caller.id, email


def delete_agent(caller: Caller, _: Caller) -> tuple[str, str]:
    agent_id = caller.agent()
    caller.call("DELETE", f"/agents/{agent_id}")
    return agent_id, agent_id


def delete_conversation(caller: Caller, _: Caller) -> tuple[str, str]:
    conversation_id = caller.conversation()
    caller.call("DELETE", f"/conversations/{conversation_id}")
    return conversation_id, conversation_id


DONE: dict[str, Callable[[Caller, Caller], tuple[str, str]]] = {
    "agent.shared": share,
    "agent.unshared": unshare,
    "agent.published": publish,
    "agent.withdrawn": withdraw,
    "agent.credentials_lent": lend,
    "key.created": make_key,
    "key.revoked": revoke_key,
    "link.created": share_by_link,
    "link.revoked": revoke_link,
    "credentials.changed": change_credentials,
    "email.changed": change_email,
    "agent.deleted": delete_agent,
    "conversation.deleted": delete_conversation,
}


@pytest.mark.parametrize("action", DONE)
def test_each_action_is_in_the_trail_once_with_its_actor(
    ann: Caller, bob: Caller, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "models.audit")
    ann.client.environ_base["REMOTE_ADDR"] = ADDRESS
    ann.client.environ_base["HTTP_X_REQUEST_ID"] = "req-of-the-test"
    ann.client.environ_base["HTTP_X_FORWARDED_FOR"] = "198.51.100.1"
    target, secret = DONE[action](ann, bob)
    found = [event for event in trail(ann) if event["action"] == action and event["actor_id"] == ann.id]
    assert len(found) == 1
    event = found[0]
    assert (event["target_id"], event["key_id"]) == (target, ann.key_entry.key_id)
    assert (event["request_id"], event["address"]) == ("req-of-the-test", ADDRESS), (
        "a header of anybody's is not believed"
    )
    if secret != target:
        assert secret not in json.dumps(event)
    (line,) = [record.getMessage() for record in caplog.records if f"action={action} " in record.getMessage()]
    assert f"actor_id={ann.id}" in line
    assert trail(bob) == [event for event in trail(bob) if event["actor_id"] != ann.id]


@pytest.mark.parametrize("action", DONE)
def test_a_change_whose_answer_was_lost_is_recorded_once(ann: Caller, bob: Caller, action: str) -> None:
    with lost_answers("TransactWriteItems") as lost:
        DONE[action](ann, bob)
    assert lost
    assert len([event for event in trail(ann) if event["action"] == action and event["actor_id"] == ann.id]) == 1


def test_the_deletion_of_a_user_can_be_accounted_for_when_the_user_is_gone(ann: Caller, admin: Caller) -> None:
    admin.call("DELETE", f"/users/{ann.id}")
    event = admin.get(f"/users/{ann.id}/audit")["data"][0]
    assert (event["action"], event["actor_id"], event["target_id"]) == ("user.deleted", admin.id, ann.id)
    assert ann.user.email not in json.dumps(event)


def test_an_export_is_in_the_exported_users_trail(ann: Caller, admin: Caller) -> None:
    assert admin.call("GET", f"/users/{ann.id}/export").status_code == 200
    (event,) = [each for each in trail(ann) if each["action"] == "data.exported"]
    assert event["actor_id"] == admin.id


def test_what_is_refused_is_not_recorded(ann: Caller, bob: Caller) -> None:
    agent_id = ann.agent()
    before = trail(ann)
    ann.refused(404, "not_found", "DELETE", f"/agents/{agent_id}/shares/{bob.id}")
    bob.refused(404, "not_found", "PUT", f"/agents/{agent_id}/publication", {"published": True})
    ann.refused(404, "not_found", "DELETE", "/api-keys/key_none")
    ann.put(f"/agents/{agent_id}/publication", published=False)
    assert trail(ann) == before


def test_the_newest_comes_first_and_every_page_is_full(ann: Caller, bob: Caller) -> None:
    agent_id = ann.agent()
    for published in (True, False) * 4:
        ann.put(f"/agents/{agent_id}/publication", published=published)
    pages = list(ann.pages("/audit", limit=3))
    moments = [event["at"] for page in pages for event in page]
    assert moments == sorted(moments, reverse=True)
    assert all(len(page) == 3 for page in pages[:-1])
    assert len(moments) >= 8


def test_only_administrators_read_other_users_trails(ann: Caller, bob: Caller, admin: Caller) -> None:
    share(ann, bob)
    assert (
        admin.get(f"/users/{ann.id}/audit")["data"] == ann.get("/audit")["data"] == ann.get("/users/me/audit")["data"]
    )
    bob.refused(404, "not_found", "GET", f"/users/{ann.id}/audit")


def test_what_an_administrator_does_is_in_the_users_trail_with_the_administrators_id(
    ann: Caller, admin: Caller
) -> None:
    admin.patch(f"/users/{ann.id}", api_integration_details={"openai": None})
    (event,) = [each for each in trail(ann) if each["action"] == "credentials.changed"]
    assert (event["actor_id"], event["details"]) == (admin.id, {"names": ["openai"]})


def test_the_first_use_of_a_key_on_a_day_is_a_sign_in(app: OpenAPI, ann: Caller) -> None:
    sign_ins = app.extensions["bot"].sign_in_log
    for _ in range(3):
        ann.get("/users/me")
    sign_ins.flush()
    ann.get("/users/me")
    ann.call("GET", "/users/me", environ_overrides={"REMOTE_ADDR": ADDRESS})
    sign_ins.flush()
    found = [event for event in trail(ann) if event["action"] == "signed_in"]
    assert [event["address"] for event in found] == [ADDRESS, "127.0.0.1"]
    assert {event["target_id"] for event in found} == {ann.key_entry.key_id}
    tomorrow = clock.now() + timedelta(days=1)
    before = clock.set_clock(lambda: tomorrow)
    try:
        ann.get("/users/me")
        sign_ins.flush()
    finally:
        clock.set_clock(before)
    assert len([event for event in trail(ann) if event["action"] == "signed_in"]) == 3


def test_a_sign_in_that_cannot_be_written_now_is_written_later(
    app: OpenAPI, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_ins = app.extensions["bot"].sign_in_log
    ann.get("/users/me")
    with monkeypatch.context() as broken:
        broken.setattr(module, "record_event", lambda *_, **__: 1 / 0)
        sign_ins.flush()
    sign_ins.flush()
    assert [event["action"] for event in trail(ann) if event["action"] == "signed_in"] == ["signed_in"]


def test_a_turn_leaves_no_record(app: OpenAPI, ann: Caller) -> None:
    conversation = f"/conversations/{ann.conversation()}"
    ann.make(f"{conversation}/messages", content="Hello")
    app.extensions["bot"].sign_in_log.flush()
    before = trail(ann)
    with recorded() as sent:
        ann.make(f"{conversation}/messages", content="And now?")
    assert "AUDIT#" not in str([request.body for request in sent])
    assert len(sent) == 4
    assert trail(ann) == before


def test_a_record_is_kept_for_as_many_days_as_the_deployment_says(
    table: TableSettings, tmp_path: Path, bob: Caller
) -> None:
    app = make_app(table, tmp_path, audit_days=30)
    configure(TableSettings(**{**vars(table), "audit_days": 30}))
    try:
        ann = Caller(app)
        share(ann, bob)
        (event,) = list_events(ann.user.user_id, 1).items
        before = clock.set_clock(lambda: event.at + timedelta(days=31))
        try:
            assert list_events(ann.user.user_id, 1).items == (), "it is gone"
        finally:
            clock.set_clock(before)
    finally:
        configure(table)
        app.extensions["bot"].providers.close()


def test_a_trusted_proxy_gives_the_clients_address(table: TableSettings, tmp_path: Path) -> None:
    app = make_app(table, tmp_path, trusted_proxies=1)
    ann = Caller(app)
    headers = {"X-Forwarded-For": f"198.51.100.1, {ADDRESS}"}
    answer = ann.client.post(f"{PREFIX}/api-keys", json={}, headers=headers)
    (event,) = [each for each in trail(ann) if each["target_id"] == answer.get_json()["id"]]
    assert event["address"] == ADDRESS, "what the one trusted proxy saw, and not what the caller wrote before it"
    app.extensions["bot"].providers.close()
