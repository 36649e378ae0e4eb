"""Two processes whose clocks are five minutes apart."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event as Flag

import pytest

from tests.chaos.conftest import StartServer, talking
from tests.chaos.run import Chaos
from tests.chaos.talk import LEASE, WORDS, Talk, agrees, in_one_order, joined, numbered
from tests.e2e.bot_server import BotServer
from tests.model_server import ModelServer

APART_SECONDS = 300


@pytest.fixture(scope="module")
def skewed(start_server: StartServer) -> Iterator[tuple[BotServer, BotServer]]:
    """Two servers: one clock is behind by half of `APART_SECONDS`, the other ahead by as much."""
    half = APART_SECONDS / 2
    with (
        start_server("slow", CHAOS_CLOCK_SECONDS=str(-half)) as slow,
        start_server("fast", CHAOS_CLOCK_SECONDS=str(half)) as fast,
    ):
        yield slow, fast


@pytest.fixture
def apart(skewed: tuple[BotServer, BotServer]) -> Iterator[tuple[Talk, Talk]]:
    """The same new user, calling both."""
    with talking(*skewed) as (slow, fast):
        yield slow, fast


def test_messages_stand_in_the_order_in_which_they_were_accepted(
    apart: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    model_server.script("text", text=WORDS, times=None)
    conversation = apart[0].new_conversation()
    accepted: list[str] = []
    for number in range(chaos.size(20, 300)):
        at = chaos.random.choice(apart)
        reply = chaos.random.random() < 0.3
        made = at.api.make(f"{conversation}/messages", content=f"Message {number}", reply=reply)
        accepted += [each["id"] for each in made["input"] + made["output"]]
        chaos.count("messages", len(made["input"] + made["output"]))
    for each in apart:
        messages = each.history(conversation)
        in_one_order(messages)
        assert [message["id"] for message in messages] == accepted
        assert [message["id"] for message in each.history(conversation, "desc")] == accepted[::-1]


def test_a_lease_is_not_stolen_by_the_process_whose_clock_is_ahead(
    apart: tuple[Talk, Talk], model_server: ModelServer, chaos: Chaos
) -> None:
    # Longer than the lease, so that it must be renewed, by DynamoDB's clock.
    model_server.script("text", text=WORDS, times=None).pace(int(LEASE * 1600 / 12))
    for number in range(chaos.size(2, 10)):
        here, there = apart if number % 2 else apart[::-1]
        conversation = here.new_conversation()
        begun = Flag()
        with ThreadPoolExecutor(1) as client:
            talk = client.submit(here.listen, conversation, "Take your time.", until=1, reached=begun)
            begun.wait()
            (asked,) = there.history(conversation)
            while not talk.done():
                refused = there.api.call("POST", f"{conversation}/messages", {"content": "Now me"})
                if refused.status_code == 201:
                    break
                assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy"), refused.text
                chaos.count("attempts to take over")
                assert there.api.get(f"/turns/{asked['turn_id']}")["status"] in ("running", "completed")
                time.sleep(chaos.random.uniform(0.05, 0.4))
            heard = talk.result()
        turn = there.api.get(f"/turns/{asked['turn_id']}")
        assert (turn["status"], heard.ended_as, heard.text) == ("completed", "turn.completed", WORDS)
        chaos.count("turns longer than their lease")
        messages = there.history(conversation)
        in_one_order(messages)
        agrees(turn, messages)
        replayed = there.follow(turn["id"])
        numbered(replayed)
        assert joined(replayed) == WORDS
