"""What keeps turns running: threads that outlive their listeners, and renewed leases."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bot.errors import Overloaded
from bot.turns import leases, streams
from bot.turns.events import AnswerDelta, ReasoningDelta
from bot.turns.leases import LeaseKeeper
from bot.turns.streams import TurnStreams
from models.access_patterns.turns import Lease
from models.conversation import Conversation
from models.table.clock import now
from models.table.errors import LeaseLost
from models.turn import EventId
from tests.processes import wait_until

SOON = 30


@pytest.fixture
def turns() -> Iterator[TurnStreams]:
    running = TurnStreams(threads=2)
    yield running
    running.close()


def following(turns: TurnStreams, events: Any) -> Iterator[Any]:
    turns.reserve()
    return turns.follow(events)


def test_a_turns_events_come_in_order(turns: TurnStreams) -> None:
    def turn() -> Iterator[Any]:
        yield from (AnswerDelta(text, number) for number, text in enumerate("abc", 2))

    assert [event.text for event in following(turns, turn()) if event] == ["a", "b", "c"]


def test_a_turn_starts_at_once_and_runs_to_its_end_without_a_listener(turns: TurnStreams) -> None:
    ended = threading.Event()

    def turn() -> Iterator[Any]:
        yield AnswerDelta("a", 2)
        ended.set()

    following(turns, turn())
    assert ended.wait(SOON)


def test_silence_is_interrupted_by_keep_alives(turns: TurnStreams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.01)
    heard = threading.Event()

    def turn() -> Iterator[Any]:
        assert heard.wait(SOON)
        yield AnswerDelta("at last", 2)

    events = following(turns, turn())
    assert [next(events), next(events)] == [None, None]
    heard.set()
    assert [event for event in events if event] == [AnswerDelta("at last", 2)]


def test_reasoning_that_is_not_shown_does_not_delay_keep_alives(
    turns: TurnStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 1.0)
    reasoned, kept_alive = threading.Event(), threading.Event()

    def turn() -> Iterator[Any]:
        time.sleep(0.6)
        yield ReasoningDelta("Hm.", EventId(1, 1))
        reasoned.set()
        assert kept_alive.wait(SOON)
        yield AnswerDelta("at last", EventId(2))

    turns.reserve()
    events = turns.follow(turn(), reasoning=False)
    started = time.monotonic()
    assert next(events) is None
    assert reasoned.is_set()
    assert time.monotonic() - started < 1.4
    kept_alive.set()
    assert [event for event in events if event] == [AnswerDelta("at last", EventId(2))]


def test_a_listener_without_reasoning_gets_keep_alives_while_the_model_reasons(
    turns: TurnStreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE_SECONDS", 0.05)
    kept_alive = threading.Event()

    def turn() -> Iterator[Any]:
        for part in itertools.count(1):
            yield ReasoningDelta("Hm.", EventId(1, part))
            if kept_alive.wait(0.001):
                return

    turns.reserve()
    events = turns.follow(turn(), reasoning=False)
    assert [next(events), next(events)] == [None, None]
    kept_alive.set()
    assert set(events) <= {None}


def test_a_listener_gets_the_error_of_its_turn(turns: TurnStreams) -> None:
    def turn() -> Iterator[Any]:
        yield AnswerDelta("a", 2)
        raise OSError("the table is gone")

    events = following(turns, turn())
    assert next(events) == AnswerDelta("a", 2)
    with pytest.raises(OSError, match="the table is gone"):
        next(events)


def test_closing_waits_for_the_running_turns(turns: TurnStreams) -> None:
    go_on, done = threading.Event(), threading.Event()

    def turn() -> Iterator[Any]:
        assert go_on.wait(SOON)
        yield AnswerDelta("a", 2)
        done.set()

    following(turns, turn())
    closing = threading.Thread(target=turns.close)
    closing.start()
    assert closing.is_alive()
    go_on.set()
    closing.join(SOON)
    assert done.is_set()


def test_a_process_accepts_no_more_turns_than_it_has_threads(turns: TurnStreams) -> None:
    go_on = threading.Event()

    def turn() -> Iterator[Any]:
        assert go_on.wait(SOON)
        yield AnswerDelta("a", 2)

    running = [following(turns, turn()) for _ in range(2)]
    with pytest.raises(Overloaded) as refusal:
        turns.reserve()
    assert refusal.value.retry_after
    go_on.set()
    assert [[event.text for event in each] for each in running] == [["a"], ["a"]]
    turns.close()
    turns.reserve()
    turns.release()


def lease(turn_id: str) -> Lease:
    return Lease(turn_id, "usr_1", Conversation(conversation_id="conv_1"), 1, now())


class Table:
    """A table that accepts renewals, and can lose leases, fail or hang."""

    def __init__(self) -> None:
        self.renewed: list[str] = []
        self.failures: list[Exception] = []
        self.happened = threading.Semaphore(0)
        self.cancelled: set[str] = set()
        self.looks = 0
        self.hanging: set[str] = set()
        self.go_on = threading.Event()

    def cancelled_turns(self, conversation_ids: list[str]) -> set[str]:
        self.looks += 1
        if "looks" in self.hanging:
            assert self.go_on.wait(SOON)
        return self.cancelled

    def renew(self, held: Lease, duration: object) -> None:
        self.renewed.append(held.turn_id)
        self.happened.release()
        if held.turn_id in self.hanging:
            assert self.go_on.wait(SOON)
        if self.failures:
            raise self.failures.pop(0)

    def renewals(self, turn_id: str) -> int:
        return self.renewed.count(turn_id)

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self.happened.acquire(timeout=SOON)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(leases, "renew_lease", made.renew)
    monkeypatch.setattr(leases, "cancelled_turns", made.cancelled_turns)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.01)
    return made


@pytest.fixture
def keeper(table: Table) -> Iterator[LeaseKeeper]:
    made = LeaseKeeper(duration=0.03)
    yield made
    table.go_on.set()
    made.close()


def test_a_lease_is_renewed_for_as_long_as_its_turn_runs(keeper: LeaseKeeper, table: Table) -> None:
    held = keeper.hold(lease("turn_1"))
    table.wait(3)
    assert not held.lost.is_set()
    keeper.release(held.lease)
    renewed = len(table.renewed)
    keeper.hold(lease("turn_2"))
    table.wait(3)
    assert "turn_1" not in table.renewed[renewed + 1 :], "at most one beat was on its way"


def test_one_failed_renewal_is_not_the_end_of_the_lease(keeper: LeaseKeeper, table: Table) -> None:
    table.failures = [OSError("no network"), OSError("no network")]
    held = keeper.hold(lease("turn_1"))
    table.wait(4)
    assert not held.lost.is_set()


def test_a_lease_that_was_taken_over_is_lost(keeper: LeaseKeeper, table: Table) -> None:
    table.failures = [LeaseLost("turn_1")]
    assert keeper.hold(lease("turn_1")).lost.wait(SOON)


def test_a_renewal_that_hangs_delays_no_other_lease(keeper: LeaseKeeper, table: Table) -> None:
    turns = [f"turn_{number}" for number in range(20)]
    stuck, others = set(turns[:3]), set(turns[3:])
    table.hanging = stuck
    held = {turn_id: keeper.hold(lease(turn_id)) for turn_id in turns}
    wait_until(lambda: all(table.renewals(turn_id) >= 3 for turn_id in others), SOON)
    assert {table.renewals(turn_id) for turn_id in stuck} == {1}, "one at a time for each lease"
    table.hanging = set()
    table.go_on.set()
    wait_until(lambda: all(table.renewals(turn_id) >= 3 for turn_id in stuck), SOON)
    assert not any(each.shall_stop for each in held.values())


def test_if_leases_wait_for_a_thread_the_first_to_expire_is_renewed_first(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEWALS_AT_ONCE", 1)
    keeper = LeaseKeeper(duration=3600, beat=0.01)
    table.hanging = {"turn_0"}
    first, late, early = (keeper.hold(lease(f"turn_{number}")) for number in range(3))
    first.renewed -= 3600
    table.wait(1)
    early.renewed -= 3600
    late.renewed -= 1800
    wait_until(lambda: late.renewing and early.renewing, SOON)
    table.go_on.set()
    table.wait(2)
    assert table.renewed == ["turn_0", "turn_2", "turn_1"]
    keeper.close()


def test_a_cancellation_check_that_hangs_delays_no_lease_and_is_the_only_one(keeper: LeaseKeeper, table: Table) -> None:
    table.hanging = {"looks"}
    held = keeper.hold(lease("turn_1"))
    wait_until(lambda: table.looks, SOON)
    seen = table.renewals("turn_1")
    wait_until(lambda: table.renewals("turn_1") >= seen + 3, SOON)
    assert table.looks == 1
    table.cancelled = {"turn_1"}
    table.go_on.set()
    assert held.cancelled.wait(SOON)


def test_renewals_that_hang_do_not_keep_a_turn_from_being_cancelled(keeper: LeaseKeeper, table: Table) -> None:
    table.hanging = {f"turn_{number}" for number in range(2 * leases.RENEWALS_AT_ONCE)}
    held = [keeper.hold(lease(turn_id)) for turn_id in sorted(table.hanging)]
    table.wait(leases.RENEWALS_AT_ONCE)
    table.cancelled = {held[-1].lease.turn_id}
    assert held[-1].cancelled.wait(SOON)
    assert len(table.renewed) == leases.RENEWALS_AT_ONCE, "no thread for each turn"


def test_a_closed_keeper_leaves_no_thread(table: Table) -> None:
    before = set(threading.enumerate())
    keeper = LeaseKeeper(duration=0.03)
    table.hanging = {"turn_1"}
    for number in range(3):
        keeper.hold(lease(f"turn_{number}"))
    wait_until(lambda: table.looks and set(table.renewed) == {"turn_0", "turn_1", "turn_2"}, SOON)
    keeper.close()
    table.go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON)
    assert set(threading.enumerate()) <= before
    keeper.close()


def test_a_cancelled_turn_is_notified(keeper: LeaseKeeper, table: Table) -> None:
    held, other = keeper.hold(lease("turn_1")), keeper.hold(lease("turn_2"))
    assert not held.shall_stop
    table.cancelled = {"turn_1"}
    assert held.cancelled.wait(SOON)
    assert held.shall_stop
    assert not other.shall_stop


def test_a_turn_that_was_cancelled_in_its_own_process_stops_at_once() -> None:
    keeper = LeaseKeeper(duration=30)
    held = keeper.hold(lease("turn_1"))
    keeper.cancel("turn_2")
    assert not held.shall_stop
    keeper.cancel("turn_1")
    assert held.shall_stop
    keeper.close()
