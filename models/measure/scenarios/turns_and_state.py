"""Turns and state."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

from models.access_patterns import turn_beginnings, turn_events, turn_states, turns
from models.access_patterns.large_texts import named_objects
from models.access_patterns.messages import Draft, append_messages, delete_message
from models.access_patterns.states import Owner, delete_state, get_state, list_states, put_state
from models.access_patterns.turn_beginnings import Begun
from models.conversation import Conversation
from models.measure.scenario import Act, scenario
from models.measure.scenarios.talk import WINDOW
from models.measure.world import ANSWER, PAGE, QUESTION, REASONING, World
from models.table.blobs import new_key
from models.table.errors import ItemNotFound
from models.table.tenancy import acting_for
from models.turn import EventId

LEASE = timedelta(seconds=30)
# 4 KB of text, in pieces as models send them.
PIECES = ["".join(ANSWER[start % 1000 : start % 1000 + 20]) for start in range(0, 4000, 20)]
RECORD = {
    "provider": "echo",
    "model": "echo-1",
    "finish_reason": "stop",
    "input_tokens": 1500,
    "output_tokens": 300,
}


def _begin(
    conversation: Conversation, *, announced: bool = False, asked: bool = True, retention_days: int | None = None
) -> Begun:
    return turn_beginnings.begin_turn(
        acting_for(conversation.user_id),
        conversation.conversation_id,
        lambda _: [Draft("user", QUESTION)] if asked else [],
        window=WINDOW - 1,
        lease=LEASE,
        announced=announced,
        retention_days=retention_days,
    )


def _streamed(world: World) -> Begun:
    """Return a turn that has been streaming for a second."""
    begun = _begin(world.new_conversation(messages=2), announced=True)
    turn_events.append_events(begun.lease.turn_id, EventId(41), PIECES[:40])
    return begun


def _answer() -> list[Draft]:
    return [Draft("agent", ANSWER, llm_response_id="echo-" + "0" * 32)]


@scenario("AP-50")
def begin_turn(world: World) -> Act:
    """More than a minute after the last message: the activity indexes are updated."""
    conversation = world.long_conversation()
    return partial(_begin, conversation)


@scenario("AP-50")
def begin_announced_turn(world: World) -> Act:
    """A streamed turn, which has a record from its start."""
    conversation = world.new_conversation(messages=2)
    return partial(_begin, conversation, announced=True)


@scenario("AP-50")
def begin_turn_without_a_message(world: World) -> Act:
    """A turn without a new message."""
    conversation = world.new_conversation(messages=2)
    return partial(_begin, conversation, announced=True, asked=False)


@scenario("AP-51")
def renew_lease(world: World) -> Act:
    """A lease that has not expired."""
    begun = _begin(world.long_conversation())
    return lambda: turns.renew_lease(begun.lease, LEASE)


@scenario("AP-52")
def end_turn(world: World) -> Act:
    """A completed turn."""
    begun = _begin(world.long_conversation())
    return lambda: turns.end_turn(begun.lease, "completed", _answer(), RECORD)


@scenario("AP-52")
def end_turn_that_failed(world: World) -> Act:
    """A failed turn, during which another message was appended."""
    begun = turn_beginnings.begin_turn(
        *(lambda made: (acting_for(made.user_id), made.conversation_id))(world.new_conversation(messages=2)),
        lambda _: [],
        window=WINDOW,
        lease=LEASE,
    )
    conversation = begun.lease.conversation
    append_messages(acting_for(conversation.user_id), conversation.conversation_id, [Draft("user", QUESTION)])
    error = {"code": "provider_error", "detail": "The model provider failed."}
    return lambda: turns.end_turn(begun.lease, "failed", [], {**RECORD, "error": error, "partial_text": ANSWER[:200]})


@scenario("AP-53")
def get_turn(world: World) -> Act:
    """A turn that has ended."""
    begun = _begin(world.new_conversation(messages=2))
    turns.end_turn(begun.lease, "completed", _answer(), RECORD)
    return lambda: turn_states.get_turn(begun.lease.user_id, begun.lease.turn_id)


@scenario("AP-52")
def end_turn_of_a_reasoning_model(world: World) -> Act:
    """An answer with its reasoning."""
    begun = _begin(world.new_conversation(messages=2))
    drafts = [replace(draft, reasoning=REASONING) for draft in _answer()]
    return lambda: turns.end_turn(begun.lease, "completed", drafts, RECORD)


@scenario("AP-52")
def end_turn_that_expires(world: World) -> Act:
    """A turn whose record expires; its token counts are kept."""
    begun = _begin(world.new_conversation(messages=2), retention_days=30)
    return lambda: turns.end_turn(begun.lease, "completed", _answer(), RECORD)


@scenario("AP-52")
def end_turn_that_was_streamed(world: World) -> Act:
    """A turn that already has a record."""
    begun = _streamed(world)
    return lambda: turns.end_turn(begun.lease, "completed", _answer(), RECORD)


@scenario("AP-52")
def end_turn_again(world: World) -> Act:
    """A turn whose end is stored, but the worker lost the acknowledgement."""
    begun = _begin(world.new_conversation(messages=2))
    turns.end_turn(begun.lease, "completed", _answer(), RECORD)
    return lambda: turns.end_turn(begun.lease, "completed", _answer(), RECORD)


@scenario("AP-43")
def delete_message_of_a_turn(world: World) -> Act:
    """The question of a completed turn; its token counts are kept."""
    begun = _begin(world.new_conversation(messages=2))
    turns.end_turn(begun.lease, "completed", _answer(), RECORD)
    return lambda: _delete_question(begun)


@scenario("AP-43")
def delete_message_of_a_running_turn(world: World) -> Act:
    """The question of a running, streamed turn."""
    begun = _streamed(world)
    return lambda: _delete_question(begun)


def _delete_question(begun: Begun) -> None:
    delete_message(begun.lease.user_id, begun.lease.conversation.conversation_id, begun.messages[0].message_id)


@scenario("AP-53")
def get_running_turn(world: World) -> Act:
    """A running plain turn, which has no record yet."""
    begun = _begin(world.new_conversation(messages=2))
    return lambda: turn_states.get_turn(begun.lease.user_id, begun.lease.turn_id)


@scenario("AP-54")
def reconcile_turn(world: World) -> Act:
    """A streamed turn whose worker died."""
    begun = _streamed(world)
    world.clock.advance(minutes=1)
    return lambda: turn_states.reconcile_turn(begun.lease.turn)


@scenario("AP-54")
def reconcile_plain_turn(world: World) -> Act:
    """A plain turn whose worker died."""
    begun = _begin(world.new_conversation(messages=2))
    world.clock.advance(minutes=1)
    return lambda: turn_states.reconcile_turn(begun.lease.turn)


@scenario("AP-54")
def reconcile_turn_that_expires(world: World) -> Act:
    """A plain turn whose worker died, and whose record expires."""
    begun = _begin(world.new_conversation(messages=2), retention_days=30)
    world.clock.advance(minutes=1)
    return lambda: turn_states.reconcile_turn(begun.lease.turn)


@scenario("AP-55")
def request_cancel(world: World) -> Act:
    """A running turn."""
    begun = _begin(world.new_conversation(messages=2))
    return lambda: turn_states.request_cancel(begun.lease.turn)


@scenario("AP-56")
def append_events(world: World) -> Act:
    """A batch of 4 KB."""
    begun = _begin(world.new_conversation(messages=2), announced=True)
    return lambda: turn_events.append_events(begun.lease.turn_id, EventId(len(PIECES) + 1), PIECES)


@scenario("AP-57")
def streamed(world: World) -> Act:
    """The text of one second."""
    begun = _streamed(world)
    return lambda: turn_events.streamed(begun.lease.turn_id, EventId(1))


@scenario("AP-58")
def turn_messages(world: World) -> Act:
    """A completed turn."""
    begun = _begin(world.new_conversation(messages=2))
    turn, _ = turns.end_turn(begun.lease, "completed", _answer(), RECORD)
    return lambda: turn_events.turn_messages(turn)


@scenario("AP-59")
def cancelled_turns(world: World) -> Act:
    """One running turn."""
    conversation = world.new_conversation(messages=2)
    _begin(conversation)
    return lambda: turn_states.cancelled_turns([conversation.conversation_id])


VALUE = {"destination": "Lisbon", "notes": "x" * 600}
NOWHERE = "conv_" + "0" * 26


def _of_conversation(world: World) -> Owner:
    conversation = world.new_conversation(messages=2)
    return Owner(acting_for(conversation.user_id), conversation.conversation_id)


def _of_user(world: World) -> Owner:
    return Owner(acting_for(world.new_user().user_id))


def _kept(owner: Owner) -> Owner:
    put_state(owner, "session", "trip", VALUE)
    return owner


@scenario("AP-60")
def get_conversation_state(world: World) -> Act:
    """A value of a conversation."""
    owner = _kept(_of_conversation(world))
    return lambda: get_state(owner, "session", "trip")


@scenario("AP-60")
def get_user_state(world: World) -> Act:
    """A value of a user."""
    owner = _kept(_of_user(world))
    return lambda: get_state(owner, "session", "trip")


@scenario("AP-61")
def put_conversation_state(world: World) -> Act:
    """A new value of a conversation."""
    owner = _of_conversation(world)
    return lambda: put_state(owner, "session", "trip", VALUE)


@scenario("AP-61")
def replace_conversation_state(world: World) -> Act:
    """Another value of a conversation."""
    owner = _kept(_of_conversation(world))
    return lambda: put_state(owner, "session", "trip", VALUE)


@scenario("AP-61")
def put_user_state(world: World) -> Act:
    """A new value of a user."""
    owner = _of_user(world)
    return lambda: put_state(owner, "session", "trip", VALUE)


@scenario("AP-61")
def replace_user_state(world: World) -> Act:
    """Another value of a user."""
    owner = _kept(_of_user(world))
    return lambda: put_state(owner, "session", "trip", VALUE)


@scenario("AP-61")
def put_state_nowhere(world: World) -> Act:
    """A conditional update in a missing conversation."""
    owner = Owner(acting_for(world.someone.user_id), NOWHERE)

    def put() -> None:
        with suppress(ItemNotFound):
            put_state(owner, "session", "trip", VALUE, if_version=1)

    return put


@scenario("AP-62")
def delete_conversation_state(world: World) -> Act:
    """A value of a conversation."""
    owner = _kept(_of_conversation(world))
    return lambda: delete_state(owner, "session", "trip")


@scenario("AP-62")
def delete_user_state(world: World) -> Act:
    """A value of a user."""
    owner = _kept(_of_user(world))
    return lambda: delete_state(owner, "session", "trip")


@scenario("AP-62")
def delete_state_nowhere(world: World) -> Act:
    """A value of a missing conversation."""
    owner = Owner(acting_for(world.someone.user_id), NOWHERE)

    def delete() -> None:
        with suppress(ItemNotFound):
            delete_state(owner, "session", "trip")

    return delete


@scenario("AP-63")
def list_user_state(world: World) -> Act:
    """A full page of a user's values."""
    owner = Owner(acting_for(world.agent.user_id))
    return lambda: list_states(owner, PAGE)


@scenario("AP-63")
def list_conversation_state(world: World) -> Act:
    """The values of a conversation."""
    owner = _kept(_of_conversation(world))
    return lambda: list_states(owner, PAGE, kind="session")


@scenario("AP-97")
def find_named_objects(world: World) -> Act:
    """Objects of fifty values that no longer refer to them."""
    owner = Owner(acting_for(world.new_user().user_id))
    stored = [put_state(owner, "application", f"key-{number:02}", number) for number in range(PAGE)]
    keys = [new_key(state.PK, state.SK) for state in stored]
    return lambda: named_objects(keys)
