"""Erasure: a thing is unreachable at once, then removed with all that is its own, then gone itself.

Each step can be done twice. A removal that was cut short leaves its head item marked as `deleting`; the same call again
goes on where it stopped.
"""

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.api_keys import list_api_keys
from models.access_patterns.conversations import list_agent_conversations, list_conversations
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.agent import Agent
from models.api_key import ApiKey, ApiKeyEntry
from models.changes import update_present
from models.conversation import Conversation
from models.message import Message
from models.reading import query
from models.state import ConversationState, UserState
from models.table import DELETING, Item
from models.turn import Turn
from models.user import EmailClaim, User
from models.writing import delete_batch

_CHUNK = 100
_HEADER = Conversation.SK.template.text
_PROFILE = User.SK.template.text


@access_pattern(
    "AP-70",
    "Delete a conversation",
    question="Forget this conversation of mine, with everything in it.",
    requests=(
        Request("UpdateItem", (Conversation,)),
        Request("Query", (Message, ConversationState), sort_key="SK < THREAD", consistent=True, order="ascending"),
        Request(
            "BatchWriteItem",
            writes=(
                Write("Delete", Message),
                Write("Delete", ConversationState, optional=True),
                Write("Delete", Turn, optional=True),
                Write("Delete", Conversation),
            ),
        ),
    ),
    budget=Budget(7, 8, 60, "20 messages of 1 KB in 10 turns; grows with the conversation, 25 items a request"),
    routes=("DELETE /api/v1/conversations/{conversation_id}",),
)
def delete_conversation(user_id: str, conversation_id: str) -> None:
    """Delete a conversation of this user with its messages, its state and the records of its turns.

    A turn that runs at this moment loses its lease, and will write nothing.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    header = Conversation.keyed(conversation_id=conversation_id)
    actions = [
        Conversation.user_activity.remove(),
        Conversation.user_agent.remove(),
        Conversation.agent_activity.remove(),
        Conversation.lease_turn.remove(),
        Conversation.fence.add(1),
    ]
    _mark(header, actions, Conversation.user_id == user_id, "conversation")
    _empty(header.PK, _HEADER)
    delete_batch([(header.PK, header.SK)])


@access_pattern(
    "AP-71",
    "Delete an agent",
    question="Forget this agent of mine, with all conversations that I had with it.",
    requests=(
        Request("UpdateItem", (Agent,)),
        Request("Query", (Conversation,), index="conversations_by_agent", order="descending"),
        Request("UpdateItem", (Conversation,), optional=True),
        Request(
            "Query",
            (Message, ConversationState),
            sort_key="SK < THREAD",
            consistent=True,
            order="ascending",
            optional=True,
        ),
        Request("BatchWriteItem", writes=(Write("Delete", Conversation, optional=True), Write("Delete", Agent))),
    ),
    budget=Budget(3, 1, 4, "an agent without conversations; those of AP-70 more for each conversation"),
    routes=("DELETE /api/v1/agents/{agent_id}",),
)
def delete_agent(user_id: str, agent_id: str) -> None:
    """Delete an agent of this user and the user's conversations with it; no new ones begin meanwhile.

    Raises:
        ItemNotFound: the user has no such agent.
    """
    agent = Agent.keyed(user_id=user_id, agent_id=agent_id)
    _mark(agent, [], None, "agent")
    while conversations := list_agent_conversations(user_id, agent_id, _CHUNK).items:
        for conversation in conversations:
            delete_conversation(user_id, conversation.conversation_id)
    delete_batch([(agent.PK, agent.SK)])


@access_pattern(
    "AP-72",
    "Delete a user",
    question="Forget this person, with everything that is theirs.",
    requests=(
        Request("UpdateItem", (User,)),
        Request("Query", (ApiKeyEntry,), sort_key="begins_with KEY#", consistent=True, order="ascending"),
        Request("Query", (Conversation,), index="conversations_by_user", order="descending"),
        Request("UpdateItem", (Conversation,), optional=True),
        Request(
            "Query",
            (Message, ConversationState),
            sort_key="SK < THREAD",
            consistent=True,
            order="ascending",
            optional=True,
        ),
        Request("Query", (Agent, ApiKeyEntry, UserState), sort_key="SK < PROFILE", consistent=True, order="ascending"),
        Request(
            "BatchWriteItem",
            writes=(
                Write("Delete", User),
                Write("Delete", EmailClaim),
                Write("Delete", ApiKey, optional=True),
                Write("Delete", ApiKeyEntry, optional=True),
                Write("Delete", Agent, optional=True),
                Write("Delete", UserState, optional=True),
            ),
        ),
    ),
    budget=Budget(9, 5, 12, "a user with one key; those of AP-70 more for each conversation"),
    routes=("DELETE /api/v1/users/{user_id}", "DELETE /api/v1/users/me"),
)
def delete_user(user_id: str) -> None:
    """Delete a user: the keys first, then the conversations, agents and state, then the email and the profile.

    Raises:
        ItemNotFound: there is no such user.
    """
    user = User.keyed(user_id=user_id)
    _mark(user, [], None, "user")
    _shut_out(user_id)
    while conversations := list_conversations(user_id, _CHUNK).items:
        for conversation in conversations:
            delete_conversation(user_id, conversation.conversation_id)
    _empty(user.PK, _PROFILE)
    claim = EmailClaim(email=user.email)
    delete_batch([(claim.PK, claim.SK), (user.PK, user.SK)])


def _mark(item: Item, actions: list[Action], condition: Condition | None, what: str) -> None:
    """Make an item unreachable; one that is marked already is marked again. Loads the item."""
    status = type(item).get_attributes()["status"]
    update_present(item, [*actions, status.set(DELETING)], condition, what)


def _shut_out(user_id: str) -> None:
    """Delete what the user's API keys are looked up by; their entries go with the rest of the partition."""
    last = None
    while True:
        page = list_api_keys(user_id, _CHUNK, last)
        lookups = [ApiKey.keyed(key_hash=entry.key_hash) for entry in page.items]
        delete_batch([(lookup.PK, lookup.SK) for lookup in lookups])
        if not page.more:
            return
        last = page.items[-1].key_id


def _empty(partition: str, head: str) -> None:
    """Delete all items of a partition that sort before its head item, and the records of the turns they belong to."""
    while True:
        page = query(
            partition, head > Message.SK, limit=_CHUNK, consistent=True, attributes=["PK", "SK", "turn_id"], peek=False
        )
        if not page.items:
            return
        keys = [(raw["PK"]["S"], raw["SK"]["S"]) for raw in page.items]
        turns = {raw["turn_id"]["S"] for raw in page.items if "turn_id" in raw}
        # The turns go first: once the messages are gone, nothing leads to them.
        records = [Turn.keyed(turn_id=turn_id) for turn_id in sorted(turns)]
        delete_batch([(record.PK, record.SK) for record in records])
        delete_batch(keys)
