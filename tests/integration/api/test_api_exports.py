"""A user's export: all of their data and nobody else's, with an explicit end."""

import json
import zlib
from collections import Counter
from typing import Any

from flask_openapi import OpenAPI

from models.access_patterns.identities import create_identity
from models.access_patterns.messages import Draft, get_message
from models.access_patterns.users import get_user
from models.conversation import Conversation
from models.state import UserState
from models.table.ids import new_id
from models.table.tenancy import acting_for
from tests.erasing import delete_agent
from tests.factories import append, make_agent, make_conversation
from tests.integration.api.caller import PREFIX, Caller
from tests.raw import change

KEY = "sk-" + "planted-secret-" * 3


def lines_of(caller: Caller, path: str = "/users/me/export") -> list[dict[str, Any]]:
    answer = caller.call("GET", path)
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "application/jsonl; charset=utf-8"
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


def live(caller: Caller) -> dict[str, Any]:
    """Create one of each resource for a caller; return what the export must contain."""
    caller.patch("/users/me", api_integration_details={"openai": {"api_key": KEY}}, preferences={"language": "en"})
    caller.put("/users/me/state/theme", value={"dark": True})
    first, second = caller.agent(name="First"), caller.agent(name="Second")
    for agent_id in (second, first, first):
        conversation_id = caller.conversation(agent_id, title="Lisbon")
        caller.make(f"/conversations/{conversation_id}/messages", content="Hello")
        caller.put(f"/conversations/{conversation_id}/state/trip", value=1)
    return {"agents": [first, second]}


def test_everything_is_there_in_one_order_and_the_end_counts_it(ann: Caller, bob: Caller) -> None:
    live(bob)
    made = live(ann)

    lines = lines_of(ann)

    *content, end = lines
    assert end == {
        "type": "end",
        "complete": True,
        "counts": dict(sorted(Counter(line["type"] for line in content).items())),
    }
    assert end["counts"] == {
        "agent": 2,
        "api_key": 1,
        "audit_event": 3,
        "conversation": 3,
        "conversation_state": 3,
        "message": 6,
        "turn": 3,
        "user": 1,
        "user_state": 1,
    }
    assert [line["id"] for line in content if line["type"] == "agent"] == made["agents"]
    conversations = [line for line in content if line["type"] == "conversation"]
    assert [line["agent_id"] for line in conversations] == [made["agents"][0]] * 2 + [made["agents"][1]]
    assert bob.id not in json.dumps(lines)
    again = [line for line in lines_of(ann) if line["type"] not in ("audit_event", "end")]
    assert again == [line for line in content if line["type"] != "audit_event"], "the same order every time"


def test_each_line_is_what_the_api_shows_and_secrets_are_in_none(ann: Caller) -> None:
    live(ann)
    lines = lines_of(ann)
    (user,) = (line for line in lines if line["type"] == "user")
    assert {**user, "last_active_at": None, "type": None} == {
        **ann.get("/users/me"),
        "last_active_at": None,
        "type": None,
    }
    message = next(line for line in lines if line["type"] == "message")
    shown = ann.get(f"/conversations/{message['conversation_id']}/messages/{message['id']}")
    assert message == {**{name: value for name, value in shown.items() if name != "type"}} | {
        "type": "message",
        "message_type": shown["type"],
    }
    text = json.dumps(lines)
    assert KEY not in text
    assert ann.key not in text
    assert "key_hash" not in text


def test_pages_and_large_texts_are_whole(ann: Caller) -> None:
    agent = make_agent(ann.user)
    conversation = make_conversation(agent)
    append(conversation, [Draft("user", f"{number}") for number in range(205)] + [Draft("user", "é" * 150_000)])
    for _ in range(101):
        make_conversation(agent)
    lines = lines_of(ann)
    contents = [line["content"] for line in lines if line["type"] == "message"]
    assert contents[:205] == [str(number) for number in range(205)]
    assert contents[205] == "é" * 150_000
    assert lines[-1]["counts"]["conversation"] == 102


def test_half_characters_that_an_older_version_stored_do_not_cut_it_off(ann: Caller) -> None:
    half = json.dumps({"cut": "a\ud83d", "\ude00": 1})
    conversation_id = ann.conversation(title="Old", metadata={"a": 1})
    message_id = ann.say(conversation_id, "Hello")
    for key, value in (("short", 1), ("long", "x" * 5000)):
        ann.put(f"/users/me/state/{key}", value=value)
    change(UserState(user_id=ann.id, kind="application", key="short"), "value", {"S": half})
    long = zlib.compress(json.dumps(["\ud83d" * 5000]).encode())
    change(UserState(user_id=ann.id, kind="application", key="long"), "packed", {"B": long})
    header = Conversation.from_key(conversation_id=conversation_id)
    change(header, "metadata", {"M": {"a": {"S": half}}})
    parts = json.dumps([{"type": "text", "text": "a\ud83d"}])
    message = get_message(acting_for(ann.id), conversation_id, message_id)
    change(message, "type", {"S": "parts"})
    change(message, "content", {"S": parts})

    *lines, end = lines_of(ann)

    assert end["complete"]
    whole = {"cut": "a\ufffd", "\ufffd": 1}
    states = {line["key"]: line["value"] for line in lines if line["type"] == "user_state"}
    assert states == {"short": whole, "long": ["\ufffd" * 5000]}
    (conversation,) = (line for line in lines if line["type"] == "conversation")
    assert conversation["metadata"] == {"a": whole}
    (told,) = (line for line in lines if line["type"] == "message")
    assert told["content"] == [{"type": "text", "text": "a\ufffd"}]
    assert ann.get("/users/me/state/short")["value"] == whole
    assert ann.get(f"/conversations/{conversation_id}")["messages"][0]["content"] == told["content"]


def test_a_token_users_identity_is_in_it(app: OpenAPI) -> None:
    identity = create_identity("https://auth.example.com/", new_id("subject"))
    lines = lines_of(Caller(app, get_user(acting_for(identity.user_id))))
    assert lines[1] == {
        "type": "identity",
        "issuer": identity.issuer,
        "subject": identity.subject,
        "created_at": lines[0]["created_at"],
    }


def test_the_usage_of_deleted_turns_and_the_audit_trail_are_in_it(ann: Caller) -> None:
    conversation_id = ann.conversation()
    turn = ann.make(f"/conversations/{conversation_id}/messages", content="Hello")["turn"]
    ann.delete(f"/conversations/{conversation_id}")

    lines = lines_of(ann)

    assert [line for line in lines if line["type"] == "turn_count"] == [
        {
            "type": "turn_count",
            "turn_id": turn["id"],
            "agent_id": turn["agent_id"],
            "model": turn["model"],
            "usage": turn["usage"],
        }
    ]
    done = [line for line in lines if line["type"] == "audit_event"]
    assert [event["action"] for event in done] == ["data.exported", "conversation.deleted", "key.created"]
    assert [{**event, "type": "audit_event"} for event in ann.get("/audit")["data"]] == done


def test_deleted_data_is_not_in_it(ann: Caller) -> None:
    live(ann)
    first = ann.get("/agents")["data"][0]["id"]
    delete_agent(acting_for(ann.id), first)
    assert lines_of(ann)[-1]["counts"]["conversation"] == 1


def test_an_administrator_exports_anybody_and_others_only_themselves(ann: Caller, bob: Caller, admin: Caller) -> None:
    assert lines_of(admin, f"/users/{ann.id}/export")[0]["id"] == ann.id
    foreign = bob.call("GET", f"/users/{ann.id}/export")
    assert foreign.status_code == 404


def test_it_is_streamed_a_page_at_a_time(app: OpenAPI, ann: Caller) -> None:
    conversation = make_conversation(make_agent(ann.user))
    append(conversation, [Draft("user", "x" * 2000)] * 300)
    answer = ann.client.get(f"{PREFIX}/users/me/export", buffered=False)
    parts = answer.iter_encoded()
    first = next(iter(parts))
    assert json.loads(first)["type"] == "user"
    assert len(first) < 2000
    answer.close()
