"""Following a conversation: what ends the stream, how many may follow, and how a stream joins what it does not see."""

import json
import queue
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.api import conversation_events as route
from bot.http.sse import KEEP_ALIVE
from bot.turns import conversation_follower
from bot.turns.follower_room import FollowerRoom
from bot.turns.positions import Position, position_of
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turns import end_turn
from models.table.tenancy import acting_for
from models.turn import EventId
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.scripted import Scripted, says
from tests.integration.api.test_api_reasoning import events_of, reasons
from tests.wire import recorded

MOMENT = datetime(2030, 1, 7, 9, 0, 0, 123456, tzinfo=UTC)


class Stream:
    """The events of a stream without an end, read by a thread of its own, because Flask binds the request to it."""

    def __init__(self, who: Caller, path: str, **query: Any) -> None:
        self._chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, args=(who, path, query))
        self._thread.start()

    def _read(self, who: Caller, path: str, query: Any) -> None:
        answer = who.client.open(f"{PREFIX}{path}/events", query_string=query)
        try:
            for chunk in answer.response:
                self._chunks.put(chunk.decode())
                if self._closed.is_set():
                    break
        finally:
            answer.close()
            self._chunks.put(None)

    def chunk(self) -> str | None:
        return self._chunks.get(timeout=20)

    def next(self) -> tuple[str, str, Any]:
        while (chunk := self.chunk()) == KEEP_ALIVE:
            pass
        assert chunk is not None, "the stream ended"
        ((number, name, data),) = events_of(chunk)
        return number, name, json.loads(data)

    def until(self, name: str) -> list[tuple[str, str, Any]]:
        found = [self.next()]
        while found[-1][1] != name:
            found.append(self.next())
        return found

    def close(self) -> None:
        self._closed.set()
        self._thread.join(20)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation_follower, "_PAUSE", 0.01)
    monkeypatch.setattr(conversation_follower, "KEEP_ALIVE_SECONDS", 0.1)


def test_a_revoked_key_ends_the_stream(
    ann: Caller, conversation: str, model: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route, "CHECK_SECONDS", 0.0)
    stream = Stream(ann, conversation)
    position, name, _ = stream.next()
    assert name == "conversation.followed"
    other = Caller(ann.app, ann.user)
    other.call("DELETE", f"/api-keys/{ann.key_entry.key_id}")
    model.script += [says("Hi.")]
    other.make(f"{conversation}/messages", content="Hello")
    ended = stream.next()
    assert ended[:2] == (position, "access.ended")
    assert ended[2]["problem"]["code"] == "unauthenticated"
    assert stream.chunk() is None
    stream = Stream(other, conversation, after=ended[0])
    assert [each[1] for each in stream.until("turn.completed")] == ["turn.started", "turn.completed"]
    stream.close()


def test_only_half_of_the_threads_follow_and_a_place_is_free_again_afterwards(
    app: OpenAPI, ann: Caller, conversation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = app.extensions["bot"]
    before = services.followers
    object.__setattr__(services, "followers", FollowerRoom(4))
    try:
        streams = [Stream(ann, conversation) for _ in range(2)]
        assert [stream.next()[1] for stream in streams] == ["conversation.followed"] * 2
        refused = ann.client.open(f"{PREFIX}{conversation}/events")
        assert (refused.status_code, refused.get_json()["code"]) == (503, "overloaded")
        assert refused.headers["Retry-After"] == "5"
        streams.pop().close()
        assert ann.client.open(f"{PREFIX}/conversations/conv_none/events").status_code == 404
        streams.append(Stream(ann, conversation))
        streams[-1].next()
        for stream in streams:
            stream.close()
        assert services.followers._room._value == 2
    finally:
        object.__setattr__(services, "followers", before)


def test_reasoning_is_included_on_request(ann: Caller, conversation: str, model: Scripted) -> None:
    plain, asked = Stream(ann, conversation), Stream(ann, conversation, include="reasoning")
    for stream in (plain, asked):
        stream.next()
    model.script += [reasons()]
    ann.call("POST", f"{conversation}/messages", {"content": "Why?", "stream": True}).get_data()
    assert [each[1] for each in plain.until("turn.completed")] == ["turn.started", "message.delta", "turn.completed"]
    events = asked.until("turn.completed")
    assert [each[1] for each in events] == [
        "turn.started",
        "reasoning.delta",
        "reasoning.delta",
        "message.delta",
        "turn.completed",
    ]
    assert events[-1][2]["output"][0]["reasoning"]
    again = Stream(ann, conversation, include="reasoning", after=events[1][0])
    assert again.until("turn.completed") == events[2:]
    for stream in (plain, asked, again):
        stream.close()


def test_a_turn_whose_record_was_deleted_is_reported_as_such(ann: Caller, conversation: str, model: Scripted) -> None:
    stream = Stream(ann, conversation)
    position = stream.next()[0]
    model.script += [says("Hi."), says("Ho.")]
    first, second = (ann.make(f"{conversation}/messages", content="Hello") for _ in range(2))
    (started, *_) = stream.until("turn.completed")
    stream.close()
    ann.call("DELETE", f"{conversation}/messages/{first['input'][0]['id']}")
    stream = Stream(ann, conversation, after=started[0])
    assert stream.next()[1:] == ("turn.deleted", {"turn_id": first["turn"]["id"]})
    stream.close()
    stream = Stream(ann, conversation, after=position)
    assert [each[1] for each in stream.until("turn.completed")] == ["message.added", "turn.started", "turn.completed"]
    stream.close()
    assert second["turn"]["status"] == "completed"


def test_a_deleted_newest_message_does_not_stop_the_stream(ann: Caller, conversation: str, model: Scripted) -> None:
    stream = Stream(ann, conversation)
    position = stream.next()[0]
    added = ann.say(conversation.rpartition("/")[2], "Oops")
    ann.delete(f"{conversation}/messages/{added}")
    ann.say(conversation.rpartition("/")[2], "What I meant")
    deleted = ann.say(conversation.rpartition("/")[2], "Oops again")
    ann.delete(f"{conversation}/messages/{deleted}")
    late = Stream(ann, conversation, after=position)
    assert late.next()[2]["message"]["content"] == "What I meant"
    ann.say(conversation.rpartition("/")[2], "And more")
    assert late.next()[2]["message"]["content"] == "And more"
    for each in (stream, late):
        each.close()


def test_a_quiet_conversation_costs_half_a_read_unit_per_look(ann: Caller, conversation: str) -> None:
    stream = Stream(ann, conversation)
    stream.next()
    assert stream.chunk() == KEEP_ALIVE
    with recorded() as sent:
        assert stream.chunk() == KEEP_ALIVE
    assert {request.pattern for request in sent} == {"AP-65"}
    stream.close()


@pytest.mark.parametrize(("quiet", "pause"), [(0, 1.0), (60, 1.0), (120, 2.0), (300, 5.0), (86_400, 5.0)])
def test_the_pauses_grow_while_nothing_happens(
    ann: Caller, conversation: str, monkeypatch: pytest.MonkeyPatch, quiet: float, pause: float
) -> None:
    monkeypatch.setattr(conversation_follower, "_PAUSE", 1.0)
    user_id = acting_for(ann.id)
    follower = conversation_follower._Follower(user_id, conversation.rpartition("/")[2], None, reasoning=False)
    assert follower._pause(quiet) == pause


def test_a_worker_that_died_is_noticed(ann: Caller, conversation: str, fake_clock: Any) -> None:
    conversation_id = conversation.rpartition("/")[2]
    stream = Stream(ann, conversation)
    stream.next()
    begin_turn(
        acting_for(ann.id), conversation_id, lambda _: [Draft("user", "Hello")], window=1, lease=timedelta(seconds=30)
    )
    assert stream.next()[1] == "turn.started"
    fake_clock.advance(minutes=2)
    _, name, data = stream.next()
    assert (name, data["problem"]["code"]) == ("turn.failed", "turn_interrupted")
    stream.close()


def test_a_silent_turn_is_found_hours_later_and_reported_before_what_followed(
    ann: Caller, conversation: str, fake_clock: Any
) -> None:
    conversation_id, user_id = conversation.rpartition("/")[2], acting_for(ann.id)
    ann.say(conversation_id, "Hello")
    stream = Stream(ann, conversation)
    position = stream.next()[0]
    stream.close()
    silent = []
    for content in ("Hours later", "A day later"):
        lease = begin_turn(
            user_id, conversation_id, lambda _: [], window=1, lease=timedelta(seconds=30), announced=True
        ).lease
        end_turn(lease, "failed", [], {"error": {"code": "provider_error", "detail": "It failed."}})
        silent.append(lease.turn_id)
        fake_clock.advance(hours=10)
        ann.say(conversation_id, content)
    expected = ["turn.started", "turn.failed", "message.added"] * 2
    stream = Stream(ann, conversation, after=position)
    events = [stream.next() for _ in expected]
    stream.close()
    assert [each[1] for each in events] == expected
    assert [each[2]["turn_id"] for each in events if each[1] == "turn.failed"] == silent
    for number, (after, _, _) in enumerate(events[:-1], 1):
        stream = Stream(ann, conversation, after=after)
        assert [stream.next()[:2] for _ in expected[number:]] == [each[:2] for each in events[number:]]
        stream.close()


def test_a_silent_turn_of_a_host_with_a_slow_clock_is_found(ann: Caller, conversation: str, fake_clock: Any) -> None:
    conversation_id, user_id = conversation.rpartition("/")[2], acting_for(ann.id)
    added = ann.say(conversation_id, "Hello")
    stream = Stream(ann, conversation)
    position = stream.next()[0]
    stream.close()
    fake_clock.advance(minutes=-10)
    lease = begin_turn(
        user_id, conversation_id, lambda _: [], window=1, lease=timedelta(seconds=30), announced=True
    ).lease
    end_turn(lease, "failed", [], {"error": {"code": "provider_error", "detail": "It failed."}})
    for after in (position, position):
        stream = Stream(ann, conversation, after=after)
        assert [each[1] for each in stream.until("turn.failed")] == ["turn.started", "turn.failed"]
        stream.close()
    assert added


@pytest.mark.parametrize(
    "position",
    [
        Position(fence=0),
        Position(MOMENT, 7),
        Position(MOMENT, 7, "turn_" + "0" * 26, EventId(5)),
        Position(MOMENT, 7, "turn_" + "0" * 26, EventId(5, 2)),
    ],
    ids=str,
)
def test_a_position_is_read_as_it_was_written(position: Position) -> None:
    assert position_of(str(position)) == position
