"""Conversations that are followed."""

from models.access_patterns import news
from models.access_patterns.messages import Draft, append_messages
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turns import end_turn
from models.measure.scenario import Act, scenario
from models.measure.scenarios.turns_and_state import LEASE, RECORD
from models.measure.world import QUESTION, World
from models.table import clock
from models.table.tenancy import acting_for


@scenario("AP-65")
def glance(world: World) -> Act:
    """Nothing has happened."""
    conversation = world.long_conversation()
    return lambda: news.glance(acting_for(conversation.user_id), conversation.conversation_id)


@scenario("AP-66")
def read_news(world: World) -> Act:
    """One message was added."""
    conversation = world.long_conversation()
    owner, now = acting_for(conversation.user_id), clock.now()
    append_messages(owner, conversation.conversation_id, [Draft("user", QUESTION)])
    return lambda: news.read_news(owner, conversation.conversation_id, now)


@scenario("AP-67")
def silent_turns(world: World) -> Act:
    """A turn without a message has failed."""
    conversation = world.new_conversation(messages=2)
    owner, now = acting_for(conversation.user_id), clock.now()
    begun = begin_turn(owner, conversation.conversation_id, lambda _: [], window=1, lease=LEASE, announced=True)
    error = {"code": "provider_error", "detail": "The model provider failed."}
    end_turn(begun.lease, "failed", [], {**RECORD, "error": error})
    missing = range(begun.lease.fence, begun.lease.fence + 1)
    return lambda: news.silent_turns(conversation, now, missing)
