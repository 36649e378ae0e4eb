"""Shared agents."""

from contextlib import suppress

from models.access_patterns import sharing
from models.agent import Agent
from models.measure.scenario import Act, scenario
from models.measure.world import PAGE, World
from models.share import AgentGrant
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.ids import new_id
from models.table.tenancy import acting_for
from models.user import User


def _shared(world: World) -> tuple[Agent, User]:
    agent, user = world.new_agent(), world.new_user()
    return sharing.share_agent(acting_for(agent.user_id), agent.agent_id, user.user_id), user


@scenario("AP-15")
def share_agent(world: World) -> Act:
    """With a user who has no access yet."""
    agent, user = world.new_agent(), world.new_user()
    return lambda: sharing.share_agent(acting_for(agent.user_id), agent.agent_id, user.user_id)


@scenario("AP-16")
def unshare_agent(world: World) -> Act:
    """From a user who has access."""
    agent, user = _shared(world)
    return lambda: sharing.unshare_agent(acting_for(agent.user_id), agent.agent_id, user.user_id)


@scenario("AP-16")
def unshare_agent_from_nobody(world: World) -> Act:
    """From a user who has no access: another read finds the reason."""
    agent, user = world.new_agent(), world.new_user()

    def act() -> None:
        with suppress(ItemNotFound):
            sharing.unshare_agent(acting_for(agent.user_id), agent.agent_id, user.user_id)

    return act


@scenario("AP-17")
def publish_agent(world: World) -> Act:
    """An unpublished agent."""
    agent = world.new_agent()
    return lambda: sharing.publish_agent(acting_for(agent.user_id), agent.agent_id, published=True)


@scenario("AP-17")
def withdraw_agent(world: World) -> Act:
    """A published agent."""
    agent = world.new_agent()
    sharing.publish_agent(acting_for(agent.user_id), agent.agent_id, published=True)
    return lambda: sharing.publish_agent(acting_for(agent.user_id), agent.agent_id, published=False)


@scenario("AP-18")
def get_shared_agent(world: World) -> Act:
    """An agent that is shared with the user individually."""
    agent, user = _shared(world)
    return lambda: sharing.get_shared_agent(acting_for(user.user_id), agent.agent_id)


@scenario("AP-18")
def get_shared_agent_of_an_owner(world: World) -> Act:
    """An agent whose owner is known, as in a conversation."""
    agent, user = _shared(world)
    return lambda: sharing.get_shared_agent(acting_for(user.user_id), agent.agent_id, agent.user_id)


@scenario("AP-19")
def list_shared_agents(world: World) -> Act:
    """A full page of agents of 1 KB."""
    owner, user = world.new_user(), world.new_user()
    moment = clock.now()
    # Agents that other scenarios have published would be in the list too.
    for each in sharing.list_shared_agents(acting_for(user.user_id), PAGE).items:
        sharing.publish_agent(acting_for(each.user_id), each.agent_id, published=False)
    for _ in range(PAGE + 1):
        agent_id = new_id("agt")
        agent = Agent(
            user_id=owner.user_id,
            agent_id=agent_id,
            name="Ada",
            provider="echo",
            model="echo-1",
            system_message="x" * 650,
            shared_with={user.user_id},
            created_at=moment,
            updated_at=moment,
        )
        grant = AgentGrant(user_id=user.user_id, agent_id=agent_id, owner_id=owner.user_id, created_at=moment)
        world.put([agent, grant])
    return lambda: sharing.list_shared_agents(acting_for(user.user_id), PAGE)
