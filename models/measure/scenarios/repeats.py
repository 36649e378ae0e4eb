"""Requests with an idempotency key: the cost of the lookup, and what the record adds to a write."""

from datetime import timedelta

from models.access_patterns import (
    agents,
    api_keys,
    completions,
    conversations,
    idempotency,
    messages,
    sharing,
    turn_beginnings,
    users,
)
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft
from models.measure.scenario import Act, scenario
from models.measure.world import World
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for

_ANSWER = "x" * 600
# It can be the same each time, because each scenario has another user.
_HASH = "0b14d501a594442a01c6859541bcb3e8164d183d32937b851835442f69d5c94e"


def _once(user_id: UserId, *, answer: bool = True) -> Once:
    """Return a new idempotency key of a user; with `answer`, a response of 600 characters is stored with it."""
    kept = (lambda _: _ANSWER) if answer else None
    return Once(user_id, _HASH, _HASH, kept)


@scenario("AP-64")
def find_repeated(world: World) -> Act:
    """A repeated request."""
    user_id = acting_for(world.new_user().user_id)
    once = _once(user_id)
    agents.create_agent(user_id, name="Ada", provider="echo", model="echo-1", once=once)
    return lambda: idempotency.find_repeated(user_id, once.fingerprint)


@scenario("AP-64")
def find_none(world: World) -> Act:
    """The first request with its key."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: idempotency.find_repeated(user_id, "none")


@scenario("AP-01")
def create_user_once(world: World) -> Act:
    """With an idempotency key."""
    admin = acting_for(world.new_user().user_id)
    return lambda: users.create_user(f"{new_id('once')}@example.com".lower(), once=_once(admin))


@scenario("AP-10")
def create_agent_once(world: World) -> Act:
    """With an idempotency key."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: agents.create_agent(user_id, name="Ada", provider="echo", model="echo-1", once=_once(user_id))


@scenario("AP-15")
def share_agent_once(world: World) -> Act:
    """With an idempotency key."""
    agent, user = world.new_agent(), world.new_user()
    owner = acting_for(agent.user_id)
    return lambda: sharing.share_agent(owner, agent.agent_id, user.user_id, once=_once(owner))


@scenario("AP-15")
def share_agent_again(world: World) -> Act:
    """With an idempotency key, and a user who has access already."""
    agent, user = world.new_agent(), world.new_user()
    owner = acting_for(agent.user_id)
    sharing.share_agent(owner, agent.agent_id, user.user_id)
    return lambda: sharing.share_agent(owner, agent.agent_id, user.user_id, once=_once(owner))


@scenario("AP-20")
def create_api_key_once(world: World) -> Act:
    """With an idempotency key."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: api_keys.create_api_key(
        user_id, key_hash=new_id("hash"), hint="abcd", role="user", once=_once(user_id)
    )


@scenario("AP-30")
def create_conversation_once(world: World) -> Act:
    """With an idempotency key."""
    agent = world.new_agent()
    owner = acting_for(agent.user_id)
    return lambda: conversations.create_conversation(owner, agent.agent_id, once=_once(owner))


@scenario("AP-40")
def append_message_once(world: World) -> Act:
    """With an idempotency key."""
    conversation = world.new_conversation(messages=2)
    owner = acting_for(conversation.user_id)
    return lambda: messages.append_messages(
        owner, conversation.conversation_id, [Draft("user", "x" * 300)], once=_once(owner, answer=False)
    )


@scenario("AP-50")
def begin_turn_once(world: World) -> Act:
    """With an idempotency key: the turn has a record from its start."""
    conversation = world.new_conversation(messages=2)
    owner = acting_for(conversation.user_id)
    return lambda: turn_beginnings.begin_turn(
        owner,
        conversation.conversation_id,
        lambda _: [Draft("user", "x" * 300)],
        window=20,
        lease=timedelta(seconds=30),
        announced=True,
        once=_once(owner, answer=False),
    )


@scenario("AP-84")
def begin_completion_once(world: World) -> Act:
    """With an idempotency key."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: completions.begin_completion(user_id, None, _once(user_id))


@scenario("AP-85")
def end_completion_once(world: World) -> Act:
    """With an idempotency key."""
    user_id = acting_for(world.new_user().user_id)
    begun = completions.begin_completion(user_id, None, _once(user_id))
    return lambda: completions.end_completion(begun, "agt_1", "gpt-6-luna", (900, 300), _ANSWER)


@scenario("AP-85")
def fail_completion_once(world: World) -> Act:
    """With an idempotency key, and no answer."""
    user_id = acting_for(world.new_user().user_id)
    begun = completions.begin_completion(user_id, None, _once(user_id))
    return lambda: completions.end_completion(begun, "agt_1", "gpt-6-luna", None)
