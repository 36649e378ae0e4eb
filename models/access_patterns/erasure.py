"""Erasure: a thing is unreachable at once, then removed with all that is its own, then gone itself.

Each step can be done twice. A removal that was cut short leaves its head item marked as `deleting`; the same call again
goes on where it stopped.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models import clock
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.agent import Agent
from models.api_key import ApiKey, ApiKeyEntry
from models.changes import update_present
from models.conversation import Conversation
from models.errors import ItemNotFound
from models.message import Message
from models.reading import query
from models.state import ConversationState, UserState
from models.table import DELETING, Item
from models.tenancy import UserId
from models.turn import Turn, TurnEntry
from models.user import EmailClaim, User
from models.writing import ConditionFailed, Transaction, delete_batch

_CHUNK = 100
_HEADER = Conversation.SK.template.text
_PROFILE = User.SK.template.text
_CONTENTS = Request(
    "Query",
    (Message, ConversationState, TurnEntry),
    sort_key="SK < THREAD",
    consistent=True,
    order="ascending",
    page="100",
)
_CONTENTS_DELETED = tuple(
    Write("Delete", entity, optional=True) for entity in (Message, ConversationState, TurnEntry, Turn)
)


@access_pattern(
    "AP-70",
    "Delete a conversation",
    question="Forget this conversation of mine, with everything in it.",
    requests=(
        Request("UpdateItem", (Conversation,)),
        _CONTENTS,
        Request("BatchWriteItem", writes=(*_CONTENTS_DELETED, Write("Delete", Conversation))),
    ),
    budget=Budget(
        7, 8, 60, "20 messages of 1 KB in 10 turns; grows with the conversation, 25 items a request", grows=True
    ),
    routes=("DELETE /api/v1/conversations/{conversation_id}",),
)
def delete_conversation(user_id: UserId, conversation_id: str) -> None:
    """Delete a conversation of this user with its messages, its state and the records of its turns.

    A turn that runs at this moment loses its lease, and will write nothing.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    header = Conversation.keyed(conversation_id=conversation_id, listed_at=clock.now(), status=DELETING)
    actions: list[Action] = [
        # No list of any status shows it now; but the indexes still lead to it, should its removal be cut short.
        Conversation.user_activity.set(header.user_activity),
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
        Request("Query", (Conversation,), index="conversations_by_agent", order="ascending", page="100"),
        Request("UpdateItem", (Conversation,), optional=True),
        replace(_CONTENTS, optional=True),
        Request(
            "BatchWriteItem",
            writes=(*_CONTENTS_DELETED, Write("Delete", Conversation, optional=True), Write("Delete", Agent)),
        ),
    ),
    budget=Budget(3, 1, 4, "an agent without conversations; those of AP-70 more for each conversation", grows=True),
    routes=("DELETE /api/v1/agents/{agent_id}",),
)
def delete_agent(user_id: UserId, agent_id: str) -> None:
    """Delete an agent of this user and the user's conversations with it; no new ones begin meanwhile.

    Raises:
        ItemNotFound: the user has no such agent.
    """
    agent = Agent.keyed(user_id=user_id, agent_id=agent_id)
    _mark(agent, [Agent.agent_key.remove()], None, "agent")
    partition = Conversation.user_agent.template.render(user_id=user_id, agent_id=agent_id)
    _delete_conversations(user_id, "conversations_by_agent", partition)
    delete_batch([(agent.PK, agent.SK)])


@access_pattern(
    "AP-72",
    "Delete a user",
    question="Forget this person, with everything that is theirs.",
    requests=(
        Request("UpdateItem", (User,)),
        Request("Query", (ApiKeyEntry,), sort_key="begins_with KEY#", consistent=True, order="ascending", page="100"),
        Request("Query", (Conversation,), index="conversations_by_user", order="ascending", page="100"),
        Request("UpdateItem", (Conversation,), optional=True),
        replace(_CONTENTS, optional=True),
        Request(
            "Query",
            (Agent, ApiKeyEntry, UserState),
            sort_key="SK < PROFILE",
            consistent=True,
            order="ascending",
            page="100",
        ),
        Request(
            "BatchWriteItem",
            writes=(
                *_CONTENTS_DELETED,
                Write("Delete", Conversation, optional=True),
                Write("Delete", ApiKey, optional=True),
                Write("Delete", ApiKeyEntry, optional=True),
                Write("Delete", Agent, optional=True),
                Write("Delete", UserState, optional=True),
            ),
            optional=True,
        ),
        Request("TransactWriteItems", writes=(Write("Delete", EmailClaim), Write("Delete", User))),
    ),
    budget=Budget(9, 5, 12, "a user with one key; those of AP-70 more for each conversation", grows=True),
    routes=("DELETE /api/v1/users/{user_id}", "DELETE /api/v1/users/me"),
)
def delete_user(user_id: UserId) -> None:
    """Delete a user: the keys first, then the conversations, agents and state, then the email and the profile.

    Raises:
        ItemNotFound: there is no such user.
    """
    user = User.keyed(user_id=user_id)
    _mark(user, [], None, "user")
    _shut_out(user_id)
    _delete_conversations(user_id, "conversations_by_user", user_id)
    _empty(user.PK, _PROFILE)
    transaction = Transaction()
    ours = EmailClaim.PK.does_not_exist() | (EmailClaim.user_id == user_id)
    transaction.delete("email", EmailClaim(email=user.email), ours)
    transaction.delete("user", user)
    # The claim is another user's only where somebody else has finished this removal meanwhile.
    with suppress(ConditionFailed):
        transaction.commit()


def _mark(item: Item, actions: list[Action], condition: Condition | None, what: str) -> None:
    """Make an item unreachable; one that is marked already is marked again. Loads the item."""
    status = type(item).get_attributes()["status"]
    update_present(item, [*actions, status.set(DELETING)], condition, what)


def _shut_out(user_id: UserId) -> None:
    """Delete the user's API keys, expired ones too: first what they are looked up by, then their entries."""
    partition = ApiKeyEntry.PK.template.render(user_id=user_id)
    entries = ApiKeyEntry.SK.startswith(ApiKeyEntry.SK.template.prefix)
    while found := _raw(partition, entries, "key_hash"):
        lookups = [ApiKey.keyed(key_hash=raw["key_hash"]["S"]) for raw in found]
        delete_batch([(lookup.PK, lookup.SK) for lookup in lookups])
        delete_batch(_keys(found))


def _delete_conversations(user_id: UserId, index: str, partition: str) -> None:
    """Delete the conversations that an index leads to, those too whose removal was cut short."""
    while found := query(partition, None, index=index, limit=_CHUNK, attributes=["PK", "SK"], peek=False).items:
        for key, _ in _keys(found):
            fields = Conversation.PK.template.parse(key) or {}
            # The index may be a moment behind and lead to what is gone.
            with suppress(ItemNotFound):
                delete_conversation(user_id, **fields)


def _empty(partition: str, head: str) -> None:
    """Delete all items of a partition that sort before its head item, and the records of the turns they belong to."""
    while found := _raw(partition, head > Message.SK, "turn_id"):
        turns = {raw["turn_id"]["S"] for raw in found if "turn_id" in raw}
        # The turns go first: once the messages are gone, nothing leads to them.
        records = [Turn.keyed(turn_id=turn_id) for turn_id in sorted(turns)]
        delete_batch([(record.PK, record.SK) for record in records])
        delete_batch(_keys(found))


def _raw(partition: str, sort: Condition, attribute: str) -> tuple[Any, ...]:
    """Return the keys of the first items of a part of a partition, and one attribute more, whatever they are."""
    attributes = ["PK", "SK", attribute]
    return query(partition, sort, limit=_CHUNK, consistent=True, attributes=attributes, peek=False).items


def _keys(found: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(raw["PK"]["S"], raw["SK"]["S"]) for raw in found]
