"""Messages and turns, with an agent that echoes: what is stored, shown, counted and deleted."""

import json
from typing import Any

import pytest

from tests.factories import noise
from tests.integration.api.caller import Caller

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}


@pytest.fixture
def conversation(ann: Caller) -> str:
    """The path of a new conversation of Ann's."""
    return f"/conversations/{ann.conversation()}"


def test_a_message_is_answered_and_both_are_stored(ann: Caller, conversation: str) -> None:
    done = ann.make(f"{conversation}/messages", content="Hello there")

    (said,), (answer,) = done["input"], done["output"]
    turn = done["turn"]
    assert (said["sender"], said["role"], said["type"], said["content"]) == ("user", "user", "text", "Hello there")
    assert (answer["sender"], answer["role"], answer["content"]) == ("agent", "assistant", "You said: Hello there")
    assert said["turn_id"] == answer["turn_id"] == turn["id"]
    assert answer["llm_response_id"].startswith("echo-")
    assert (turn["status"], turn["provider"], turn["model"], turn["finish_reason"]) == (
        "completed",
        "echo",
        "echo",
        "stop",
    )
    assert turn["error"] is turn["partial_text"] is None
    assert turn["usage"]["input_tokens"] > 0
    assert turn["started_at"] <= turn["ended_at"]

    opened = ann.get(conversation)
    assert opened["messages"] == [said, answer]
    assert (opened["message_count"], opened["turn_count"]) == (2, 1)
    assert opened["usage"] == turn["usage"]
    assert opened["active_turn_id"] is None
    assert ann.get(f"/turns/{turn['id']}") == turn
    for message in (said, answer):
        assert ann.get(f"{conversation}/messages/{message['id']}") == message


def test_a_message_can_be_stored_without_an_answer_by_any_sender(ann: Caller, conversation: str) -> None:
    for sender, role in (("user", "user"), ("agent", "assistant"), ("system", "system")):
        done = ann.make(f"{conversation}/messages", content=f"I am the {sender}.", reply=False, sender=sender)
        assert (done["turn"], done["output"]) == (None, [])
        assert (done["input"][0]["sender"], done["input"][0]["role"]) == (sender, role)
        assert done["input"][0]["turn_id"] is None
    opened = ann.get(conversation)
    assert [each["sender"] for each in opened["messages"]] == ["user", "agent", "system"]
    assert opened["turn_count"] == 0


def test_a_turn_without_a_message_answers_the_stored_messages(ann: Caller, conversation: str) -> None:
    ann.make(f"{conversation}/messages", content="Hello", reply=False)
    done = ann.make(f"{conversation}/turns")
    assert done["input"] == []
    assert done["output"][0]["content"] == "You said: Hello"
    assert ann.call("POST", f"{conversation}/turns").status_code == 201, "the body may be left out"


def test_parts_are_kept_in_order_and_given_back_as_they_were(ann: Caller, conversation: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, IMAGE, {"type": "text", "text": "🙂"}]
    done = ann.make(f"{conversation}/messages", content=parts)
    assert (done["input"][0]["type"], done["input"][0]["content"]) == ("parts", parts)
    assert ann.get(conversation)["messages"][0]["content"] == parts
    assert done["output"][0]["content"] == "You said: What is this? [image] 🙂"


@pytest.mark.parametrize("text", [" ", "\n", "😀é", "\x00\x1f", "\u2028", '"\\/', "#", "x" * 50_000])
def test_any_text_comes_back_as_it_was_sent(ann: Caller, conversation: str, text: str) -> None:
    ann.make(f"{conversation}/messages", content=text, reply=False)
    assert ann.get(conversation)["messages"][0]["content"] == text


def test_a_text_is_stored_up_to_its_limit_and_no_further(ann: Caller, conversation: str) -> None:
    longest, longer = noise(470_000), noise(500_000)
    ann.make(f"{conversation}/messages", content=longest, reply=False)
    for body in ({"content": longer, "reply": False}, {"content": longer}):
        fields = ann.refused(413, "too_large", "POST", f"{conversation}/messages", body)
        assert fields == {"content": "at most 401,408 bytes after compression"}
    assert ann.get(f"{conversation}/messages")["data"][0]["content"] == longest
    assert ann.get(conversation)["message_count"] == 1
    assert ann.get(conversation)["active_turn_id"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": None}, "content"),
        ({"content": ""}, "content"),
        ({"content": []}, "content"),
        ({"content": 5}, "content"),
        ({"content": {"text": "a"}}, "content"),
        ({"content": ["a"]}, "content.0"),
        ({"content": [{"type": "text", "text": 5}]}, "content.0.text"),
        ({"content": [{"type": "text"}]}, "content.0.text"),
        ({"content": [{"type": "text", "text": ""}]}, "content.0.text"),
        ({"content": [{"type": "sound"}]}, "content.0"),
        ({"content": [{"type": "text", "text": "a", "more": 1}]}, "content.0.more"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}, "content.1.image_url"),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "content.0.image_url.url"),
        ({"content": [{"type": "image_url", "image_url": {"url": "http://a"}}]}, "content.0.image_url.url"),
        ({"content": [{**IMAGE, "image_url": {"url": "https://a", "detail": "x"}}]}, "content.0.image_url.detail"),
        ({"content": [{**IMAGE, "image_url": 5}]}, "content.0.image_url"),
        ({"content": [{"type": "text", "text": "a"}] * 65}, "content"),
        ({"content": "a", "reply": "no"}, "reply"),
        ({"content": "a", "stream": 1}, "stream"),
        ({"content": "a", "sender": "agent"}, "sender"),
        ({"content": "a", "sender": "tool", "reply": False}, "sender"),
        ({"content": "a", "stream": True, "reply": False}, "stream"),
        ({"content": "a", "results": [{"call_id": "c", "content": "r"}], "reply": False}, "results"),
        ({"results": [{"call_id": "", "content": "r"}]}, "results.0.call_id"),
        ({"results": [{"call_id": "c"}]}, "results.0.content"),
        ({"results": [{"call_id": "c", "content": "r"}] * 65}, "results"),
        ({"results": "all"}, "results"),
        ({"content": "a", "role": "user"}, "role"),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_by_its_path_and_stores_nothing(
    ann: Caller, conversation: str, body: Any, field: str
) -> None:
    assert list(ann.refused(422, "validation_failed", "POST", f"{conversation}/messages", body)) == [field]
    assert ann.get(conversation)["message_count"] == 0


def test_results_that_nothing_waits_for_are_a_conflict(ann: Caller, conversation: str) -> None:
    ann.say(conversation.rpartition("/")[2], "Hello")
    body = {"results": [{"call_id": "call_1", "content": "42"}]}
    assert "results" in ann.refused(409, "tool_results_expected", "POST", f"{conversation}/messages", body)
    opened = ann.get(conversation)
    assert (opened["message_count"], opened["active_turn_id"]) == (1, None)


def test_messages_between_two_times(ann: Caller, conversation: str) -> None:
    conversation_id = conversation.rpartition("/")[2]
    for number in range(5):
        ann.say(conversation_id, str(number))
    moments = [each["created_at"] for each in ann.get(f"{conversation}/messages")["data"]]

    def between(**query: str) -> list[str]:
        return [each["content"] for each in ann.get(f"{conversation}/messages", **query)["data"]]

    assert between(since=moments[1], until=moments[3]) == ["1", "2"]
    assert between(since=moments[1], until=moments[3], order="desc") == ["2", "1"]
    assert between(since=moments[3]) == ["3", "4"]
    assert between(until=moments[1]) == ["0"]
    assert between(since=moments[3], until=moments[1]) == []
    assert between(since="0001-01-01T00:00:00+23:59", until="9999-12-31T23:59:59-23:59") == list("01234")


@pytest.mark.parametrize("field", ["since", "until"])
def test_an_unescaped_plus_gets_a_specific_error(ann: Caller, field: str) -> None:
    path = f"/conversations/{ann.conversation()}/messages"
    for wrong in ("2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.5+05:30"):
        fields = ann.refused(422, "validation_failed", "GET", f"{path}?{field}={wrong}")
        assert "%2B" in fields[field]
        assert "Z" in fields[field]
        assert ann.get(path, **{field: wrong})["data"] == [], "escaped"
    for other in ("yesterday", "2026-01-01", "2026-01-01 00:00:00", "2026-01-01T00:00:00"):
        assert "%2B" not in ann.refused(422, "validation_failed", "GET", f"{path}?{field}={other}")[field]


@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize(
    "moment", ["2026-11-22T08:30:00", "2026-11-22", "1700000000", "now", "", "2026-02-30T00:00:00Z"]
)
def test_a_time_without_a_zone_or_in_another_format_is_refused(
    ann: Caller, conversation: str, field: str, moment: str
) -> None:
    path = f"{conversation}/messages"
    assert field in ann.refused(422, "validation_failed", "GET", path, query_string={field: moment})


def test_a_deleted_message_is_gone_and_no_longer_counted(ann: Caller, conversation: str) -> None:
    done = ann.make(f"{conversation}/messages", content="Forget this")
    message_id = done["input"][0]["id"]

    ann.delete(f"{conversation}/messages/{message_id}")

    ann.refused(404, "not_found", "GET", f"{conversation}/messages/{message_id}")
    ann.refused(404, "not_found", "DELETE", f"{conversation}/messages/{message_id}")
    assert [each["id"] for each in ann.get(f"{conversation}/messages")["data"]] == [done["output"][0]["id"]]
    assert ann.get(conversation)["message_count"] == 1


def test_a_stream_has_numbered_events_that_join_to_the_stored_answer(ann: Caller, conversation: str) -> None:
    answer = ann.call("POST", f"{conversation}/messages", {"content": "One two\nthree", "stream": True})
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"
    blocks = [dict(line.split(": ", 1) for line in block.split("\n")) for block in answer.text.strip().split("\n\n")]
    assert [block["id"] for block in blocks] == [str(number + 1) for number in range(len(blocks))]
    events = [(block["event"], json.loads(block["data"])) for block in blocks]
    assert [data["sequence"] for _, data in events] == list(range(1, len(events) + 1))
    names = [name for name, _ in events]
    assert (names[0], set(names[1:-1]), names[-1]) == ("turn.started", {"message.delta"}, "turn.completed")
    started, completed = events[0][1], events[-1][1]
    joined = "".join(data["text"] for name, data in events if name == "message.delta")
    assert joined == "You said: One two\nthree" == completed["output"][0]["content"]
    assert started["input"] == completed["input"]
    assert started["turn_id"] == completed["turn"]["id"]
    assert ann.get(conversation)["messages"] == [*completed["input"], *completed["output"]]


def test_the_messages_of_a_conversation_are_counted_over_turns(ann: Caller, conversation: str) -> None:
    usage = {"input_tokens": 0, "output_tokens": 0}
    for number in range(3):
        turn = ann.make(f"{conversation}/messages", content=str(number))["turn"]
        usage = {name: usage[name] + turn["usage"][name] for name in usage}
    opened = ann.get(conversation)
    assert (opened["message_count"], opened["turn_count"], opened["usage"]) == (6, 3, usage)
    stamps = [each["created_at"] for each in opened["messages"]]
    assert stamps == sorted(set(stamps)), "no two messages have one time"
