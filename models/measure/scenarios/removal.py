"""Erasure."""

from collections.abc import Callable
from datetime import timedelta

from models.access_patterns import erasure
from models.access_patterns.agents import create_agent
from models.access_patterns.allowances import get_allowance
from models.access_patterns.erasure import Hold
from models.access_patterns.idempotency import Once
from models.access_patterns.identities import create_identity
from models.access_patterns.rates import count_request
from models.access_patterns.removal.erase import erase
from models.access_patterns.sharing import publish_agent, share_agent
from models.access_patterns.states import Owner, put_state
from models.conversation import Conversation
from models.erasure import Erasure
from models.measure.scenario import Act, scenario
from models.measure.world import World
from models.message import MessageReasoning
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for
from models.turn import EventId, Turn, TurnCount, TurnEntry, TurnEvents, event_key
from models.user import User

HOLD = Hold("worker_" + "0" * 26, timedelta(seconds=30))


def _full_conversation(world: World, messages: int) -> Conversation:
    conversation = world.new_conversation(messages=messages)
    owner = acting_for(conversation.user_id)
    put_state(Owner(owner, conversation.conversation_id), "session", "trip", {"to": "Lisbon"})
    world.put([TurnEntry(conversation_id=conversation.conversation_id, turn_id="turn_" + "0" * 26)])
    return conversation


def _delete_conversation(conversation: Conversation) -> Erasure:
    owner = acting_for(conversation.user_id)
    return erasure.delete_conversation(owner, conversation.conversation_id, asked_by=owner, hold=HOLD)


def _twice(ask: Callable[[], Erasure]) -> Act:
    ask()
    return ask


@scenario("AP-70")
def delete_conversation(world: World) -> Act:
    """A conversation in both indexes."""
    conversation = world.new_conversation()
    return lambda: _delete_conversation(conversation)


@scenario("AP-70")
def delete_conversation_again(world: World) -> Act:
    """A conversation that is being deleted."""
    conversation = world.new_conversation(messages=2)
    return _twice(lambda: _delete_conversation(conversation))


def _ask_for_agent(world: World) -> Callable[[], Erasure]:
    agent = world.new_agent()
    owner = acting_for(agent.user_id)
    return lambda: erasure.delete_agent(owner, agent.agent_id, asked_by=owner, hold=HOLD)


@scenario("AP-71")
def delete_agent(world: World) -> Act:
    """An agent."""
    return _ask_for_agent(world)


@scenario("AP-71")
def delete_agent_again(world: World) -> Act:
    """An agent that is being deleted."""
    return _twice(_ask_for_agent(world))


def _ask_for_user(owner: UserId) -> Callable[[], Erasure]:
    return lambda: erasure.delete_user(owner, asked_by=owner, hold=HOLD)


def _new_user(world: World) -> UserId:
    user: User = world.new_user()
    return acting_for(user.user_id)


@scenario("AP-72")
def delete_user(world: World) -> Act:
    """A user."""
    return _ask_for_user(_new_user(world))


@scenario("AP-72")
def delete_user_again(world: World) -> Act:
    """A user who is being deleted."""
    return _twice(_ask_for_user(_new_user(world)))


@scenario("AP-73")
def erase_a_conversation(world: World) -> Act:
    """A conversation with messages, state and a turn without messages."""
    job = _delete_conversation(_full_conversation(world, world.messages))
    return lambda: erase(job, HOLD)


@scenario("AP-73")
def erase_an_agent(world: World) -> Act:
    """A shared agent with a conversation."""
    conversation = _full_conversation(world, 4)
    owner = acting_for(conversation.user_id)
    share_agent(owner, conversation.agent_id, _new_user(world))
    publish_agent(owner, conversation.agent_id, published=True)
    job = erasure.delete_agent(owner, conversation.agent_id, asked_by=owner, hold=HOLD)
    return lambda: erase(job, HOLD)


@scenario("AP-73")
def erase_a_user(world: World) -> Act:
    """A user with one of everything: key, agent, conversation, state, allowance, counts and another user's agent."""
    conversation = _full_conversation(world, 4)
    owner = acting_for(conversation.user_id)
    shared = world.new_agent()
    share_agent(acting_for(shared.user_id), shared.agent_id, owner)
    world.new_key(User.from_key(user_id=owner))
    put_state(Owner(owner), "application", "theme", "dark")
    get_allowance(owner)
    count_request(owner, "user", 100)
    turn_id = new_id("turn")
    moment = world.clock()
    world.put(
        [
            Turn(
                user_id=owner,
                turn_id=turn_id,
                conversation_id=conversation.conversation_id,
                agent_id=conversation.agent_id,
                status="running",
                started_at=moment,
            ),
            TurnEvents(turn_id=turn_id, last=event_key(EventId(2)), texts=["Take ", "light shoes."]),
        ]
    )
    once = Once(owner, "0" * 64, "0" * 64)
    create_agent(owner, name="Ada", provider="echo", model="echo-1", once=once)
    world.put([MessageReasoning(conversation_id=conversation.conversation_id, ts=moment, text="Hm.")])
    world.put([TurnCount(user_id=owner, turn_id=new_id("turn"), agent_id=conversation.agent_id)])
    job = _ask_for_user(owner)()
    return lambda: erase(job, HOLD)


@scenario("AP-73")
def erase_a_user_who_came_with_a_token(world: World) -> Act:
    """A user without an email, whose identity will be closed."""
    identity = create_identity("https://auth.example.com", world.email())
    job = _ask_for_user(acting_for(str(identity.user_id)))()
    return lambda: erase(job, HOLD)


@scenario("AP-74")
def get_erasure(world: World) -> Act:
    """A running erasure."""
    owner = _new_user(world)
    job = _ask_for_user(owner)()
    return lambda: erasure.get_erasure(owner, job.erasure_id)


@scenario("AP-75")
def list_pending_erasures(world: World) -> Act:
    """A page of unfinished jobs."""
    _ask_for_user(_new_user(world))()
    return lambda: erasure.list_pending_erasures(1)


@scenario("AP-76")
def take_erasure(world: World) -> Act:
    """An erasure whose worker died."""
    job = _ask_for_user(_new_user(world))()
    world.clock.advance(seconds=31)
    return lambda: erasure.take_erasure(job.erasure_id, Hold("worker_" + "1" * 26, HOLD.lease))


@scenario("AP-77")
def find_erasure(world: World) -> Act:
    """A running erasure."""
    job = _ask_for_user(_new_user(world))()
    return lambda: erasure.find_erasure(job.erasure_id)
