"""Turns that were abandoned while DynamoDB did not answer are ended in the background when it does again."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.turns import recovery as module
from bot.turns.recovery import TurnRecovery
from models.table.clock import now
from models.table.errors import ItemNotFound
from models.turn import Turn
from tests.processes import wait_until

SOON = 30
WHY = "DynamoDB was silent."


def turn(turn_id: str, status: str = "running") -> Turn:
    return Turn(
        user_id="usr_1", turn_id=turn_id, conversation_id="conv_1", agent_id="agt_1", status=status, started_at=now()
    )


class Table:
    """Scripted results of `reconcile_turn`, by turn; without a script, the turn is interrupted."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.looks: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def settle(self, given: Turn, *, abandoned: str | None = None) -> Turn:
        assert abandoned == WHY
        self.looks.append(given.turn_id)
        assert self.go_on.wait(SOON)
        answers = self.answers.get(given.turn_id)
        answer = answers.pop(0) if answers else turn(given.turn_id, "interrupted")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table()
    monkeypatch.setattr(module, "reconcile_turn", made.settle)
    return made


@pytest.fixture
def recovery(table: Table) -> Iterator[TurnRecovery]:
    before = set(threading.enumerate())
    made = TurnRecovery(lease=3600, first_pause=0.001)
    yield made
    table.go_on.set()
    made.close()
    assert set(threading.enumerate()) <= before


def no_thread(recovery: TurnRecovery) -> bool:
    return recovery._thread is None


@pytest.mark.parametrize(
    "first", [OSError("no network"), ItemNotFound("turn"), turn("turn_1")], ids=["silent", "not there yet", "runs"]
)
def test_a_turn_is_reconciled_until_it_has_ended(recovery: TurnRecovery, table: Table, first: object) -> None:
    table.answers = {"turn_1": [first, first]}
    recovery.abandon(turn("turn_1"), WHY)
    wait_until(lambda: no_thread(recovery), SOON)
    assert table.looks == ["turn_1"] * 3


def test_a_turn_that_never_began_is_tried_no_longer_than_its_lease(table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 100}
    recovery = TurnRecovery(lease=0.1, first_pause=0.001)
    recovery.abandon(turn("turn_1"), WHY)
    wait_until(lambda: no_thread(recovery), SOON)
    assert 1 <= len(table.looks) <= 7, "each pause is twice the one before"


def test_a_missing_turn_delays_no_other_and_the_thread_starts_again(recovery: TurnRecovery, table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 5}
    recovery.abandon(turn("turn_1"), WHY)
    recovery.abandon(turn("turn_2"), WHY)
    wait_until(lambda: no_thread(recovery), SOON)
    assert table.looks.index("turn_2") < len(table.looks) - 1
    recovery.abandon(turn("turn_3"), WHY)
    wait_until(lambda: no_thread(recovery), SOON)
    assert table.looks[-1] == "turn_3"


def test_closing_waits_for_no_lease_and_accepts_nothing_more(recovery: TurnRecovery, table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 1000}
    recovery.abandon(turn("turn_1"), WHY)
    wait_until(lambda: table.looks, SOON)
    recovery.close()
    assert no_thread(recovery)
    recovery.abandon(turn("turn_2"), WHY)
    assert no_thread(recovery)
    assert "turn_2" not in table.looks


def test_turns_beyond_the_maximum_are_left_to_their_lease(
    recovery: TurnRecovery, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST", 2)
    table.go_on.clear()
    for number in range(3):
        recovery.abandon(turn(f"turn_{number}"), WHY)
    table.go_on.set()
    wait_until(lambda: no_thread(recovery), SOON)
    assert sorted(table.looks) == ["turn_0", "turn_1"]
