"""A plain turn that ends while a request looks for it is found, as running or as ended, and never missing.

While it runs, it is only the lease on its conversation's header; its record is written when it ends.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from bot.turns import following
from bot.turns.leases import LeaseKeeper
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turns import end_turn
from models.table.errors import ItemNotFound
from models.table.ids import new_id
from models.turn import ID_PREFIX, TurnEnd
from tests.factories import make_conversation, make_user
from tests.wire import others_come_first

pytestmark = pytest.mark.usefixtures("table")


@pytest.fixture
def begun() -> Begun:
    """A running plain turn."""
    conversation = make_conversation()
    ids = conversation.user_id, conversation.conversation_id
    return begin_turn(*ids, lambda _: [Draft("user", "Hello")], window=20, lease=timedelta(hours=1))


@pytest.fixture
def leases() -> Iterator[LeaseKeeper]:
    made = LeaseKeeper(30)
    yield made
    made.close()


def ending(begun: Begun, status: TurnEnd, when: Callable[[], bool] = lambda: True) -> Callable[[], None]:
    """Return a wrapper that ends the turn once, at the first call for which `when` is true."""
    ended = False

    def end() -> None:
        nonlocal ended
        if not ended and when():
            ended = True
            drafts = [Draft("agent", "Hi!")] if status == "completed" else []
            end_turn(begun.lease, status, drafts, {})

    return end


def test_a_turn_that_ends_between_the_two_reads_is_found(begun: Begun) -> None:
    with others_come_first("Query", ending(begun, "completed"), times=1):
        assert following.find_turn(begun.lease.user_id, begun.lease.turn_id).status == "completed"


def test_a_missing_turn_is_still_missing(begun: Begun) -> None:
    for user_id, turn_id in (
        (make_user().user_id, begun.lease.turn_id),
        (begun.lease.user_id, new_id(ID_PREFIX)),
    ):
        with pytest.raises(ItemNotFound):
            following.find_turn(user_id, turn_id)


def test_a_cancelled_turn_that_ends_between_the_reads_is_reported_as_ended(
    begun: Begun, leases: LeaseKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def second_look() -> bool:
        looks.extend([1] if cancelled else [])
        return len(looks) == 2

    cancelled: list[str] = []
    monkeypatch.setattr(following, "request_cancel", lambda turn: cancelled.append(turn.turn_id) or True)
    end = ending(begun, "cancelled", second_look)
    with others_come_first("GetItem", end), others_come_first("Query", end):
        turn = following.cancel_turn(begun.lease.user_id, begun.lease.turn_id, leases, patience=30)
    assert turn.status == "cancelled"
