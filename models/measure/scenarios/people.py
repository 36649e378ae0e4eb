"""Users, agents and API keys."""

from datetime import timedelta

from models.access_patterns import agents, api_keys, credentials, identities, users
from models.emails import normalise_email
from models.identity import Identity, identity_hash
from models.measure.scenario import Act, scenario
from models.measure.world import PAGE, World
from models.table import clock
from models.table.tenancy import acting_for

ISSUER = "https://auth.example.com"


@scenario("AP-01")
def create_user(world: World) -> Act:
    """A new user."""
    email = world.email()
    return lambda: users.create_user(email, name="Ann Example")


@scenario("AP-02")
def get_user(world: World) -> Act:
    """An existing user."""
    user = world.someone
    return lambda: users.get_user(acting_for(user.user_id))


@scenario("AP-03")
def get_user_by_email(world: World) -> Act:
    """An existing user."""
    email = normalise_email(world.someone.email)
    return lambda: users.get_user_by_email(email)


@scenario("AP-04")
def update_user(world: World) -> Act:
    """Another name, which is projected into the index."""
    user = world.new_user()
    return lambda: users.update_user(acting_for(user.user_id), {"name": "Ann Other", "preferences": {"language": "en"}})


@scenario("AP-05")
def list_users(world: World) -> Act:
    """A full page."""
    _ = world.agent
    return lambda: users.list_users(PAGE)


@scenario("AP-06")
def change_email(world: World) -> Act:
    """An unused email."""
    user, email = world.new_user(), world.email()
    return lambda: users.change_email(acting_for(user.user_id), email)


@scenario("AP-95")
def get_users_for_rotation(world: World) -> Act:
    """A page of users."""
    _ = world.agent
    ids = [user.user_id for user in users.list_users(PAGE).items]
    return lambda: credentials.get_users(ids)


@scenario("AP-96")
def replace_details(world: World) -> Act:
    """Details that have not been changed in the meantime."""
    user_id = acting_for(world.new_user().user_id)
    users.update_user(user_id, {"api_integration_details": {"openai": "v2.old"}})
    return lambda: credentials.replace_details(user_id, "openai", "v2.old", "v2.new")


@scenario("AP-10")
def create_agent(world: World) -> Act:
    """A new agent."""
    user = world.someone
    return lambda: agents.create_agent(
        acting_for(user.user_id),
        name="Ada",
        provider="echo",
        model="echo-1",
        system_message="You are a friendly guide.",
    )


@scenario("AP-11")
def get_agent(world: World) -> Act:
    """An agent, read strongly consistently."""
    agent = world.agent
    return lambda: agents.get_agent(acting_for(agent.user_id), agent.agent_id)


@scenario("AP-12")
def list_agents(world: World) -> Act:
    """A full page."""
    owner = acting_for(world.agent.user_id)
    return lambda: agents.list_agents(owner, PAGE)


@scenario("AP-13")
def update_agent(world: World) -> Act:
    """Another system message."""
    agent = world.new_agent()
    changes = {"system_message": "You are brief.", "settings": {"temperature": 0.2}}
    return lambda: agents.update_agent(acting_for(agent.user_id), agent.agent_id, changes)


@scenario("AP-13")
def lend_credentials(world: World) -> Act:
    """The owner begins to share credentials."""
    agent = world.new_agent()
    changes = {"share_credentials": True}
    return lambda: agents.update_agent(acting_for(agent.user_id), agent.agent_id, changes)


@scenario("AP-14")
def find_agent_owner(world: World) -> Act:
    """An existing agent."""
    agent = world.agent
    return lambda: agents.find_agent_owner(agent.agent_id)


@scenario("AP-20")
def create_api_key(world: World) -> Act:
    """A new key."""
    user = world.someone
    digest = f"{world.messages:05}".rjust(64, "a")
    return lambda: api_keys.create_api_key(
        acting_for(user.user_id), key_hash=digest, hint="AbCd", name="laptop", role="user"
    )


@scenario("AP-20")
def create_api_key_of_one_agent(world: World) -> Act:
    """A new key with the scope `agent`."""
    agent = world.new_agent()
    digest = f"{world.messages:05}".rjust(64, "b")
    return lambda: api_keys.create_api_key(
        acting_for(agent.user_id),
        key_hash=digest,
        hint="AbCd",
        name="widget",
        role="user",
        scope="agent",
        agent_id=agent.agent_id,
    )


@scenario("AP-21")
def find_api_key(world: World) -> Act:
    """A valid key."""
    key = world.new_key(world.someone)
    return lambda: api_keys.find_api_key(key.key_hash)


@scenario("AP-22")
def list_api_keys(world: World) -> Act:
    """A full page."""
    owner = acting_for(world.agent.user_id)
    return lambda: api_keys.list_api_keys(owner, PAGE)


@scenario("AP-23")
def revoke_api_key(world: World) -> Act:
    """A valid key."""
    key = world.new_key(world.someone)
    return lambda: api_keys.revoke_api_key(acting_for(key.user_id), key.key_id)


@scenario("AP-24")
def find_api_key_and_agent(world: World) -> Act:
    """A valid key, and an agent."""
    agent = world.agent
    key = world.new_key(world.someone)
    return lambda: api_keys.find_api_key_and_agent(key.key_hash, agent.user_id, agent.agent_id)


@scenario("AP-27")
def note_api_key_use(world: World) -> Act:
    """A key that has never been used."""
    key = world.new_key(world.someone)
    return lambda: api_keys.note_api_key_use(
        acting_for(key.user_id), key.key_id, clock.now(), interval=timedelta(hours=1)
    )


def _subject(world: World) -> str:
    """Return an unused subject."""
    return world.email()


@scenario("AP-06")
def give_an_email(world: World) -> Act:
    """The first email of a user who signed in with a token."""
    identity = identities.create_identity(ISSUER, _subject(world))
    email = world.email()
    return lambda: users.change_email(acting_for(str(identity.user_id)), email)


@scenario("AP-25")
def find_identity(world: World) -> Act:
    """An existing identity."""
    identity = identities.create_identity(ISSUER, _subject(world))
    return lambda: identities.find_identity(identity.identity_hash)


@scenario("AP-26")
def create_identity(world: World) -> Act:
    """A subject with an email."""
    subject, email = _subject(world), world.email()
    return lambda: identities.create_identity(ISSUER, subject, email=email, name="Ann Example")


@scenario("AP-26")
def create_identity_without_an_email(world: World) -> Act:
    """A subject without email or name."""
    subject = _subject(world)
    return lambda: identities.create_identity(ISSUER, subject)


@scenario("AP-28")
def find_identity_and_agent(world: World) -> Act:
    """An identity, and an agent."""
    agent = world.agent
    identity = identities.create_identity(ISSUER, _subject(world))
    return lambda: identities.find_identity_and_agent(identity.identity_hash, agent.user_id, agent.agent_id)


@scenario("AP-29")
def readmit_identity(world: World) -> Act:
    """The identity of a deleted user."""
    subject, moment = _subject(world), clock.now()
    digest = identity_hash(ISSUER, subject)
    world.put([Identity(identity_hash=digest, status="closed", created_at=moment, closed_at=moment)])
    return lambda: identities.readmit_identity(ISSUER, subject)
