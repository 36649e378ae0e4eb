"""Streams that are not stored while they run, on two processes: resumed, replayed, cancelled, orphaned."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.turn import UNKEPT_END
from tests.e2e.bot_server import Api, BotServer, Event, Stream
from tests.e2e.test_following import _events_of, follow, joined, numbers
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import wait_until

UNKEPT = {"content": "Count.", "keep_stream": False}


def as_sent(events: list[Event]) -> list[Any]:
    """Return the events without the ids of their requests."""
    sent = [(event.id, event.name, dict(event.data)) for event in events]
    for _, _, data in sent:
        data.get("problem", {}).pop("request_id", None)
    return sent


def test_a_dropped_stream_gets_the_rest_at_its_end_from_another_process(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(100)
    with api.stream(f"{conversation}/messages", **UNKEPT) as stream:
        seen = [stream.next() for _ in range(3)]
        stream.close()
    turn_id = seen[0].data["turn_id"]
    assert elsewhere.get(f"/turns/{turn_id}")["status"] == "running"

    rest = follow(elsewhere, turn_id, **{"Last-Event-ID": seen[-1].id})

    assert joined([*seen, *rest]) == DEFAULT_TEXT
    assert numbers([*seen, *rest]) == list(range(1, len(seen) + len(rest) + 1))
    assert rest[-1].name == "turn.completed"
    for at in (api, elsewhere):
        assert follow(at, turn_id) == [*seen, *rest]
    assert _events_of(turn_id) == "[]"


def test_a_repeated_key_follows_the_running_turn_and_sends_the_same_events(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(100)
    headers = {"Idempotency-Key": "k"}
    body = {**UNKEPT, "stream": True}
    repeated: list[Event] = []

    def repeat() -> None:
        with elsewhere.http.stream("POST", f"{conversation}/messages", json=body, headers=headers) as response:
            repeated.extend(Stream(response))

    with api.http.stream("POST", f"{conversation}/messages", json=body, headers=headers) as response:
        stream = Stream(response)
        first = stream.next()
        repeating = threading.Thread(target=repeat)
        repeating.start()
        events = [first, *stream]
    repeating.join(30)
    assert repeated == events
    assert len(model_server.requests()) == 1


def test_a_stream_that_is_cancelled_elsewhere_is_replayed_as_far_as_it_was_sent(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("stall", after_chunks=3, seconds=30.0, text=DEFAULT_TEXT)
    with api.stream(f"{conversation}/messages", **UNKEPT) as stream:
        seen = [stream.next(), stream.next()]
        turn_id = seen[0].data["turn_id"]
        cancelled = elsewhere.call("POST", f"/turns/{turn_id}/cancel").json()
        events = [*seen, *stream]
    assert (cancelled["status"], events[-1].name) == ("cancelled", "turn.cancelled")
    assert cancelled["partial_text"] == joined(events)
    assert as_sent(follow(elsewhere, turn_id)) == as_sent(events)
    assert as_sent(follow(elsewhere, turn_id, after=2)) == as_sent(events[2:])


def test_the_stream_of_a_killed_worker_ends_once_for_a_client_that_resumes_and_says_what_is_lost(
    api: Api, conversation: str, another: Callable[[Path], BotServer], tmp_path: Path, model_server: ModelServer
) -> None:
    model_server.script("stall", after_chunks=4, seconds=30.0, text=DEFAULT_TEXT)
    with another(tmp_path) as doomed, Api(doomed.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        with there.stream(f"{conversation}/messages", **UNKEPT) as stream:
            seen = [stream.next(), stream.next()]
            turn_id = seen[0].data["turn_id"]
            time.sleep(0.7)
            doomed.kill()
    (ended,) = follow(api, turn_id, after=int(seen[-1].id))
    assert (ended.name, int(ended.id)) == ("turn.failed", UNKEPT_END)
    assert ended.data["problem"]["code"] == "turn_interrupted"
    assert ended.data["turn"]["partial_text"] is None
    assert ended.data["turn"]["error"]["detail"].endswith("Its text was not stored while it ran.")
    assert [event.name for event in follow(api, turn_id)] == ["turn.started", "turn.failed"]
    assert api.call("GET", f"/turns/{turn_id}/events", after=int(ended.id)).status_code == 204
    assert api.make(f"{conversation}/messages", content="Anybody?")["turn"]["status"] == "completed"


def test_a_background_turn_that_is_not_kept_is_followed_to_its_end_from_elsewhere(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(100)
    accepted = api.call("POST", f"{conversation}/messages", {**UNKEPT, "background": True}).json()
    turn_id = accepted["turn"]["id"]
    with elsewhere.http.stream("GET", f"/turns/{turn_id}/events") as response:
        stream = Stream(response)
        started = stream.next()
        assert elsewhere.get(f"/turns/{turn_id}")["status"] == "running", "its start comes at once"
        events = [started, *stream]
    assert (joined(events), events[-1].name) == (DEFAULT_TEXT, "turn.completed")
    assert numbers(events) == list(range(1, len(events) + 1))
    assert _events_of(turn_id) == "[]"


def test_the_deployment_stores_larger_batches(api: Api, table: Any, tmp_path: Path, model_server: ModelServer) -> None:
    from tests.e2e.bot_server import environment

    env = environment(
        tmp_path / "data",
        table,
        OPENAI_BASE_URL=model_server.base_url,
        OPENAI_API_KEY="sk-test-0123456789abcdef",
        BOT_STREAM_BATCH_SECONDS="10",
    )
    model_server.script("text", text=DEFAULT_TEXT).pace(30)
    with BotServer(env=env, log=tmp_path / "log") as server, Api(server.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]
        agent = there.make("/agents", name="Ada", provider="openai", model="gpt-test")
        path = f"/conversations/{there.make('/conversations', agent_id=agent['id'])['id']}"
        with there.stream(f"{path}/messages", content="Count.") as stream:
            events = list(stream)
        turn_id = events[0].data["turn_id"]
        wait_until(lambda: there.get(f"/turns/{turn_id}")["status"] == "completed")
        assert follow(api, turn_id) == events
    assert _events_of(turn_id).count("EVENT#") == 1, "all of it was written when the turn ended"
