"""Erasure."""

from models.access_patterns import erasure
from models.access_patterns.states import Owner, put_state
from models.conversation import Conversation
from models.measure.scenarios import Act, scenario
from models.measure.world import World
from models.tenancy import acting_for
from models.turn import TurnEntry


def _full_conversation(world: World, messages: int) -> Conversation:
    conversation = world.new_conversation(messages=messages)
    put_state(
        Owner(acting_for(conversation.user_id), conversation.conversation_id), "session", "trip", {"to": "Lisbon"}
    )
    world.put([TurnEntry(conversation_id=conversation.conversation_id, turn_id="turn_" + "0" * 26)])
    return conversation


@scenario("AP-70")
def delete_conversation(world: World) -> Act:
    """A conversation with messages, state and a turn that no message names."""
    conversation = _full_conversation(world, world.messages)
    return lambda: erasure.delete_conversation(acting_for(conversation.user_id), conversation.conversation_id)


@scenario("AP-71")
def delete_agent(world: World) -> Act:
    """An agent without conversations."""
    agent = world.new_agent()
    return lambda: erasure.delete_agent(acting_for(agent.user_id), agent.agent_id)


@scenario("AP-71")
def delete_agent_with_a_conversation(world: World) -> Act:
    """An agent with a conversation."""
    conversation = _full_conversation(world, 4)
    return lambda: erasure.delete_agent(acting_for(conversation.user_id), conversation.agent_id)


@scenario("AP-72")
def delete_user(world: World) -> Act:
    """A user with one key."""
    user = world.new_user()
    world.new_key(user)
    return lambda: erasure.delete_user(acting_for(user.user_id))


@scenario("AP-72")
def delete_user_with_everything(world: World) -> Act:
    """A user with a key, an agent, a conversation and state."""
    conversation = _full_conversation(world, 4)
    owner = acting_for(conversation.user_id)
    world.new_key(world.new_user())
    put_state(Owner(owner), "application", "theme", "dark")
    return lambda: erasure.delete_user(owner)
