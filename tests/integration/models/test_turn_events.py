"""Reading streamed text again: each piece once, and nothing from after the end of the turn."""

import pytest

from models.access_patterns.turn_events import append_events, streamed
from models.table.ids import new_id
from models.turn import ID_PREFIX, MOST_UNSTORED, EventId, Turn

pytestmark = pytest.mark.usefixtures("table")


def test_a_batch_that_is_repeated_in_the_next_one_is_read_once() -> None:
    turn_id = new_id(ID_PREFIX)
    append_events(turn_id, EventId(3), ["two", "three"])
    # No acknowledgement came, so the worker still holds them and writes them again with the next pieces.
    append_events(turn_id, EventId(5), ["two", "three", "four", "five"])
    append_events(turn_id, EventId(6), ["six"])
    whole = [(EventId(number), text) for number, text in enumerate(("two", "three", "four", "five", "six"), 2)]
    for after in range(8):
        assert streamed(turn_id, EventId(after)) == [each for each in whole if each[0].number > after]


@pytest.mark.parametrize(
    ("status", "told"), [("interrupted", [2, 3]), ("cancelled", [2, 3, 4]), ("running", [2, 3, 4])]
)
def test_text_stored_by_a_late_worker_is_not_part_of_an_interrupted_turn(status: str, told: list[int]) -> None:
    last_event = {"interrupted": 3 + MOST_UNSTORED + 1, "cancelled": 5, "running": None}[status]
    turn = Turn(turn_id=new_id(ID_PREFIX), status=status, last_event=last_event)
    assert [number for number in (2, 3, 4) if turn.has_event(EventId(number))] == told
