"""A conversation is followed at one process while others talk in it at another."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.bot_server import Api, BotServer, Event, Stream
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import wait_until

SOON = 20.0
ENDS = ("turn.completed", "turn.failed", "turn.cancelled")


class Follower:
    """A client that follows a conversation in the background."""

    def __init__(self, api: Api, conversation: str, **params: Any) -> None:
        self.events: list[Event] = []
        self._arrived: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._streams: list[Stream] = []
        self._api, self._path, self._params = api, f"{conversation}/events", params
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._opened.wait(SOON)

    def _read(self) -> None:
        with (
            contextlib.suppress(Exception),
            self._api.http.stream("GET", self._path, params=self._params) as response,
        ):
            assert response.status_code == 200
            stream = Stream(response)
            self._streams.append(stream)
            self._opened.set()
            for event in stream:
                self._arrived.put(event)
        self._arrived.put(None)

    def next(self) -> Event:
        event = self._arrived.get(timeout=SOON)
        assert event is not None, "the stream ended"
        self.events.append(event)
        return event

    def until(self, name: str, times: int = 1) -> list[Event]:
        """Return the events up to the `times`th one with this name."""
        found = []
        while times:
            found.append(self.next())
            times -= found[-1].name == name
        return found

    def ended(self) -> bool:
        """Wait for the end of the stream."""
        return self._arrived.get(timeout=SOON) is None

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


@pytest.fixture
def follow() -> Iterator[Callable[..., Follower]]:
    made: list[Follower] = []

    def start(api: Api, conversation: str, **params: Any) -> Follower:
        made.append(Follower(api, conversation, **params))
        return made[-1]

    yield start
    for follower in made:
        follower.close()


Follow = Callable[..., Follower]


def comparable(event: Event) -> tuple[str, str, Any]:
    """Return an event without the ids of requests."""
    data = dict(event.data)
    data["problem"] = {name: value for name, value in data.get("problem", {}).items() if name != "request_id"}
    return event.id, event.name, data


def read_after(api: Api, conversation: str, position: str, last: str) -> list[tuple[str, str, Any]]:
    """Return the events after a position, up to the one with the id `last`."""
    found = []
    with api.http.stream("GET", f"{conversation}/events", headers={"Last-Event-ID": position}) as response:
        assert response.status_code == 200, response.read()
        for event in Stream(response):
            found.append(comparable(event))
            if event.id == last:
                break
    return found


def assert_resumable(api: Api, conversation: str, events: list[Event]) -> None:
    """A client that reconnects after any event gets exactly the following ones."""
    assert len({event.id for event in events}) == len(events)
    for position, event in enumerate(events[:-1]):
        rest = read_after(api, conversation, event.id, events[-1].id)
        assert rest == [comparable(each) for each in events[position + 1 :]], event


def test_turns_of_all_kinds_at_another_process_appear_and_the_stream_resumes_after_any_event(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    follower = follow(api, conversation)
    followed = follower.next()
    assert (followed.name, followed.data["active_turn_id"]) == ("conversation.followed", None)

    plain = elsewhere.make(f"{conversation}/messages", content="One")
    started, completed = follower.until("turn.completed")
    assert (started.name, started.data["input"]) == ("turn.started", plain["input"])
    assert {name: completed.data[name] for name in plain} == plain
    assert completed.data["turn_id"] == started.data["turn_id"] == plain["turn"]["id"]

    added = elsewhere.make(f"{conversation}/messages", content="By the way", reply=False)
    assert follower.next().data == {"message": added["input"][0]}

    model_server.script("text", text=DEFAULT_TEXT).pace(50)
    with elsewhere.stream(f"{conversation}/messages", content="Two") as stream:
        live = list(stream)
    seen = follower.until("turn.completed")
    assert [(event.name, event.data["sequence"], event.data.get("text")) for event in seen] == [
        (event.name, event.data["sequence"], event.data.get("text")) for event in live
    ]

    with elsewhere.stream(f"{conversation}/messages", content="Three", keep_stream=False) as stream:
        *_, last = stream
    seen = follower.until("turn.completed")
    assert [event.name for event in seen] == ["turn.started", "turn.completed"], "the text comes with the end"
    assert seen[-1].data["output"] == last.data["output"]

    elsewhere.call("POST", f"{conversation}/messages", {"content": "Four", "background": True})
    assert follower.until("turn.completed")[0].data["input"][0]["content"] == "Four"

    model_server.script("error", status=500)
    assert elsewhere.call("POST", f"{conversation}/messages", {"content": "Five"}).status_code == 502
    failed = follower.until("turn.failed")
    assert [event.name for event in failed] == ["turn.started", "turn.failed"]
    assert failed[-1].data["problem"]["code"] == "provider_error"

    model_server.script("error", status=500)
    assert elsewhere.call("POST", f"{conversation}/turns").status_code == 502
    silent = follower.until("turn.failed")
    assert silent[0].data["input"] == [], "it left no message, and is seen all the same"
    model_server.reset()
    elsewhere.make(f"{conversation}/turns")
    assert follower.until("turn.completed")[0].data["input"] == []

    assert_resumable(elsewhere, conversation, follower.events)


def test_a_client_that_was_away_gets_all_that_happened_in_order(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    follower = follow(api, conversation)
    position = follower.next().id
    follower.close()
    model_server.script("error", status=500, times=2)
    for _ in range(2):
        assert elsewhere.call("POST", f"{conversation}/messages", {"content": "Hello"}).status_code == 502
    for _ in range(2):
        model_server.script("error", status=500)
        assert elsewhere.call("POST", f"{conversation}/turns").status_code == 502
    model_server.reset()
    elsewhere.make(f"{conversation}/messages", content="Aside", reply=False)
    elsewhere.make(f"{conversation}/messages", content="Again")
    model_server.script("error", status=500)
    assert elsewhere.call("POST", f"{conversation}/turns").status_code == 502
    back = follow(api, conversation, after=position)
    seen = back.until("turn.completed") + back.until("turn.failed")
    assert [event.name for event in seen] == [
        *["turn.started", "turn.failed"] * 4,
        "message.added",
        "turn.started",
        "turn.completed",
        "turn.started",
        "turn.failed",
    ]
    assert len({event.data["turn_id"] for event in seen if event.name in ENDS}) == 6
    assert_resumable(elsewhere, conversation, seen)


def test_a_running_turn_is_joined_with_its_input_and_its_text_so_far(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(120)
    with elsewhere.stream(f"{conversation}/messages", content="Count.") as stream:
        live = [stream.next() for _ in range(4)]
        aside = elsewhere.make(f"{conversation}/messages", content="Meanwhile", reply=False)
        follower = follow(api, conversation)
        assert follower.next().data["active_turn_id"] == live[0].data["turn_id"]
        live += list(stream)
    seen = follower.until("turn.completed")
    of_turn = [event for event in seen if event.name != "message.added"]
    assert [event.data["sequence"] for event in of_turn] == [int(event.id) for event in live]
    assert of_turn[0].data["input"] == live[0].data["input"]
    assert [event.data["message"] for event in seen if event.name == "message.added"] == aside["input"]


def test_a_plain_turn_that_is_running_is_joined_too(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    model_server.script("slow_start", seconds=3.0)
    asking = threading.Thread(target=lambda: elsewhere.make(f"{conversation}/messages", content="Slowly"))
    asking.start()
    wait_until(lambda: api.get(conversation)["active_turn_id"] is not None)
    (message,) = api.get(conversation)["messages"]
    follower, late = follow(api, conversation), follow(api, conversation, after=message["id"])
    assert follower.next().data["active_turn_id"] is not None
    for each in (follower, late):
        started, completed = each.until("turn.completed")
        assert [message["content"] for message in started.data["input"]] == ["Slowly"]
        assert completed.data["output"]
    asking.join(SOON)
    assert_resumable(api, conversation, follower.events)


def test_a_cancelled_turn_and_one_whose_worker_died_end_for_the_follower(
    api: Api,
    conversation: str,
    another: Callable[[Path], BotServer],
    tmp_path: Path,
    model_server: ModelServer,
    follow: Follow,
) -> None:
    follower = follow(api, conversation)
    follower.next()
    model_server.script("stall", after_chunks=4, seconds=30.0, text=DEFAULT_TEXT, times=2)
    with another(tmp_path) as doomed, Api(doomed.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        with there.stream(f"{conversation}/messages", content="Count.") as stream:
            turn_id = stream.next().data["turn_id"]
            api.call("POST", f"/turns/{turn_id}/cancel")
            assert follower.until("turn.cancelled")[-1].data["turn"]["status"] == "cancelled"
        with there.stream(f"{conversation}/messages", content="Again.") as stream:
            started = stream.next()
            assert follower.until("message.delta")[0].data["turn_id"] == started.data["turn_id"]
            doomed.kill()
    failed = follower.until("turn.failed")[-1]
    assert failed.data["problem"]["code"] == "turn_interrupted"
    assert_resumable(api, conversation, follower.events)


def test_the_stream_ends_when_the_conversation_is_deleted(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    follower = follow(api, conversation)
    position = follower.next().id
    elsewhere.make(f"{conversation}/messages", content="Hello")
    follower.until("turn.completed")
    assert elsewhere.call("DELETE", conversation).status_code in (202, 204)
    assert follower.next().name == "conversation.deleted"
    assert follower.ended()
    answer = api.call("GET", f"{conversation}/events", after=position)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_follower_that_does_not_read_delays_nobody(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer, follow: Follow
) -> None:
    text = "x" * 20_000
    with api.http.stream("GET", f"{conversation}/events") as response:
        assert response.status_code == 200
        for number in range(40):
            api.make(f"{conversation}/messages", content=f"{number} {text}", reply=False)
        started = time.monotonic()
        api.make(f"{conversation}/messages", content="Hello")
        assert time.monotonic() - started < 10
        follower = follow(api, conversation)
        follower.next()
        elsewhere.make(f"{conversation}/messages", content="And you?")
        follower.until("turn.completed")


def test_a_page_of_hundreds_of_messages_comes_whole_and_in_order(
    api: Api, conversation: str, elsewhere: Api, follow: Follow
) -> None:
    follower = follow(api, conversation)
    position = follower.next().id
    follower.close()
    for number in range(230):
        elsewhere.make(f"{conversation}/messages", content=str(number), reply=False)
    seen = follow(api, conversation, after=position).until("message.added", times=230)
    assert [event.data["message"]["content"] for event in seen] == [str(number) for number in range(230)]


def test_a_server_that_stops_ends_its_followers_at_once_and_they_go_on_elsewhere(
    api: Api,
    conversation: str,
    elsewhere: Api,
    another: Callable[[Path], BotServer],
    tmp_path: Path,
    model_server: ModelServer,
    follow: Follow,
) -> None:
    with another(tmp_path) as stopping, Api(stopping.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        follower = follow(there, conversation)
        position = follower.next().id
        started = time.monotonic()
        assert stopping.stop() == 0
        assert time.monotonic() - started < 15, "not only after BOT_GRACEFUL_TIMEOUT"
        assert follower.ended()
    api.make(f"{conversation}/messages", content="Hello")
    assert follow(elsewhere, conversation, after=position).until("turn.completed")


def test_somebody_elses_conversation_looks_missing(api: Api, conversation: str, server: BotServer) -> None:
    from bot.access.keys import issue_key
    from tests.factories import make_user

    with Api(server.url, issue_key(make_user())[0]) as stranger:
        for path in (f"{conversation}/events", "/conversations/conv_none/events"):
            answer = stranger.call("GET", path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_key_of_one_agent_follows_only_conversations_with_it(
    api: Api, conversation: str, server: BotServer, model_server: ModelServer, follow: Follow
) -> None:
    agent = api.get(conversation)["agent_id"]
    other = api.make("/agents", name="Bo", provider="openai", model="gpt-test")["id"]
    keys = [api.make("/api-keys", name="one", scope="agent", agent_id=each)["key"] for each in (agent, other)]
    with Api(server.url, keys[0]) as allowed, Api(server.url, keys[1]) as refused:
        follower = follow(allowed, conversation)
        follower.next()
        assert refused.call("GET", f"{conversation}/events").status_code == 404
        api.make(f"{conversation}/messages", content="Hello")
        follower.until("turn.completed")


@pytest.mark.parametrize("given", ["x", "1", "1.2.3", "-1.0", "1.0.turn_x.1", "9" * 18 + ".1"])
def test_an_invalid_position_is_refused(api: Api, conversation: str, given: str) -> None:
    answer = api.call("GET", f"{conversation}/events", after=given)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
    answer = api.http.get(f"{conversation}/events", headers={"Last-Event-ID": given})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "Last-Event-ID")
