"""DynamoDB failures: whatever breaks between the application and the table, acknowledged messages are stored once."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bot.turns.leases import BEAT_SECONDS
from tests.chaos.conftest import StartServer, talking
from tests.chaos.documented import Documented
from tests.chaos.fault_proxy import READ_TIMEOUT, Faults, fault_proxy
from tests.chaos.run import Chaos
from tests.chaos.talk import LEASE, WORDS, Talk, agrees, has_ended, in_one_order, joined, numbered
from tests.e2e.bot_server import BotServer
from tests.model_server import ModelServer

TALKERS = 8
THREADS = 16
_STEPS = {"append": 6, "turn": 2, "stream": 3, "page": 2, "open": 1, "delete": 1, "read turn": 1}


@dataclass
class Said:
    """What one client, which sends one request at a time, has sent in its conversation, and the results."""

    conversation: str
    sent: list[str] = field(default_factory=list)
    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    maybe_deleted: set[str] = field(default_factory=set)
    plain: list[str] = field(default_factory=list)
    turns: dict[str, str] = field(default_factory=dict)


@pytest.fixture
def faults(chaos: Chaos) -> Faults:
    return Faults(chaos.seed)


@pytest.fixture
def broken(engine: str, start_server: StartServer, faults: Faults) -> Iterator[tuple[BotServer, BotServer]]:
    """Two processes that reach the table only through the fault proxy."""
    variables = {"CHAOS_READ_TIMEOUT": str(READ_TIMEOUT), "BOT_THREADS": str(THREADS)}
    with (
        fault_proxy(engine, faults) as endpoint,
        start_server("broken-1", endpoint, **variables) as first,
        start_server("broken-2", endpoint, **variables) as second,
    ):
        yield first, second


def test_no_fault_of_dynamodb_loses_doubles_or_reorders_anything(
    broken: tuple[BotServer, BotServer], faults: Faults, model_server: ModelServer, chaos: Chaos
) -> None:
    model_server.script("text", text=WORDS, times=None).pace(40)
    wanted = chaos.size(60, 1000)
    with talking(*broken) as talks, ThreadPoolExecutor(TALKERS) as pool:
        documented = Documented(talks[0].api.http.get(f"{broken[0].url}/openapi/openapi.json").json())
        clients = [
            Client(number, Said(talks[0].new_conversation()), talks, documented, chaos) for number in range(TALKERS)
        ]
        faults.armed = True
        running = [pool.submit(client.go_on, lambda: faults.made.total() >= wanted) for client in clients]
        for client in running:
            client.result()
        faults.armed = False
        for kind, count in sorted(faults.made.items()):
            chaos.count(f"faults: {kind}", count)
        for checked in [pool.submit(client.check) for client in clients]:
            checked.result()
        assert chaos.counts["answers 201"] > TALKERS
        nothing_goes_on(broken, faults)


class Client:
    """Uses one conversation, each time at a random process."""

    def __init__(self, name: int, said: Said, talks: tuple[Talk, ...], documented: Documented, chaos: Chaos) -> None:
        self.said, self.talks, self.documented, self.chaos = said, talks, documented, chaos
        self.random = chaos.drawing(name)

    @property
    def talk(self) -> Talk:
        return self.random.choice(self.talks)

    def go_on(self, enough: Any) -> None:
        while not enough():
            (step,) = self.random.choices(list(_STEPS), list(_STEPS.values()))
            getattr(self, step.replace(" ", "_"))()
            self.chaos.count("requests")

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Send a request, check that the answer is documented, and return it."""
        answer = self.talk.api.call(method, path, body, **params)
        self.check_answer(answer)
        return answer

    def check_answer(self, answer: Any) -> None:
        self.documented.check(answer)
        self.chaos.count(f"answers {answer.status_code}")
        assert answer.status_code in (200, 201, 204, 404, 409, 503), answer.text

    def content(self) -> str:
        self.said.sent.append(f"Message {len(self.said.sent)}")
        return self.said.sent[-1]

    def stored(self, content: str, answer: Any) -> None:
        match answer.status_code:
            case 201:
                (message,) = answer.json()["input"]
                assert message["content"] == content
                self.said.acknowledged[content] = message["id"]
            case 503:
                # The message may be stored or not, but not twice; the problem has its turn if that is known.
                turn = answer.json().get("turn")
                if turn:
                    self.said.turns[turn["id"]] = "unknown"
            case _:
                assert (answer.status_code, answer.json()["code"]) == (409, "conversation_busy"), answer.text
                self.said.refused.add(content)

    def append(self) -> None:
        content = self.content()
        answer = self.call("POST", f"{self.said.conversation}/messages", {"content": content, "reply": False})
        assert answer.status_code in (201, 503), answer.text
        self.stored(content, answer)
        if answer.status_code == 201:
            self.said.plain.append(content)

    def turn(self) -> None:
        content = self.content()
        answer = self.call("POST", f"{self.said.conversation}/messages", {"content": content})
        self.stored(content, answer)
        if answer.status_code == 201:
            self.said.turns[answer.json()["turn"]["id"]] = "completed"

    def stream(self) -> None:
        content = self.content()
        heard = self.talk.listen(self.said.conversation, content)
        if heard.refused is not None:
            self.check_answer(heard.refused)
            self.stored(content, heard.refused)
            return
        self.chaos.count("streams")
        numbered(heard.events)
        assert heard.turn_id is not None
        (message,) = heard.events[0].data["input"]
        self.said.acknowledged[content] = message["id"]
        assert has_ended(heard.events[-1]), "a stream broke off"
        if heard.ended_as == "turn.completed":
            assert heard.text == WORDS
            self.said.turns[heard.turn_id] = "completed"
        else:
            self.documented.check_problem(heard.events[-1].data["problem"])
            self.said.turns[heard.turn_id] = "unknown"

    def page(self) -> None:
        order = self.random.choice(("asc", "desc"))
        answer = self.call("GET", f"{self.said.conversation}/messages", order=order, limit=20)
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 200:
            in_one_order(answer.json()["data"][:: 1 if order == "asc" else -1])

    def open(self) -> None:
        assert self.call("GET", self.said.conversation).status_code in (200, 503)

    def read_turn(self) -> None:
        for turn_id in list(self.said.turns)[-1:]:
            assert self.call("GET", f"/turns/{turn_id}").status_code in (200, 503)

    def delete(self) -> None:
        if not self.said.plain:
            return
        content = self.said.plain.pop(self.random.randrange(len(self.said.plain)))
        answer = self.call("DELETE", f"{self.said.conversation}/messages/{self.said.acknowledged[content]}")
        assert answer.status_code in (204, 503), answer.text
        (self.said.deleted if answer.status_code == 204 else self.said.maybe_deleted).add(content)

    def check(self) -> None:
        """Check the whole conversation, without further faults."""
        said, talk = self.said, self.talk
        talk.idle(said.conversation)
        messages = talk.history(said.conversation)
        in_one_order(messages)
        questions = [each["content"] for each in messages if each["sender"] == "user"]
        must = set(said.acknowledged) - said.deleted - said.maybe_deleted
        may = set(said.sent) - said.refused - said.deleted
        assert must <= set(questions) <= may, f"lost: {must - set(questions)}, too many: {set(questions) - may}"
        # Once each, and in the order in which they were sent.
        assert questions == [each for each in said.sent if each in questions], "duplicated or reordered"
        for each in messages:
            if each["sender"] == "user" and each["content"] in said.acknowledged:
                assert each["id"] == said.acknowledged[each["content"]]
        self.chaos.count("acknowledged messages, all present", len(must))
        self.chaos.count("unacknowledged messages present", len(set(questions) - must))
        turns = {each["turn_id"]: "unknown" for each in messages if each["turn_id"]} | said.turns
        for turn_id, status in turns.items():
            turn = talk.settled(turn_id)
            assert status in ("unknown", turn["status"])
            agrees(turn, messages)
            replayed = talk.follow(turn_id)
            numbered(replayed)
            assert joined(replayed) == (WORDS if turn["status"] == "completed" else turn["partial_text"] or "")
            self.chaos.count(f"turns {turn['status']}")
        header = talk.api.get(said.conversation)
        assert (header["message_count"], header["active_turn_id"]) == (len(messages), None)
        done = talk.api.make(f"{said.conversation}/messages", content="And now?")
        assert done["turn"]["status"] == "completed"


def nothing_goes_on(servers: tuple[BotServer, BotServer], faults: Faults) -> None:
    """Check that no lease is renewed and no turn is read for ended turns, and that their threads have ended."""
    # These pauses wait for nothing, but give unwanted requests time to appear. A beat in progress may still end.
    time.sleep(2 * BEAT_SECONDS)
    before = len(faults.passed)
    time.sleep(LEASE)
    renewed = [each for each in faults.passed[before:] if "lease_expires_at" in each.body or "CONV#" in each.body]
    assert not renewed, f"work goes on for turns that have ended: {renewed}"
    for server in servers:
        for worker in server.workers:
            status = Path(f"/proc/{worker}/status")
            if status.exists():
                threads = int(status.read_text().partition("Threads:")[2].split()[0])
                assert threads <= 2 * THREADS + 8, "more threads than for requests, turns and background work"
