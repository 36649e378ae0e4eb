"""The steps of a removal: what is deleted in which order for a conversation, an agent or a user.

The order is fixed, and each step empties its range before the next step begins. So a worker that takes over from a dead
one finds the rest of its last page first. An item that leads to others is deleted after them.
"""

from collections.abc import Mapping
from contextlib import suppress

from pynamodb.expressions.update import Action

from models.access_patterns.erasure import Hold, unreachable
from models.access_patterns.removal.pages import Steps, delete_items, delete_objects, first_items, partition_of
from models.access_patterns.removal.progress import checkpoint
from models.access_patterns.sharing import leads_to
from models.agent import Agent
from models.api_key import ApiKeyEntry
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.message import Message
from models.request_count import RequestCount
from models.table import clock
from models.table.changes import update_present
from models.table.errors import ItemNotFound
from models.table.item import DELETING, Item
from models.table.reading import get_including_hidden
from models.table.writing import delete_batch
from models.turn import Turn, TurnCount
from models.user import User

_HEADER = Conversation.SK.template.text
_PROFILE = User.SK.template.text
# A user's data in separate partitions. The names are stored in unfinished jobs, which another version may resume.
_OTHER_PARTITIONS: Mapping[str, type[Item]] = {
    "turns": Turn,
    "counts": TurnCount,
    "repeats": IdempotencyRecord,
    "requests": RequestCount,
}


def steps_of(job: Erasure, hold: Hold) -> Steps:
    """Remove everything that a job covers except its head item, one page at a time.

    Raises:
        LeaseLost: another worker has taken over the job.
        Contended: DynamoDB or the bucket kept leaving deletes undone; the job can be resumed later.
    """
    match job.kind:
        case "conversation":
            return _contents(job, hold, job.target_id)
        case "agent":
            return _agent(job, hold)
        case _:
            return _everything(job, hold)


def _everything(job: Erasure, hold: Hold) -> Steps:
    """Remove all data of a user except the profile: identity and keys first, so that nobody can authenticate."""
    user: User | None = get_including_hidden(User, user_id=job.user_id)
    if user is not None:
        _close_identity(user)
    partition = partition_of(User, user_id=job.user_id)
    yield from delete_items(job, hold, "keys", partition, ApiKeyEntry.SK.startswith(ApiKeyEntry.SK.template.prefix))
    yield from _conversations(job, hold, ConversationEntry.SK.template.prefix)
    for step, entity in _OTHER_PARTITIONS.items():
        own = partition_of(entity, user_id=job.user_id)
        yield from delete_items(job, hold, step, own, entity.SK.startswith(entity.SK.template.prefix))
    yield from delete_items(job, hold, "profile", partition, User.SK < _PROFILE)
    yield from delete_objects(job, hold, partition)


def _close_identity(user: User) -> None:
    """Close the identity of a user who signed in with a token: they cannot sign in again, and only its hash is kept."""
    if user.identity_hash is None:
        return
    actions: list[Action] = [
        Identity.status.set("closed"),
        Identity.closed_at.set(clock.now()),
        Identity.user_id.remove(),
        Identity.issuer.remove(),
        Identity.subject.remove(),
    ]
    with suppress(ItemNotFound):
        update_present(Identity.from_key(identity_hash=user.identity_hash), actions, None, "identity")


def _agent(job: Erasure, hold: Hold) -> Steps:
    """Remove an agent's shares, then its owner's conversations with it; other users keep their conversations."""
    agent: Agent | None = get_including_hidden(Agent, user_id=job.user_id, agent_id=job.target_id)
    if agent is not None:
        delete_batch(leads_to(agent))
    yield from _conversations(job, hold, f"{ConversationEntry.SK.template.prefix}{job.target_id}#")


def _conversations(job: Erasure, hold: Hold, prefix: str) -> Steps:
    """Remove a user's conversations one by one; each header is first marked, so that nobody can write to it."""
    partition = partition_of(User, user_id=job.user_id)
    while found := first_items(partition, ConversationEntry.SK.startswith(prefix), limit=1):
        key = ConversationEntry.SK.template.parse(found[0]["SK"]["S"]) or {}
        header = Conversation.from_key(conversation_id=key["conversation_id"])
        marks = [Conversation.status.set(DELETING), Conversation.erasure_id.set(job.erasure_id), *unreachable()]
        there = True
        try:
            update_present(header, marks, Conversation.user_id == job.user_id, "conversation")
        except ItemNotFound:
            # Its TTL or another erasure was faster; remove what may be left of it.
            there = False
        yield from _contents(job, hold, header.conversation_id)
        if there:
            checkpoint(job, hold, (header.conversation_id, header.SK), {Conversation.ENTITY: 1})
            delete_batch([(header.PK, header.SK)])
        # The entry is deleted after the header, and not in the same batch, because a batch has no order.
        delete_batch([(found[0]["PK"]["S"], found[0]["SK"]["S"])])
        yield


def _contents(job: Erasure, hold: Hold, conversation_id: str) -> Steps:
    """Remove everything in a conversation except its header."""
    partition = partition_of(Conversation, conversation_id=conversation_id)
    yield from delete_items(job, hold, conversation_id, partition, Message.SK < _HEADER)
    yield from delete_objects(job, hold, partition)
