"""Workers that are killed, or suspended and resumed too late, at any moment of a streamed turn."""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event as Flag

import pytest

from tests.chaos.conftest import StartServer, talking
from tests.chaos.run import Chaos
from tests.chaos.talk import WORDS, Heard, Talk, agrees, in_one_order, joined, numbered
from tests.e2e.bot_server import BotServer, Event
from tests.model_server import ModelServer
from tests.processes import only_linux, wait_until

AT_ONCE = 3
_PACE_MS = 40
# The events of an answer of twelve words, and the moments before the first and after the last.
_MOMENTS = range(16)

pytestmark = only_linux


@pytest.fixture(scope="module")
def victim(start_server: StartServer) -> Iterator[BotServer]:
    """A server whose worker is killed repeatedly; its master starts the next one."""
    server = start_server("victim")
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def callers(_servers: tuple[BotServer, BotServer], victim: BotServer) -> Iterator[tuple[Talk, Talk]]:
    """The same user, calling the victim and a process that survives."""
    with talking(victim, _servers[1]) as (there, here):
        yield there, here


def only_worker(victim: BotServer) -> int:
    """Return the process id of the serving worker."""
    wait_until(lambda: len(victim.workers) == 1)
    (worker,) = victim.workers
    return worker


def kill_worker(victim: BotServer) -> None:
    """Kill the serving worker, as the kernel does when memory runs out."""
    worker = only_worker(victim)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: worker not in victim.workers)


def test_kill_minus_nine_loses_no_acknowledged_message_and_leaves_no_half_turn(
    callers: tuple[Talk, Talk], victim: BotServer, model_server: ModelServer, chaos: Chaos
) -> None:
    there, here = callers
    model_server.script("text", text=WORDS, times=None).pace(_PACE_MS)
    checks: list[Future[None]] = []
    with ThreadPoolExecutor(AT_ONCE) as clients, ThreadPoolExecutor(4 * AT_ONCE) as checking:
        for number in range(chaos.size(10, 200)):
            conversations = [here.new_conversation() for _ in range(AT_ONCE)]
            reached = Flag()
            moment = chaos.random.choice(_MOMENTS)
            talks = [
                clients.submit(there.listen, each, f"Question {number}", until=moment, reached=reached)
                for each in conversations
            ]
            reached.wait()
            time.sleep(chaos.random.uniform(0, 0.1))
            kill_worker(victim)
            killed_at = time.monotonic()
            chaos.count("kills")
            for conversation, talk in zip(conversations, talks, strict=True):
                checks.append(checking.submit(check, here, conversation, talk.result(), killed_at, chaos))
            # A failed check is reported at once, not after all the others.
            for check_ in [each for each in checks if each.done()]:
                check_.result()
        for check_ in checks:
            check_.result()
    assert chaos.counts.get("turns interrupted"), "no turn was hit: this run proved nothing"


def check(here: Talk, conversation: str, heard: Heard, killed_at: float, chaos: Chaos) -> None:
    """Check what became of a turn at a process that survives; then continue the conversation."""
    here.idle(conversation)
    messages = here.history(conversation)
    questions = [each for each in messages if each["sender"] == "user"]
    assert len(questions) <= 1, "the question is stored twice"
    if heard.turn_id is not None:
        assert [each["id"] for each in questions] == [each["id"] for each in heard.events[0].data["input"]]
        chaos.count("acknowledged messages, all present")
    else:
        chaos.count("unacknowledged messages present" if questions else "unacknowledged messages absent")
    if questions:
        turn = here.settled(questions[0]["turn_id"])
        chaos.most("seconds until the last turn ended", time.monotonic() - killed_at)
        chaos.count(f"turns {turn['status']}")
        agrees(turn, here.history(conversation))
        assert turn["status"] in ("completed", "interrupted")
        assert heard.ended_as in (None, f"turn.{turn['status']}")
        replayed = here.follow(turn["id"])
        numbered(replayed)
        assert joined(replayed) == (WORDS if turn["status"] == "completed" else turn["partial_text"] or "")
        assert WORDS.startswith(heard.text)
    answer = here.api.call("POST", f"{conversation}/messages", {"content": "Is anybody there?"}, wait=30)
    assert answer.status_code == 201, answer.text
    after = here.history(conversation)
    in_one_order(after)
    assert [each["sender"] for each in after][-2:] == ["user", "agent"]
    chaos.count("conversations usable again")


def test_a_worker_that_comes_back_after_its_lease_changes_nothing(
    callers: tuple[Talk, Talk], victim: BotServer, model_server: ModelServer, chaos: Chaos
) -> None:
    there, here = callers
    model_server.script("text", text=WORDS, times=None).pace(_PACE_MS)
    for number in range(chaos.size(2, 20)):
        conversation = here.new_conversation()
        reached = Flag()
        drawn: random.Random = chaos.random
        with ThreadPoolExecutor(1) as client:
            talk = client.submit(there.listen, conversation, f"Q {number}", until=drawn.randint(1, 9), reached=reached)
            reached.wait()
            worker = only_worker(victim)
            os.kill(worker, signal.SIGSTOP)
            try:
                (asked,) = [each for each in here.history(conversation) if each["sender"] == "user"]
                turn = here.settled(asked["turn_id"])
                replayed = here.follow(turn["id"])
                before = here.api.make(f"{conversation}/messages", content="Then you tell me.")["turn"]["id"]
                settled = here.history(conversation)
            finally:
                os.kill(worker, signal.SIGCONT)
            heard = talk.result()
        chaos.count("workers stopped for longer than their lease")
        chaos.count(f"turns {turn['status']}")
        agrees(turn, settled)
        assert here.api.get(f"/turns/{turn['id']}") == turn
        assert here.api.get(f"/turns/{before}")["status"] == "completed"
        assert here.history(conversation) == settled, "a worker without a lease has written"
        assert content_of(here.follow(turn["id"])) == content_of(replayed), "events were added to an ended turn"
        if turn["status"] == "interrupted":
            assert heard.ended_as == "turn.failed", heard.events[-1:]
            assert heard.events[-1].data["problem"]["code"] == "turn_interrupted"


def content_of(events: list[Event]) -> list[tuple[str, str, object]]:
    """Return what can be compared of events: of the last one the turn, without the id of the reading request."""
    return [(event.id, event.name, event.data.get("turn") or event.data) for event in events]
