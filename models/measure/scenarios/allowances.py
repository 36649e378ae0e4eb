"""Allowances: limits, claims and their release."""

from contextlib import suppress
from dataclasses import replace
from functools import partial

from models.access_patterns.allowances import change_limits, get_allowance, release_ended_turns
from models.access_patterns.completions import begin_completion, end_completion, new_completion
from models.access_patterns.messages import Draft
from models.access_patterns.rates import count_request
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turn_states import reconcile_turn
from models.access_patterns.turns import end_turn
from models.access_patterns.usage import usage
from models.allowance import Limits, Quota
from models.conversation import Conversation
from models.measure.scenario import Act, scenario
from models.measure.scenarios.talk import WINDOW
from models.measure.scenarios.turns_and_state import LEASE, RECORD
from models.measure.world import ANSWER, QUESTION, World
from models.table.errors import LimitReached
from models.table.tenancy import UserId, acting_for

_LIMITS = Limits(tokens_per_day=100_000, tokens_per_month=1_000_000, turns_at_once=3)


def _begin(conversation: Conversation) -> Begun:
    user_id = acting_for(conversation.user_id)
    return begin_turn(
        user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", QUESTION)],
        window=WINDOW - 1,
        lease=LEASE,
        quota=Quota(get_allowance(user_id), _LIMITS, lambda *_: 2500),
    )


def _user(world: World) -> UserId:
    """A user who has an allowance."""
    user_id = acting_for(world.new_user().user_id)
    get_allowance(user_id)
    return user_id


@scenario("AP-80")
def first_allowance(world: World) -> Act:
    """A user without an allowance, which is created."""
    return partial(get_allowance, acting_for(world.new_user().user_id))


@scenario("AP-80")
def allowance(world: World) -> Act:
    """An existing allowance."""
    return partial(get_allowance, _user(world))


@scenario("AP-81")
def first_change(world: World) -> Act:
    """A limit of a user without an allowance."""
    return partial(change_limits, acting_for(world.new_user().user_id), {"tokens_per_day": 500})


@scenario("AP-81")
def change(world: World) -> Act:
    """A limit of a user with an allowance."""
    return partial(change_limits, _user(world), {"tokens_per_day": 500})


@scenario("AP-82")
def look_after(world: World) -> Act:
    """Two running turns, one in a deleted conversation."""
    agent = world.new_agent()
    begun = [_begin(world.new_conversation(agent, messages=2)) for _ in range(2)]
    world.remove(Conversation.from_key(conversation_id=begun[0].lease.conversation.conversation_id))
    return partial(release_ended_turns, acting_for(agent.user_id))


@scenario("AP-83")
def usage_of_a_day(world: World) -> Act:
    """The turns of one conversation."""
    user_id = acting_for(world.new_conversation(messages=20).user_id)
    day = world.clock.moment.date()
    return partial(usage, user_id, day, day)


@scenario("AP-50")
def begin_limited_turn(world: World) -> Act:
    """A turn that claims part of its user's allowance."""
    conversation = world.new_conversation(messages=2)
    user_id = acting_for(conversation.user_id)
    quota = Quota(get_allowance(user_id), _LIMITS, lambda *_: 2500)
    return lambda: begin_turn(
        user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", QUESTION)],
        window=WINDOW - 1,
        lease=LEASE,
        quota=quota,
    )


@scenario("AP-50")
def begin_beside_others(world: World) -> Act:
    """A turn that was within its limit when the allowance was read, but not when it claims."""
    agent = world.new_agent()
    user_id = acting_for(agent.user_id)
    before = Quota(get_allowance(user_id), replace(_LIMITS, turns_at_once=1), lambda *_: 2500)
    _begin(world.new_conversation(agent, messages=2))
    late = world.new_conversation(agent, messages=2)

    def begin() -> None:
        with suppress(LimitReached):
            begin_turn(user_id, late.conversation_id, lambda _: [], window=WINDOW, lease=LEASE, quota=before)

    return begin


@scenario("AP-52")
def end_limited_turn(world: World) -> Act:
    """A turn that settles its claim."""
    begun = _begin(world.new_conversation(messages=2))
    return lambda: end_turn(begun.lease, "completed", [Draft("agent", ANSWER)], RECORD)


@scenario("AP-54")
def reconcile_limited_turn(world: World) -> Act:
    """A turn whose worker died; its claim is released."""
    begun = _begin(world.new_conversation(messages=2))
    world.clock.advance(minutes=1)
    return lambda: reconcile_turn(begun.lease.turn)


def _quota(user_id: UserId, limits: Limits = _LIMITS) -> Quota:
    return Quota(get_allowance(user_id), limits, lambda *_: 2500)


@scenario("AP-84")
def begin_a_completion(world: World) -> Act:
    """A completion that claims part of its user's allowance."""
    user_id = _user(world)
    return partial(begin_completion, user_id, _quota(user_id))


@scenario("AP-84")
def begin_a_completion_beside_others(world: World) -> Act:
    """A completion that was within its limit when the allowance was read, but not when it claims."""
    user_id = _user(world)
    before = _quota(user_id, replace(_LIMITS, turns_at_once=1))
    begin_completion(user_id, _quota(user_id))

    def begin() -> None:
        with suppress(LimitReached):
            begin_completion(user_id, before)

    return begin


@scenario("AP-85")
def end_a_completion(world: World) -> Act:
    """A completion without limits."""
    begun = new_completion(acting_for(world.new_user().user_id))
    return lambda: end_completion(begun, "agt_1", "gpt-6-luna", (900, 300))


@scenario("AP-85")
def end_a_limited_completion(world: World) -> Act:
    """A completion that settles its claim."""
    user_id = _user(world)
    begun = begin_completion(user_id, _quota(user_id))
    return lambda: end_completion(begun, "agt_1", "gpt-6-luna", (900, 300))


@scenario("AP-98")
def count_requests(world: World) -> Act:
    """The second request of a minute."""
    user_id = acting_for(world.new_user().user_id)
    count_request(user_id, "user", 10)
    return partial(count_request, user_id, "user", 10)
