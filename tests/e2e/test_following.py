"""Turns seen by two processes on one table: followed, resumed, cancelled, found, and reconciled."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bot_server import Api, BotServer, Event, Stream
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import wait_until


def follow(api: Api, turn_id: str, after: int = 0, **headers: str) -> list[Event]:
    with api.http.stream("GET", f"/turns/{turn_id}/events", params={"after": after}, headers=headers) as response:
        assert response.status_code == 200, response.read()
        return list(Stream(response))


def joined(events: list[Event]) -> str:
    return "".join(event.data["text"] for event in events if event.name == "message.delta")


def numbers(events: list[Event]) -> list[int]:
    assert [event.data["sequence"] for event in events] == [int(event.id) for event in events]
    return [int(event.id) for event in events]


def test_a_dropped_stream_resumes_at_another_process_after_any_event(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(150)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        seen = [stream.next(), stream.next()]
        stream.close()
    turn_id = seen[0].data["turn_id"]
    assert elsewhere.get(f"/turns/{turn_id}")["status"] == "running"

    live = follow(elsewhere, turn_id, after=int(seen[-1].id))

    assert joined([*seen, *live]) == DEFAULT_TEXT
    assert live[-1].name == "turn.completed"
    assert numbers([*seen, *live]) == list(range(1, len(seen) + len(live) + 1))
    whole = follow(elsewhere, turn_id)
    assert [event.data for event in whole] == [event.data for event in [*seen, *live]]
    for event in whole[:-1]:
        rest = follow(api, turn_id, after=int(event.id))
        assert rest == whole[int(event.id) :]
        assert follow(elsewhere, turn_id, **{"Last-Event-ID": event.id}) == rest


def test_a_client_that_has_seen_the_end_gets_204(api: Api, conversation: str) -> None:
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        *_, last = stream
    answer = api.call("GET", f"/turns/{last.data['turn']['id']}/events", after=int(last.id))
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("given", ["-1", "1.5", "x", "99999999999"])
def test_an_invalid_event_id_is_refused(api: Api, conversation: str, given: str) -> None:
    turn = api.make(f"{conversation}/messages", content="Hello")["turn"]
    answer = api.call("GET", f"/turns/{turn['id']}/events", after=given)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    answer = api.http.get(f"/turns/{turn['id']}/events", headers={"Last-Event-ID": given})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")


def test_a_plain_turn_can_be_replayed_too(api: Api, conversation: str, elsewhere: Api) -> None:
    done = api.make(f"{conversation}/messages", content="Hello")
    started, delta, completed = follow(elsewhere, done["turn"]["id"])
    assert (started.name, started.data["input"]) == ("turn.started", done["input"])
    assert delta.data["text"] == done["output"][0]["content"]
    assert {name: completed.data[name] for name in done} == done


def test_a_background_turn_answers_at_once_and_is_read_or_followed_later(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(100)
    answer = api.call("POST", f"{conversation}/messages", {"content": "Count.", "background": True})
    assert answer.status_code == 202
    accepted = answer.json()
    assert (accepted["turn"]["status"], accepted["output"]) == ("running", [])
    assert answer.headers["location"] == f"/api/v1/turns/{accepted['turn']['id']}"
    events = follow(elsewhere, accepted["turn"]["id"])
    assert joined(events) == DEFAULT_TEXT
    assert events[0].data["input"] == accepted["input"]
    turn = elsewhere.get(f"/turns/{accepted['turn']['id']}")
    assert turn == events[-1].data["turn"]
    assert turn["status"] == "completed"


def test_a_turn_is_cancelled_from_another_process_and_stops_reading_the_model(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("stall", after_chunks=3, seconds=30.0, text=DEFAULT_TEXT)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        seen = [stream.next(), stream.next()]
        turn_id = seen[0].data["turn_id"]
        answer = elsewhere.call("POST", f"/turns/{turn_id}/cancel")
        assert answer.status_code == 200, answer.text
        rest = list(stream)
    assert rest[-1].name == "turn.cancelled"
    assert rest[-1].data["problem"]["code"] == "turn_cancelled"
    cancelled = answer.json()
    assert cancelled["status"] == "cancelled"
    assert cancelled["partial_text"] == joined([*seen, *rest])
    assert DEFAULT_TEXT.startswith(cancelled["partial_text"])
    assert [request.completed for request in model_server.requests()] == [False], "the connection was closed"
    assert elsewhere.call("POST", f"/turns/{turn_id}/cancel").json() == cancelled, "again changes nothing"
    assert [each["sender"] for each in api.get(conversation)["messages"]] == ["user"]
    assert api.make(f"{conversation}/messages", content="Go on")["turn"]["status"] == "completed"
    assert joined(follow(elsewhere, turn_id)) == cancelled["partial_text"]


def test_a_plain_turn_without_any_text_yet_is_cancelled_by_the_conversations_active_turn_id(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("slow_start", seconds=20.0)
    answers: list[Any] = []
    asking = threading.Thread(
        target=lambda: answers.append(api.call("POST", f"{conversation}/messages", {"content": "Hello"}))
    )
    asking.start()
    wait_until(lambda: elsewhere.get(conversation)["active_turn_id"] is not None)
    turn_id = elsewhere.get(conversation)["active_turn_id"]
    assert elsewhere.get(f"/turns/{turn_id}")["status"] == "running"
    assert elsewhere.call("POST", f"/turns/{turn_id}/cancel").json()["status"] == "cancelled"
    asking.join(10)
    (answer,) = answers
    assert (answer.status_code, answer.json()["code"]) == (409, "turn_cancelled")
    assert answer.json()["turn"]["status"] == "cancelled"


def test_a_turn_that_has_ended_is_not_cancelled(api: Api, conversation: str, elsewhere: Api) -> None:
    turn = api.make(f"{conversation}/messages", content="Hello")["turn"]
    answer = elsewhere.call("POST", f"/turns/{turn['id']}/cancel")
    assert (answer.status_code, answer.json()) == (200, turn)


def test_a_request_with_wait_gets_its_turn_when_the_other_has_ended(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(150)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        stream.next()
        answer = elsewhere.call("POST", f"{conversation}/messages?wait=0.2", {"content": "Now me"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conversation_busy")
        answer = elsewhere.call("POST", f"{conversation}/messages?wait=30", {"content": "Now me"})
    assert answer.status_code == 201, answer.text
    assert [each["content"] for each in api.get(conversation)["messages"]][:3] == ["Count.", DEFAULT_TEXT, "Now me"]


def test_the_turn_of_a_worker_that_was_killed_ends_as_interrupted_and_keeps_what_was_streamed(
    api: Api, conversation: str, another: Callable[[Path], BotServer], tmp_path: Path, model_server: ModelServer
) -> None:
    model_server.script("stall", after_chunks=4, seconds=30.0, text=DEFAULT_TEXT)
    with another(tmp_path) as doomed, Api(doomed.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        with there.stream(f"{conversation}/messages", content="Count.") as stream:
            started, first = stream.next(), stream.next()
            turn_id = started.data["turn_id"]
            followed: list[Event] = []
            following = threading.Thread(target=lambda: followed.extend(follow(api, turn_id, after=2)))
            following.start()
            wait_until(lambda: bool(followed) or "EVENT#" in _events_of(turn_id))
            doomed.kill()
    following.join(30)
    turn = api.get(f"/turns/{turn_id}")
    assert (turn["status"], turn["error"]["code"]) == ("interrupted", "turn_interrupted")
    assert turn["partial_text"]
    assert DEFAULT_TEXT.startswith(turn["partial_text"])
    assert turn["partial_text"] == first.data["text"] + joined(followed)
    assert (followed[-1].name, followed[-1].data["problem"]["code"]) == ("turn.failed", "turn_interrupted")
    assert numbers(followed) == sorted(numbers(followed))
    assert api.make(f"{conversation}/messages", content="Anybody?")["turn"]["status"] == "completed"


def _events_of(turn_id: str) -> str:
    from tests.raw import whole_table

    return str([key for key in whole_table() if key[0] == f"TURN#{turn_id}"])


def test_another_users_turn_looks_missing(api: Api, conversation: str, server: BotServer) -> None:
    from bot.access.keys import issue_key
    from tests.factories import make_user

    turn = api.make(f"{conversation}/messages", content="Hello")["turn"]
    key, _ = issue_key(make_user())
    with Api(server.url, key) as stranger:
        for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/cancel")):
            answer = stranger.call(method, f"/turns/{turn['id']}{path}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"content": "x", "stream": True, "background": True}, "stream"),
        ({"content": "x", "reply": False, "background": True}, "background"),
    ],
)
def test_contradictory_fields_are_refused(api: Api, conversation: str, body: Any, field: str) -> None:
    answer = api.call("POST", f"{conversation}/messages", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
