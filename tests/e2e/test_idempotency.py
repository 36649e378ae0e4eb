"""`Idempotency-Key` with two processes on one table: one effect and one model call, whatever happens in between."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.e2e.bot_server import Api, BotServer, Stream
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import wait_until

AT_ONCE = 100
KEYS = 10


def post(api: Api, path: str, body: Any, key: str) -> httpx2.Response:
    return api.http.post(path, json=body, headers={"Idempotency-Key": key})


def told(answer: httpx2.Response) -> tuple[int, Any]:
    body = answer.json()
    body.pop("request_id", None)
    return answer.status_code, body


def at_once(works: Sequence[Callable[[], httpx2.Response]]) -> list[httpx2.Response]:
    barrier = threading.Barrier(len(works))

    def start(work: Callable[[], httpx2.Response]) -> httpx2.Response:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(start, works))


def test_a_hundred_at_the_same_instant_on_two_processes_are_one_turn_and_one_model_call(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("slow_start", seconds=0.5)
    path, body = f"{conversation}/messages", {"content": "Hello"}

    answers = at_once([lambda at=at: post(at, path, body, "k") for at in [api, elsewhere] * (AT_ONCE // 2)])

    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers][:3]
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == AT_ONCE - 1
    assert len(model_server.requests()) == 1
    assert [each["sender"] for each in api.get(conversation)["messages"]] == ["user", "agent"]


def test_many_keys_at_once_are_one_turn_and_one_model_call_each(
    api: Api, elsewhere: Api, model_server: ModelServer
) -> None:
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test")
    conversations = [f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}" for _ in range(KEYS)]
    works = [
        lambda at=at, path=path: post(at, f"{path}/messages", {"content": "Hello"}, "k")
        for path in conversations
        for at in [api, elsewhere] * 3
    ]
    assert {answer.status_code for answer in at_once(works)} == {201}
    assert len(model_server.requests()) == KEYS
    for path in conversations:
        assert api.get(path)["message_count"] == 2


@pytest.mark.parametrize(
    ("scenario", "options", "status", "code"),
    [
        ("rate_limit", {"retry_after": 7.0}, 503, "provider_rate_limited"),
        ("error", {"status": 500}, 502, "provider_error"),
        ("truncate", {}, 502, "provider_incomplete"),
    ],
)
def test_a_failed_turn_is_replayed_word_for_word_without_a_model_call(
    api: Api,
    conversation: str,
    elsewhere: Api,
    model_server: ModelServer,
    scenario: str,
    options: Any,
    status: int,
    code: str,
) -> None:
    model_server.script(scenario, **options)
    path, body = f"{conversation}/messages", {"content": "Hello"}
    first = post(api, path, body, "k")
    assert (first.status_code, first.json()["code"]) == (status, code)
    asked = len(model_server.requests())
    for at in (api, elsewhere):
        again = post(at, path, body, "k")
        assert told(again) == told(first)
        assert again.headers.get("Retry-After") == first.headers.get("Retry-After")
    assert len(model_server.requests()) == asked


def test_a_turn_whose_worker_was_killed_is_replayed_as_interrupted(
    api: Api, conversation: str, another: Callable[[Path], BotServer], tmp_path: Path, model_server: ModelServer
) -> None:
    model_server.script("stall", after_chunks=2, seconds=30.0, text=DEFAULT_TEXT)
    path, body = f"{conversation}/messages", {"content": "Count."}
    with another(tmp_path) as doomed, Api(doomed.url) as there:
        there.http.headers["Authorization"] = api.http.headers["Authorization"]

        def ask() -> None:
            with pytest.raises(httpx2.HTTPError):
                post(there, path, body, "k")

        asking = threading.Thread(target=ask)
        asking.start()
        wait_until(lambda: api.get(conversation)["active_turn_id"] is not None)
        doomed.kill()
    asking.join(10)
    again = post(api, path, body, "k")
    assert (again.status_code, again.json()["code"]) == (503, "turn_interrupted")
    assert told(post(api, path, body, "k")) == told(again)
    assert len(model_server.requests()) <= 1
    assert [each["sender"] for each in api.get(conversation)["messages"]] == ["user"]


def test_a_stream_that_still_runs_is_joined_from_its_start_at_another_process(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(100)
    path, body = f"{conversation}/messages", {"content": "Count.", "stream": True}
    key = {"Idempotency-Key": "k"}
    with api.http.stream("POST", path, json=body, headers=key) as first:
        stream = Stream(first)
        started = stream.next()
        with elsewhere.http.stream("POST", path, json=body, headers=key) as again:
            assert again.headers["Idempotent-Replayed"] == "true"
            joined = list(Stream(again))
        whole = [started, *stream]
    assert joined == whole
    assert len(model_server.requests()) == 1


def test_a_background_turn_that_still_runs_is_accepted_again(
    api: Api, conversation: str, elsewhere: Api, model_server: ModelServer
) -> None:
    model_server.script("slow_start", seconds=1.0)
    path, body = f"{conversation}/messages", {"content": "Hello", "background": True}
    answers = [post(at, path, body, "k") for at in (api, elsewhere)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert told(answers[0]) == told(answers[1])
    assert answers[0].headers["location"] == answers[1].headers["location"]
    turn = answers[0].json()["turn"]["id"]
    wait_until(lambda: api.get(f"/turns/{turn}")["status"] == "completed")
    assert told(post(elsewhere, path, body, "k")) == told(answers[0])
    assert len(model_server.requests()) == 1
