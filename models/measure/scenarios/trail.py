"""The audit trail."""

from models.access_patterns.audit import list_events, record_event
from models.access_patterns.audit_records import Actor, event
from models.access_patterns.roles import change_role
from models.access_patterns.users import change_credentials
from models.measure.scenario import Act, scenario
from models.measure.world import PAGE, World
from models.table.tenancy import acting_for

_ACTOR = Actor("usr_" + "0" * 26, "key_" + "0" * 26, "req_" + "0" * 24, "203.0.113.7")


@scenario("AP-90")
def record(world: World) -> Act:
    """A sign-in."""
    user_id = acting_for(world.someone.user_id)
    return lambda: record_event(user_id, "signed_in", _ACTOR.key_id, actor=_ACTOR)


@scenario("AP-91")
def list_trail(world: World) -> Act:
    """A full page."""
    user_id = world.new_user().user_id
    world.put([event(user_id, "key.created", "key_" + "0" * 26, actor=_ACTOR) for _ in range(PAGE + 1)])
    return lambda: list_events(acting_for(user_id), PAGE)


@scenario("AP-99")
def role(world: World) -> Act:
    """A user who becomes an administrator."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: change_role(user_id, "admin")


@scenario("AP-92")
def credentials(world: World) -> Act:
    """Details for one provider."""
    user_id = acting_for(world.new_user().user_id)
    return lambda: change_credentials(user_id, {"openai": "x" * 200})
