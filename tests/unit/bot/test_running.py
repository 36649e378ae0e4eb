"""What keeps turns running: threads that outlive their listeners, and leases that are renewed."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.turns import leases, streams
from bot.turns.events import AnswerDelta
from bot.turns.leases import LeaseKeeper
from bot.turns.streams import TurnStreams
from models.access_patterns.turns import Lease
from models.clock import now
from models.conversation import Conversation
from models.errors import LeaseLost

SOON = 30


@pytest.fixture
def turns() -> Iterator[TurnStreams]:
    running = TurnStreams(threads=2)
    yield running
    running.close()


def test_a_turns_events_come_in_order(turns: TurnStreams) -> None:
    def turn() -> Iterator[Any]:
        yield from map(AnswerDelta, "abc")

    assert [event.text for event in turns.follow(turn()) if event] == ["a", "b", "c"]  # type: ignore[arg-type,union-attr]


def test_a_turn_starts_at_once_and_runs_to_its_end_though_nobody_listens(turns: TurnStreams) -> None:
    ended = threading.Event()

    def turn() -> Iterator[Any]:
        yield AnswerDelta("a")
        ended.set()

    turns.follow(turn())  # type: ignore[arg-type]
    assert ended.wait(SOON)


def test_silence_is_broken_by_signs_of_life(turns: TurnStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.01)
    heard = threading.Event()

    def turn() -> Iterator[Any]:
        assert heard.wait(SOON)
        yield AnswerDelta("at last")

    events = turns.follow(turn())  # type: ignore[arg-type]
    assert [next(events), next(events)] == [None, None]
    heard.set()
    assert [event for event in events if event] == [AnswerDelta("at last")]


def test_a_turn_that_breaks_off_breaks_off_for_its_listener(turns: TurnStreams) -> None:
    def turn() -> Iterator[Any]:
        yield AnswerDelta("a")
        raise OSError("the table is gone")

    events = turns.follow(turn())  # type: ignore[arg-type]
    assert next(events) == AnswerDelta("a")
    with pytest.raises(OSError, match="the table is gone"):
        next(events)


def test_the_end_waits_for_the_turns_that_run(turns: TurnStreams) -> None:
    go_on, done = threading.Event(), threading.Event()

    def turn() -> Iterator[Any]:
        assert go_on.wait(SOON)
        yield AnswerDelta("a")
        done.set()

    turns.follow(turn())  # type: ignore[arg-type]
    closing = threading.Thread(target=turns.close)
    closing.start()
    assert closing.is_alive()
    go_on.set()
    closing.join(SOON)
    assert done.is_set()


def lease(turn_id: str) -> Lease:
    return Lease(turn_id, "usr_1", Conversation(conversation_id="conv_1"), 1, now())


class Table:
    """Takes renewals, and can lose leases or fail."""

    def __init__(self) -> None:
        self.renewed: list[str] = []
        self.failures: list[Exception] = []
        self.happened = threading.Semaphore(0)

    def renew(self, held: Lease, duration: object) -> None:
        self.renewed.append(held.turn_id)
        self.happened.release()
        if self.failures:
            raise self.failures.pop(0)

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self.happened.acquire(timeout=SOON)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(leases, "renew_lease", made.renew)
    return made


@pytest.fixture
def keeper() -> Iterator[LeaseKeeper]:
    made = LeaseKeeper(duration=0.03)
    yield made
    made.close()


def test_a_lease_is_renewed_for_as_long_as_its_turn_runs(keeper: LeaseKeeper, table: Table) -> None:
    with keeper.keep(lease("turn_1")) as held:
        table.wait(3)
        assert not held.lost.is_set()
    renewed = len(table.renewed)
    with keeper.keep(lease("turn_2")):
        table.wait(3)
    assert "turn_1" not in table.renewed[renewed + 1 :], "at most one beat was on its way"


def test_one_failed_renewal_is_not_the_end_of_the_lease(keeper: LeaseKeeper, table: Table) -> None:
    table.failures = [OSError("no network"), OSError("no network")]
    with keeper.keep(lease("turn_1")) as held:
        table.wait(4)
        assert not held.lost.is_set()


def test_a_lease_that_was_taken_over_is_lost(keeper: LeaseKeeper, table: Table) -> None:
    table.failures = [LeaseLost("turn_1")]
    with keeper.keep(lease("turn_1")) as held:
        assert held.lost.wait(SOON)
