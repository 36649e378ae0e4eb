"""Completions: they leave a count of their tokens and nothing else, and claim their user's allowance like turns."""

from functools import partial

import pytest

from models.access_patterns.allowances import get_allowance, release_ended_turns
from models.access_patterns.completions import (
    SLOT_KEPT,
    BegunCompletion,
    begin_completion,
    end_completion,
    new_completion,
)
from models.access_patterns.idempotency import Once, find_repeated
from models.access_patterns.usage import usage
from models.allowance import Limits, Quota
from models.table.errors import DoneBefore, ItemNotFound, ItemTooLarge, LimitReached
from models.table.tenancy import UserId, acting_for
from models.turn import TurnCount
from tests.erasing import delete_user
from tests.factories import make_user
from tests.fake_clock import FakeClock
from tests.raw import stored, whole_table
from tests.together import at_once

pytestmark = pytest.mark.usefixtures("table")

ALL = Limits(tokens_per_day=1000, tokens_per_month=5000, turns_at_once=3)


@pytest.fixture
def user_id() -> UserId:
    return acting_for(make_user().user_id)


def begin(user_id: UserId, tokens: int = 100, limits: Limits = ALL) -> BegunCompletion:
    return begin_completion(user_id, Quota(get_allowance(user_id), limits, lambda *_: tokens))


def end(begun: BegunCompletion, tokens: tuple[int, int] | None = (30, 7), answer: str | None = None) -> None:
    end_completion(begun, "agt_1", "gpt-test", tokens, answer)


def claimed(user_id: UserId) -> tuple[list[int], int]:
    found = get_allowance(user_id)
    return [found.tokens[period] for period in sorted(found.tokens)], len(found.running or ())


def test_a_completion_is_counted_in_its_users_usage(user_id: UserId, fake_clock: FakeClock) -> None:
    for _ in range(2):
        end(new_completion(user_id))
    day = fake_clock.moment.date()
    (found,) = usage(user_id, day, day)
    assert (found.agent_id, found.model, found.turns) == ("agt_1", "gpt-test", 2)
    assert (found.input_tokens, found.output_tokens) == (60, 14)


def test_a_completion_reserves_and_settles(user_id: UserId, fake_clock: FakeClock) -> None:
    begun = begin(user_id)
    assert claimed(user_id) == ([100, 100], 1)
    end(begun)
    assert claimed(user_id) == ([37, 37], 0)


def test_completions_at_once_cannot_exceed_a_limit_together(user_id: UserId) -> None:
    get_allowance(user_id)
    outcomes = at_once([partial(begin, user_id, 400) for _ in range(5)])
    assert sum(isinstance(each, BegunCompletion) for each in outcomes) == 2
    assert sum(isinstance(each, LimitReached) for each in outcomes) == 3


def test_the_slot_of_a_dead_worker_is_free_after_a_while(user_id: UserId, fake_clock: FakeClock) -> None:
    one = Limits(turns_at_once=1)
    begin(user_id, limits=one)
    with pytest.raises(LimitReached):
        begin(user_id, limits=one)
    assert release_ended_turns(user_id) == ([], False)
    fake_clock.advance(seconds=SLOT_KEPT.total_seconds() + 1)
    assert release_ended_turns(user_id) == ([], True)
    end(begin(user_id, limits=one))


def test_a_completion_of_a_deleted_user_leaves_nothing(user_id: UserId) -> None:
    begun = new_completion(user_id)
    delete_user(user_id)
    with pytest.raises(ItemNotFound):
        end(begun)
    assert [key for key in whole_table() if key[0] == f"USER#{user_id}#TURNS"] == []


def once(user_id: UserId) -> Once:
    return Once(user_id, "f" * 64, "b" * 64)


def test_an_idempotency_key_is_held_from_the_start_and_gets_the_answer(user_id: UserId) -> None:
    begun = begin_completion(user_id, None, once(user_id))
    with pytest.raises(DoneBefore):
        begin_completion(user_id, None, once(user_id))
    found = find_repeated(user_id, "f" * 64)
    assert found is not None
    assert (found.effect_id, found.answer) == (begun.turn_id, None)
    end(begun, answer="an answer")
    found = find_repeated(user_id, "f" * 64)
    assert found is not None
    assert (found.effect_id, found.answer) == (begun.turn_id, "an answer")


def test_a_deleted_users_key_is_not_held(user_id: UserId) -> None:
    delete_user(user_id)
    with pytest.raises(ItemNotFound):
        begin_completion(user_id, None, once(user_id))
    assert [key for key in whole_table() if key[0] == f"USER#{user_id}#IDEMPOTENCY"] == []


def test_a_completion_without_an_answer_leaves_its_key_free(user_id: UserId) -> None:
    end(begin_completion(user_id, None, once(user_id)), tokens=None)
    assert find_repeated(user_id, "f" * 64) is None
    assert [key for key in whole_table() if key[0] == f"USER#{user_id}#TURNS"] == []
    end(begin_completion(user_id, None, once(user_id)))


def test_a_dead_worker_holds_a_key_no_longer_than_its_slot(user_id: UserId, fake_clock: FakeClock) -> None:
    late = begin_completion(user_id, None, once(user_id))
    fake_clock.advance(seconds=SLOT_KEPT.total_seconds() + 1)
    begun = begin_completion(user_id, None, once(user_id))
    end(late, answer="too late")
    end(begun, answer="an answer")
    found = find_repeated(user_id, "f" * 64)
    assert found is not None
    assert (found.effect_id, found.answer) == (begun.turn_id, "an answer")
    for each in (late, begun):
        assert stored(TurnCount.from_key(user_id=user_id, turn_id=each.turn_id))


def test_an_answer_that_is_too_large_is_refused_and_changes_nothing(user_id: UserId) -> None:
    begun = begin_completion(user_id, None, once(user_id))
    with pytest.raises(ItemTooLarge):
        end(begun, answer="x" * 500_000)
    assert stored(TurnCount.from_key(user_id=user_id, turn_id=begun.turn_id)) == {}
    end(begun)
    assert find_repeated(user_id, "f" * 64) is None
