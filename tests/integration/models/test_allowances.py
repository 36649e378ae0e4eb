"""Allowances: claims never exceed a limit, even concurrently, and are exact once all turns have ended."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

import pytest

from models.access_patterns.allowances import change_limits, get_allowance, release_ended_turns
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turn_states import reconcile_turn
from models.access_patterns.turns import end_turn
from models.allowance import Allowance, Limits, Quota, period_end
from models.conversation import Conversation
from models.table.errors import ItemNotFound, LimitReached
from models.turn import TurnEnd
from tests.erasing import delete_conversation, delete_user
from tests.factories import make_agent, make_conversation, make_user
from tests.fake_clock import FakeClock
from tests.integration.models.everything import LEASE
from tests.raw import stored
from tests.together import at_once
from tests.wire import lost_answers, others_come_first

pytestmark = pytest.mark.usefixtures("table")

ALL = Limits(tokens_per_day=1000, tokens_per_month=5000, turns_at_once=3)


def begin(conversation: Conversation, tokens: int = 100, limits: Limits = ALL) -> Begun:
    return begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _earlier: [Draft("user", "Hello")],
        window=20,
        lease=LEASE,
        quota=Quota(get_allowance(conversation.user_id), limits, lambda *_: tokens),
    )


def end(begun: Begun, used: int, status: TurnEnd = "completed") -> None:
    answer = [Draft("agent", "Hi!")] if status == "completed" else []
    end_turn(begun.lease, status, answer, {"input_tokens": used - 1, "output_tokens": 1})


def claimed(user_id: str) -> tuple[list[int], int]:
    """Return the claims on a day and its month, and the number of running turns."""
    found = get_allowance(user_id)
    return [found.tokens[period] for period in sorted(found.tokens)], len(found.running or ())


def test_a_turn_reserves_and_settles(fake_clock: FakeClock) -> None:
    conversation = make_conversation()
    begun = begin(conversation)
    assert claimed(conversation.user_id) == ([100, 100], 1)
    end(begun, 37)
    assert claimed(conversation.user_id) == ([37, 37], 0)
    end(begin(conversation), 150)
    assert claimed(conversation.user_id) == ([187, 187], 0)


@pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted"])
def test_every_end_settles(status: TurnEnd) -> None:
    conversation = make_conversation()
    end(begin(conversation), 12, status)
    assert claimed(conversation.user_id) == ([12, 12], 0)


def test_nothing_is_claimed_without_a_quota(fake_clock: FakeClock) -> None:
    conversation = make_conversation()
    begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", "Hello")],
        window=20,
        lease=LEASE,
    )
    assert stored(Allowance.from_key(user_id=conversation.user_id)) == {}


def test_fifty_concurrent_turns_with_a_quota_for_ten() -> None:
    agent = make_agent()
    conversations = [make_conversation(agent) for _ in range(50)]
    get_allowance(agent.user_id)
    limits = Limits(tokens_per_day=1000)
    outcomes = at_once([partial(begin, each, 100, limits) for each in conversations])
    begun = [each for each in outcomes if isinstance(each, Begun)]
    assert all(isinstance(each, Begun | LimitReached) for each in outcomes), outcomes
    assert len(begun) == 10
    assert claimed(agent.user_id) == ([1000, 1000], 10)
    assert at_once([partial(end, each, 30) for each in begun]) == [None] * 10
    assert claimed(agent.user_id) == ([300, 300], 0)


def test_concurrent_turns_are_limited() -> None:
    agent = make_agent()
    conversations = [make_conversation(agent) for _ in range(8)]
    outcomes = at_once([partial(begin, each, 1) for each in conversations])
    begun = [each for each in outcomes if isinstance(each, Begun)]
    assert len(begun) == 3
    with pytest.raises(LimitReached) as refused:
        begin(make_conversation(agent), 1)
    assert (refused.value.limit, refused.value.size, refused.value.used) == ("turns_at_once", 3, 3)
    end(begun[0], 1)
    begin(make_conversation(agent), 1)


@pytest.mark.parametrize(
    ("limits", "name", "resets_at"),
    [
        (Limits(tokens_per_day=99), "tokens_per_day", datetime(2026, 11, 23, tzinfo=UTC)),
        (Limits(tokens_per_day=100, tokens_per_month=99), "tokens_per_month", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_refusal_names_the_limit(limits: Limits, name: str, resets_at: datetime, fake_clock: FakeClock) -> None:
    fake_clock.moment = datetime(2026, 11, 22, 18, tzinfo=UTC)
    conversation = make_conversation()
    with pytest.raises(LimitReached) as refused:
        begin(conversation, 100, limits)
    assert (refused.value.limit, refused.value.size, refused.value.wanted) == (name, 99, 100)
    assert refused.value.resets_at == resets_at


def test_the_first_claim_wins() -> None:
    """The allowance that was read leaves room, but another turn claims it before the write."""
    agent = make_agent()
    mine, other = make_conversation(agent), make_conversation(agent)
    limits = Limits(tokens_per_day=150)
    with (
        others_come_first("TransactWriteItems", lambda: begin(other, 100, limits), times=1),
        pytest.raises(LimitReached),
    ):
        begin(mine, 100, limits)
    assert claimed(agent.user_id) == ([100, 100], 1)


@pytest.mark.parametrize("write", ["begin", "end"])
def test_a_lost_acknowledgement_counts_once(write: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    conversation = make_conversation()
    get_allowance(conversation.user_id)
    if write == "begin":
        with lost_answers("TransactWriteItems", times=2) as lost:
            begun = begin(conversation)
        end(begun, 40)
    else:
        begun = begin(conversation)
        with lost_answers("TransactWriteItems", times=2) as lost:
            end(begun, 40)
    assert lost
    assert claimed(conversation.user_id) == ([40, 40], 0)


def test_reconciling_a_turn_releases_its_dead_workers_claim(fake_clock: FakeClock) -> None:
    conversation = make_conversation()
    begun = begin(conversation)
    fake_clock.advance(seconds=31)
    settled = [reconcile_turn(begun.lease.turn) for _ in range(2)]
    assert [turn.status for turn in settled] == ["interrupted", "interrupted"]
    assert claimed(conversation.user_id) == ([0, 0], 0)


def test_a_refused_turn_finds_orphaned_turns(fake_clock: FakeClock) -> None:
    agent = make_agent()
    alive, dead, erased = (begin(make_conversation(agent)) for _ in range(3))
    del alive
    fake_clock.advance(seconds=20)
    delete_conversation(agent.user_id, erased.lease.conversation.conversation_id)
    assert release_ended_turns(agent.user_id) == ([], True)
    # What was being said may have been heard: it stays claimed.
    assert claimed(agent.user_id) == ([300, 300], 2)
    fake_clock.advance(seconds=11)
    found, freed = release_ended_turns(agent.user_id)
    assert (len(found), freed) == (2, False)
    assert dead.lease.turn_id in [turn.turn_id for turn in found]


def test_a_turn_is_settled_on_the_day_it_began(fake_clock: FakeClock) -> None:
    fake_clock.moment = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)
    conversation = make_conversation()
    begun = begin(conversation)
    fake_clock.advance(seconds=20)
    end(begun, 60)
    end(begin(conversation), 7)
    tokens = get_allowance(conversation.user_id).tokens
    assert tokens == {"2026-11": 60, "2026-11-30": 60, "2026-12": 7, "2026-12-01": 7}
    fake_clock.advance(days=10)
    end(begin(conversation), 8)
    tokens = get_allowance(conversation.user_id).tokens
    assert tokens == {"2026-12": 15, "2026-12-11": 8}


def test_own_limits_override_the_deployments() -> None:
    user = make_user()
    found = change_limits(user.user_id, {"tokens_per_day": 5})
    assert ALL.but(found.limits) == Limits(5, 5000, 3)
    assert ALL.but(change_limits(user.user_id, {"tokens_per_day": None, "turns_at_once": 0}).limits).turns_at_once == 0


def test_the_allowance_is_deleted_with_its_user() -> None:
    conversation = make_conversation()
    end(begin(conversation), 5)
    delete_user(conversation.user_id)
    assert stored(Allowance.from_key(user_id=conversation.user_id)) == {}
    with pytest.raises(ItemNotFound):
        get_allowance(conversation.user_id)


def test_the_end_of_a_period() -> None:
    ends: Callable[[str], str] = lambda period: period_end(period).isoformat()  # noqa: E731
    assert ends("2026-11-30") == "2026-12-01T00:00:00+00:00"
    assert ends("2028-02") == "2028-03-01T00:00:00+00:00"
    assert ends("2026-12") == "2027-01-01T00:00:00+00:00"
