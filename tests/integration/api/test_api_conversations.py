"""Conversations: created, opened, listed by latest activity, renamed, archived, deleted."""

import json

import pytest

from models.conversation import Conversation
from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller
from tests.raw import change

TOO_DEEP = json.loads("[" * 33 + "]" * 33)


def test_a_new_conversation_can_be_read_completely(ann: Caller) -> None:
    agent_id = ann.agent()
    made = ann.make("/conversations", agent_id=agent_id, title="Capitals", metadata={"a": {"b": [1.5, None]}})
    assert made == {
        "id": made["id"],
        "user_id": ann.id,
        "agent_id": agent_id,
        "title": "Capitals",
        "status": "active",
        "started_at": made["started_at"],
        "last_active_at": made["started_at"],
        "metadata": {"a": {"b": [1.5, None]}},
        "message_count": 0,
        "turn_count": 0,
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "active_turn_id": None,
        "root_id": None,
        "parent_id": None,
        "from_message_id": None,
        "active_branch_id": None,
    }
    assert ann.get(f"/conversations/{made['id']}") == {**made, "messages": [], "has_more": False}


def test_opening_gives_the_newest_messages_in_order_and_says_whether_there_are_more(ann: Caller) -> None:
    conversation_id = ann.conversation()
    said = [str(number) for number in range(5)]
    for content in said:
        ann.say(conversation_id, content)

    def opened(newest: int) -> tuple[list[str], bool]:
        found = ann.get(f"/conversations/{conversation_id}", messages=newest)
        assert found["message_count"] == 5
        return [each["content"] for each in found["messages"]], found["has_more"]

    assert opened(0) == ([], True)
    assert opened(3) == (said[2:], True)
    assert opened(5) == (said, False)
    assert opened(1000) == (said, False)
    assert [each["content"] for each in ann.get(f"/conversations/{conversation_id}")["messages"]] == said


@pytest.mark.parametrize("newest", ["-1", "1001", "x", ""])
def test_an_invalid_number_of_messages_is_refused(ann: Caller, newest: str) -> None:
    path = f"/conversations/{ann.conversation()}"
    assert "messages" in ann.refused(422, "validation_failed", "GET", path, query_string={"messages": newest})


def test_a_patch_renames_and_merges_and_moves_no_activity(ann: Caller) -> None:
    conversation_id = ann.conversation(title="Old", metadata={"a": 1, "b": 2})
    before = ann.get(f"/conversations/{conversation_id}", messages=0)

    after = ann.patch(f"/conversations/{conversation_id}", title="New", metadata={"a": None, "c": 3})

    assert (after["title"], after["metadata"]) == ("New", {"b": 2, "c": 3})
    assert after["last_active_at"] == before["last_active_at"]
    assert {**after, "messages": [], "has_more": False} == ann.get(f"/conversations/{conversation_id}", messages=0)
    assert [each["title"] for each in ann.get("/conversations")["data"]] == ["New"]


def test_null_removes_a_title_and_leaves_the_rest_alone(ann: Caller) -> None:
    conversation_id = ann.conversation(title="Old", metadata={"a": 1})
    after = ann.patch(f"/conversations/{conversation_id}", title=None, status=None, metadata=None)
    assert (after["title"], after["status"], after["metadata"]) == (None, "active", {"a": 1})


def test_a_patch_of_nothing_changes_nothing(ann: Caller) -> None:
    conversation_id = ann.conversation(title="Same")
    before = ann.get(f"/conversations/{conversation_id}", messages=0)
    assert {**ann.patch(f"/conversations/{conversation_id}"), "messages": [], "has_more": False} == before
    assert ann.call("PATCH", f"/conversations/{conversation_id}").status_code == 200


def test_metadata_has_a_limit_that_many_requests_do_not_pass_either(ann: Caller) -> None:
    path = f"/conversations/{ann.conversation(metadata={f'a{number}': 1 for number in range(64)})}"
    allowed = {"metadata": "at most 64 names and 32,768 bytes in total; a name with null is removed"}
    assert ann.refused(413, "too_large", "PATCH", path, {"metadata": {"b": 1}}) == allowed
    assert ann.refused(413, "too_large", "PATCH", path, {"metadata": {"b": 1}, "status": "archived"}) == allowed
    assert ann.refused(413, "too_large", "PATCH", path, {"metadata": {"a1": "x" * 33_000}}) == allowed
    body = {"agent_id": ann.agent(), "metadata": {"a": "x" * 33_000}}
    assert ann.refused(413, "too_large", "POST", "/conversations", body) == allowed
    after = ann.patch(path, metadata={"a0": None, "b": 1})
    assert (len(after["metadata"]), after["status"]) == (64, "active")


def test_a_header_that_exceeds_a_newer_limit_says_what_to_do(ann: Caller) -> None:
    conversation_id = ann.conversation(metadata={"a": 1})
    full = {"M": {"a": {"S": json.dumps("x" * 408_000)}, "b": {"S": "1"}}}
    change(Conversation.from_key(conversation_id=conversation_id), "metadata", full)
    path = f"/conversations/{conversation_id}"
    for body in ({"content": "Hello"}, {"content": "Hello", "reply": False}):
        answer = ann.call("POST", f"{path}/messages", body)
        assert answer.status_code == 413, answer.text
        detail = answer.get_json()["detail"]
        assert "metadata, 2 names of 408," in detail
        assert "null for names that can go" in detail
    ann.patch(path, metadata={"a": None})
    assert ann.make(f"{path}/messages", content="Hello")["turn"]["status"] == "completed"


@pytest.mark.parametrize("status", ["completed", "archived"])
def test_a_closed_conversation_is_listed_refuses_messages_and_can_be_reopened(ann: Caller, status: str) -> None:
    conversation_id = ann.conversation(title="Old")

    changed = ann.patch(f"/conversations/{conversation_id}", status=status, title="New", metadata={"done": True})

    assert (changed["status"], changed["title"], changed["metadata"]) == (status, "New", {"done": True})
    assert ann.get("/conversations", status="active")["data"] == []
    assert [each["id"] for each in ann.get("/conversations", status=status)["data"]] == [conversation_id]
    assert [each["id"] for each in ann.get("/conversations")["data"]] == [conversation_id]
    for path, body in (("messages", {"content": "Hi"}), ("messages", {"content": "Hi", "reply": False}), ("turns", {})):
        ann.refused(409, "conversation_closed", "POST", f"/conversations/{conversation_id}/{path}", body)
    assert ann.get(f"/conversations/{conversation_id}")["message_count"] == 0

    ann.patch(f"/conversations/{conversation_id}", status="active")
    ann.say(conversation_id, "Hello again")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "agent_id"),
        ({"agent_id": None}, "agent_id"),
        ({"agent_id": "a#b"}, "agent_id"),
        ({"agent_id": "agt_x", "title": ""}, "title"),
        ({"agent_id": "agt_x", "title": "x" * 201}, "title"),
        ({"agent_id": "agt_x", "metadata": []}, "metadata"),
        ({"agent_id": "agt_x", "metadata": {"a b": 1}}, "metadata.a b"),
        ({"agent_id": "agt_x", "metadata": {"": 1}}, "metadata."),
        ({"agent_id": "agt_x", "metadata": {"none": TOO_DEEP}}, "metadata.none"),
        ({"agent_id": "agt_x", "status": "active"}, "status"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_its_path(ann: Caller, body: object, field: str) -> None:
    assert list(ann.refused(422, "validation_failed", "POST", "/conversations", body)) == [field]


def test_an_unknown_status_is_refused(ann: Caller) -> None:
    path = f"/conversations/{ann.conversation()}"
    assert "status" in ann.refused(422, "validation_failed", "PATCH", path, {"status": "deleting"})
    assert "status" in ann.refused(422, "validation_failed", "GET", "/conversations", query_string="status=deleting")


def test_the_latest_activity_comes_first_in_both_lists(ann: Caller, fake_clock: FakeClock) -> None:
    agent_id = ann.agent()
    started = []
    for agent in (agent_id, agent_id, agent_id, None):
        started.append(ann.conversation(agent))
        fake_clock.advance(seconds=1)
    first, second, third, elsewhere = started
    fake_clock.advance(minutes=2)
    ann.say(first, "Here I am again.")

    for path, expected in (
        ("/conversations", [first, elsewhere, third, second]),
        (f"/agents/{agent_id}/conversations", [first, third, second]),
    ):
        assert [each["id"] for each in ann.get(path)["data"]] == expected


def test_reading_or_renaming_a_conversation_does_not_move_it(ann: Caller, fake_clock: FakeClock) -> None:
    agent_id = ann.agent()
    first = ann.conversation(agent_id)
    fake_clock.advance(seconds=1)
    second = ann.conversation(agent_id)
    fake_clock.advance(minutes=5)
    ann.get(f"/conversations/{first}")
    ann.get(f"/conversations/{first}/messages")
    ann.patch(f"/conversations/{first}", title="Renamed")
    assert [each["id"] for each in ann.get("/conversations")["data"]] == [second, first]


def test_a_deleted_conversation_is_gone_with_its_contents(ann: Caller) -> None:
    conversation_id = ann.conversation()
    message_id = ann.say(conversation_id, "Hello")
    turn = ann.make(f"/conversations/{conversation_id}/turns")["turn"]
    ann.put(f"/conversations/{conversation_id}/state/cart", value=1)

    ann.delete(f"/conversations/{conversation_id}")

    for path in ("", "/messages", f"/messages/{message_id}", "/state", "/state/cart"):
        ann.refused(404, "not_found", "GET", f"/conversations/{conversation_id}{path}")
    ann.refused(404, "not_found", "GET", f"/turns/{turn['id']}")
    ann.refused(404, "not_found", "DELETE", f"/conversations/{conversation_id}")
    assert ann.get("/conversations")["data"] == []
