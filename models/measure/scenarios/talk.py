"""Conversations and messages."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial

from models.access_patterns import conversations, entries, messages, reasoning
from models.access_patterns.messages import Draft
from models.conversation import Conversation
from models.measure.scenario import Act, scenario
from models.measure.world import ANSWER, PAGE, QUESTION, REASONING, World
from models.message import Message, MessageReasoning
from models.table.errors import ItemNotFound
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for
from models.turn import TurnCount

WINDOW = 20


@scenario("AP-30")
def create_conversation(world: World) -> Act:
    """A new conversation."""
    agent = world.agent
    return lambda: conversations.create_conversation(
        acting_for(agent.user_id), agent.agent_id, title="A journey to Lisbon"
    )


@scenario("AP-31")
def get_conversation(world: World) -> Act:
    """An existing conversation."""
    conversation = world.conversation
    return lambda: conversations.get_conversation(acting_for(conversation.user_id), conversation.conversation_id)


@scenario("AP-32")
def open_conversation(world: World) -> Act:
    """The header and the newest 20 messages."""
    conversation = world.conversation
    return lambda: conversations.open_conversation(
        acting_for(conversation.user_id), conversation.conversation_id, WINDOW
    )


@scenario("AP-33")
def list_conversations(world: World) -> Act:
    """A full page of all statuses."""
    owner = acting_for(world.agent.user_id)
    return lambda: conversations.list_conversations(owner, PAGE)


@scenario("AP-34")
def list_agent_conversations(world: World) -> Act:
    """A full page."""
    agent = world.agent
    return lambda: conversations.list_agent_conversations(acting_for(agent.user_id), agent.agent_id, PAGE)


@scenario("AP-35")
def update_conversation(world: World) -> Act:
    """Another title, which is projected into both indexes, and a name in the metadata."""
    conversation = world.long_conversation()
    changes = {"title": "Lisbon and Porto", "metadata": {"topic": "travel"}}
    return lambda: conversations.update_conversation(
        acting_for(conversation.user_id), conversation.conversation_id, changes
    )


@scenario("AP-35")
def update_conversation_with_nothing(world: World) -> Act:
    """No changes, so it is only read."""
    conversation = world.conversation
    return lambda: conversations.update_conversation(acting_for(conversation.user_id), conversation.conversation_id, {})


@scenario("AP-36")
def set_conversation_status(world: World) -> Act:
    """An active conversation is completed."""
    conversation = world.long_conversation()
    return lambda: conversations.set_conversation_status(
        acting_for(conversation.user_id), conversation.conversation_id, "completed"
    )


@scenario("AP-78")
def list_conversation_entries(world: World) -> Act:
    """A full page."""
    owner = acting_for(world.agent.user_id)
    return lambda: entries.list_conversation_entries(owner, PAGE)


@scenario("AP-79")
def list_turns(world: World) -> Act:
    """A full page."""
    owner = acting_for(world.new_conversation(messages=2 * PAGE + 2).user_id)
    return lambda: entries.list_turns(owner, PAGE)


@scenario("AP-110")
def list_turn_counts(world: World) -> Act:
    """A full page."""
    agent = world.new_agent()
    owner = acting_for(agent.user_id)
    world.put(
        [
            TurnCount(
                user_id=owner,
                turn_id=new_id("turn"),
                agent_id=agent.agent_id,
                model="echo-1",
                input_tokens=1500,
                output_tokens=300,
            )
            for _ in range(PAGE + 1)
        ]
    )
    return lambda: entries.list_turn_counts(owner, PAGE)


@scenario("AP-40")
def append_messages(world: World) -> Act:
    """One message, more than a minute after the last: the activity indexes are updated."""
    conversation = world.long_conversation()
    return lambda: messages.append_messages(
        acting_for(conversation.user_id), conversation.conversation_id, [Draft("user", QUESTION)]
    )


@scenario("AP-40")
def append_message_with_reasoning(world: World) -> Act:
    """An answer with its reasoning, as an import appends it."""
    return lambda: _said(world, REASONING)


@scenario("AP-41")
def list_messages(world: World) -> Act:
    """A full page, oldest first."""
    conversation = world.conversation
    return lambda: messages.list_messages(acting_for(conversation.user_id), conversation.conversation_id, PAGE)


@scenario("AP-41")
def list_newest_messages(world: World) -> Act:
    """A full page, newest first."""
    conversation = world.conversation
    return lambda: messages.list_messages(
        acting_for(conversation.user_id), conversation.conversation_id, PAGE, descending=True
    )


@scenario("AP-41")
def list_messages_between(world: World) -> Act:
    """The messages of a period, oldest first."""
    conversation = world.conversation
    start = conversation.started_at
    return lambda: messages.list_messages(
        acting_for(conversation.user_id),
        conversation.conversation_id,
        PAGE,
        since=start,
        until=start + timedelta(seconds=9),
    )


def _said(world: World, reasoning: str | None = None) -> tuple[UserId, str, str]:
    conversation = world.long_conversation()
    (message,) = messages.append_messages(
        acting_for(conversation.user_id),
        conversation.conversation_id,
        [Draft("agent", ANSWER[:600], turn_id="turn_" + "0" * 26, reasoning=reasoning)],
    )
    return acting_for(conversation.user_id), conversation.conversation_id, message.message_id


@scenario("AP-42")
def get_message(world: World) -> Act:
    """An existing message."""
    said = _said(world)
    return lambda: messages.get_message(*said)


@scenario("AP-42")
def get_message_and_its_reasoning(world: World) -> Act:
    """A message with its reasoning."""
    said = _said(world, REASONING)
    return lambda: messages.get_message(*said, reasoning=True)


@scenario("AP-42")
def get_no_message(world: World) -> Act:
    """An invalid message id."""
    return partial(_try, messages.get_message, world.conversation)


@scenario("AP-43")
def delete_message(world: World) -> Act:
    """A message whose turn has no record."""
    said = _said(world)
    return lambda: messages.delete_message(*said)


@scenario("AP-43")
def delete_message_with_reasoning(world: World) -> Act:
    """A message with its reasoning."""
    said = _said(world, REASONING)
    return lambda: messages.delete_message(*said)


@scenario("AP-43")
def delete_no_message(world: World) -> Act:
    """An invalid message id."""
    return partial(_try, messages.delete_message, world.conversation)


@scenario("AP-44")
def read_reasoning(world: World) -> Act:
    """A page in which each answer has some."""
    conversation = world.conversation
    page = messages.list_messages(acting_for(conversation.user_id), conversation.conversation_id, PAGE).items
    answers = [message for message in page if message.sender == "agent"]
    world.put(
        MessageReasoning(conversation_id=message.conversation_id, ts=message.ts, text=REASONING) for message in answers
    )

    def read() -> None:
        reasoning.read_reasoning(
            Message(conversation_id=each.conversation_id, ts=each.ts, reasoned=True) for each in answers
        )

    return read


def _try(act: Callable[[UserId, str, str], object], conversation: Conversation) -> None:
    with suppress(ItemNotFound):
        act(acting_for(conversation.user_id), conversation.conversation_id, "none")
