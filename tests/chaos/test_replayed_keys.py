"""A request that is repeated with its `Idempotency-Key`: at once, later, at another process, and during failures."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.chaos.conftest import StartServer, talking
from tests.chaos.fault_proxy import READ_TIMEOUT, Faults, fault_proxy
from tests.chaos.run import Chaos
from tests.chaos.talk import WORDS, Talk, in_one_order
from tests.e2e.bot_server import BotServer
from tests.model_server import ModelServer
from tests.together import at_once

ALL_AT_ONCE = 100
TALKERS = 4


def post(talk: Talk, path: str, body: Any, key: str) -> httpx2.Response:
    """Send a request with a key, and repeat it while the first one is still running."""
    while True:
        answer = talk.api.http.post(path, json=body, headers={"Idempotency-Key": key})
        if answer.status_code != 409 or answer.json()["code"] != "idempotency_in_progress":
            return answer


def test_a_hundred_times_at_the_same_instant_is_one_effect_and_one_model_call(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    model_server.script("text", text=WORDS, times=None).pace(20)
    conversation = both[0].new_conversation()
    path, body = f"{conversation}/messages", {"content": "Hello"}
    answers = at_once([lambda at=at: post(at, path, body, "k") for at in both * (ALL_AT_ONCE // 2)])
    chaos.count("requests", len(answers))
    errors = [answer for answer in answers if isinstance(answer, Exception)]
    assert not errors, errors[:3]
    different = {(answer.status_code, answer.text) for answer in answers if not isinstance(answer, Exception)}
    assert len(different) == 1, different
    assert different.pop()[0] == 201
    assert len(model_server.requests()) == 1
    assert [each["sender"] for each in both[1].history(conversation)] == ["user", "agent"]
    chaos.count("effects")
    chaos.count("model calls", len(model_server.requests()))


def test_a_replayed_key_has_one_effect_and_one_model_call(
    both: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    model_server.script("text", text=WORDS, times=None)
    each_takes = chaos.size(20, 1000) // TALKERS

    def talk_on(name: int) -> int:
        drawn = chaos.drawing(name)
        conversation = drawn.choice(both).new_conversation()
        replays = turns = 0
        contents: list[str] = []
        while len(contents) < each_takes:
            key = content = f"{name} {len(contents)}"
            body = {"content": content, "reply": drawn.random() < 0.4}
            first = post(drawn.choice(both), f"{conversation}/messages", body, key)
            assert first.status_code == 201, first.text
            contents.append(content)
            turns += body["reply"]
            for _ in range(drawn.randint(1, 4)):
                again = post(drawn.choice(both), f"{conversation}/messages", body, key)
                assert (again.status_code, again.text) == (first.status_code, first.text)
                replays += 1
            other = post(drawn.choice(both), f"{conversation}/messages", {**body, "content": "Another"}, key)
            assert other.status_code == 422, other.text
        messages = both[0].history(conversation)
        in_one_order(messages)
        assert [each["content"] for each in messages if each["sender"] == "user"] == contents
        chaos.count("keys", len(contents))
        chaos.count("replays", replays)
        return turns

    with ThreadPoolExecutor(TALKERS) as pool:
        turns = sum(pool.map(talk_on, range(TALKERS)))
    assert len(model_server.requests()) == turns
    chaos.count("turns with one model call each", turns)


@pytest.fixture
def faults(chaos: Chaos) -> Faults:
    return Faults(chaos.seed)


@pytest.fixture
def broken(engine: str, start_server: StartServer, faults: Faults) -> Iterator[tuple[BotServer, BotServer]]:
    """Two processes that reach the table only through the fault proxy."""
    with (
        fault_proxy(engine, faults) as endpoint,
        start_server("broken-1", endpoint, CHAOS_READ_TIMEOUT=str(READ_TIMEOUT)) as first,
        start_server("broken-2", endpoint, CHAOS_READ_TIMEOUT=str(READ_TIMEOUT)) as second,
    ):
        yield first, second


def test_who_asks_again_until_there_is_an_answer_is_heard_exactly_once(
    broken: tuple[BotServer, BotServer], faults: Faults, chaos: Chaos
) -> None:
    faults.share = 0.4
    wanted = chaos.size(60, 1000)

    def ask_until_answered(talk: Talk, conversation: str, content: str, drawn: random.Random) -> str:
        for _ in range(100):
            answer = post(talk, f"{conversation}/messages", {"content": content, "reply": False}, content)
            if answer.status_code == 201:
                found: str = answer.json()["input"][0]["id"]
                return found
            assert answer.status_code == 503, answer.text
            chaos.count("answers 503, retried")
        raise AssertionError("it was never answered")

    with talking(*broken) as talks, ThreadPoolExecutor(TALKERS) as pool:
        conversations = [talks[0].new_conversation() for _ in range(TALKERS)]

        def talk_on(name: int) -> list[str]:
            drawn = chaos.drawing(name)
            said = []
            while faults.made.total() < wanted:
                said.append(ask_until_answered(drawn.choice(talks), conversations[name], f"Message {len(said)}", drawn))
            return said

        faults.armed = True
        said = list(pool.map(talk_on, range(TALKERS)))
        faults.armed = False
        chaos.count("faults", faults.made.total())
        for conversation, ids in zip(conversations, said, strict=True):
            messages = talks[0].history(conversation)
            in_one_order(messages)
            assert [each["id"] for each in messages] == ids
            chaos.count("messages, each present once", len(ids))
