"""Turns that were given up while DynamoDB was silent: they are ended when it answers again, aside from the requests."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.turns import settling
from bot.turns.settling import Settler
from models.clock import now
from models.errors import ItemNotFound
from models.turn import Turn
from tests.processes import wait_until

SOON = 30
WHY = "DynamoDB was silent."


def turn(turn_id: str, status: str = "running") -> Turn:
    return Turn(
        user_id="usr_1", turn_id=turn_id, conversation_id="conv_1", agent_id="agt_1", status=status, started_at=now()
    )


class Table:
    """Answers looks as it is told, turn by turn; with the turn as interrupted when it is told nothing."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.looks: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def settle(self, given: Turn, *, given_up: str | None = None) -> Turn:
        assert given_up == WHY
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
    monkeypatch.setattr(settling, "settle_turn", made.settle)
    return made


@pytest.fixture
def settler(table: Table) -> Iterator[Settler]:
    before = set(threading.enumerate())
    made = Settler(lease=3600, first_pause=0.001)
    yield made
    table.go_on.set()
    made.close()
    assert set(threading.enumerate()) <= before


def no_thread(settler: Settler) -> bool:
    return settler._thread is None


@pytest.mark.parametrize(
    "first", [OSError("no network"), ItemNotFound("turn"), turn("turn_1")], ids=["silent", "not there yet", "runs"]
)
def test_a_turn_is_looked_at_until_it_has_ended(settler: Settler, table: Table, first: object) -> None:
    table.answers = {"turn_1": [first, first]}
    settler.give_up(turn("turn_1"), WHY)
    wait_until(lambda: no_thread(settler), SOON)
    assert table.looks == ["turn_1"] * 3


def test_a_turn_that_never_began_is_looked_at_no_longer_than_its_lease_would_have_lasted(table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 100}
    settler = Settler(lease=0.1, first_pause=0.001)
    settler.give_up(turn("turn_1"), WHY)
    wait_until(lambda: no_thread(settler), SOON)
    assert 1 <= len(table.looks) <= 7, "each pause is twice the one before"


def test_one_that_is_not_there_holds_up_no_other_and_the_thread_comes_back(settler: Settler, table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 5}
    settler.give_up(turn("turn_1"), WHY)
    settler.give_up(turn("turn_2"), WHY)
    wait_until(lambda: no_thread(settler), SOON)
    assert table.looks.index("turn_2") < len(table.looks) - 1
    settler.give_up(turn("turn_3"), WHY)
    wait_until(lambda: no_thread(settler), SOON)
    assert table.looks[-1] == "turn_3"


def test_the_end_of_the_process_waits_for_no_lease_and_takes_nothing_more(settler: Settler, table: Table) -> None:
    table.answers = {"turn_1": [ItemNotFound("turn")] * 1000}
    settler.give_up(turn("turn_1"), WHY)
    wait_until(lambda: table.looks, SOON)
    settler.close()
    assert no_thread(settler)
    settler.give_up(turn("turn_2"), WHY)
    assert no_thread(settler)
    assert "turn_2" not in table.looks


def test_what_is_too_much_is_left_to_its_lease(settler: Settler, table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_MOST", 2)
    table.go_on.clear()
    for number in range(3):
        settler.give_up(turn(f"turn_{number}"), WHY)
    table.go_on.set()
    wait_until(lambda: no_thread(settler), SOON)
    assert sorted(table.looks) == ["turn_0", "turn_1"]
