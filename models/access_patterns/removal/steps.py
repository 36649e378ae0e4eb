"""The steps of a removal: what goes, in which order, of a conversation, an agent or a user.

The walk is always the same, and a part of the table is empty before the next one begins; so whoever goes on after a
worker that was killed meets the rest of its last page first. What leads to a thing goes after it.
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
# What is a user's in partitions of its own. The names stand in open jobs: another version may go on with them.
_OF_USERS: Mapping[str, type[Item]] = {
    "turns": Turn,
    "counts": TurnCount,
    "repeats": IdempotencyRecord,
    "requests": RequestCount,
}


def steps_of(job: Erasure, hold: Hold) -> Steps:
    """Remove all that a job is for but its head item, a page at a time.

    Raises:
        LeaseLost: another worker goes on with it.
        Contended: DynamoDB or the bucket kept leaving something undone; the job can be gone on with later.
    """
    match job.kind:
        case "conversation":
            return _contents(job, hold, job.target_id)
        case "agent":
            return _agent(job, hold)
        case _:
            return _everything(job, hold)


def _everything(job: Erasure, hold: Hold) -> Steps:
    """Remove all that is a user's but the profile: identity and keys first, so that nobody gets in any more."""
    user: User | None = get_including_hidden(User, user_id=job.user_id)
    if user is not None:
        _close_identity(user)
    partition = partition_of(User, user_id=job.user_id)
    yield from delete_items(job, hold, "keys", partition, ApiKeyEntry.SK.startswith(ApiKeyEntry.SK.template.prefix))
    yield from _conversations(job, hold, ConversationEntry.SK.template.prefix)
    for step, entity in _OF_USERS.items():
        own = partition_of(entity, user_id=job.user_id)
        yield from delete_items(job, hold, step, own, entity.SK.startswith(entity.SK.template.prefix))
    yield from delete_items(job, hold, "profile", partition, User.SK < _PROFILE)
    yield from delete_objects(job, hold, partition)


def _close_identity(user: User) -> None:
    """Keep whoever came with a token from coming in again; all that is left of the identity is its hash."""
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
    """Remove what leads others to an agent, then its owner's conversations with it; other people's are theirs."""
    agent: Agent | None = get_including_hidden(Agent, user_id=job.user_id, agent_id=job.target_id)
    if agent is not None:
        delete_batch(leads_to(agent))
    yield from _conversations(job, hold, f"{ConversationEntry.SK.template.prefix}{job.target_id}#")


def _conversations(job: Erasure, hold: Hold, prefix: str) -> Steps:
    """Remove a user's conversations, one after the other; first each header is marked, so that nobody writes to it."""
    partition = partition_of(User, user_id=job.user_id)
    while found := first_items(partition, ConversationEntry.SK.startswith(prefix), limit=1):
        key = ConversationEntry.SK.template.parse(found[0]["SK"]["S"]) or {}
        header = Conversation.from_key(conversation_id=key["conversation_id"])
        marks = [Conversation.status.set(DELETING), Conversation.erasure_id.set(job.erasure_id), *unreachable()]
        there = True
        try:
            update_present(header, marks, Conversation.user_id == job.user_id, "conversation")
        except ItemNotFound:
            # Its TTL or another erasure was faster; what may be left of it goes all the same.
            there = False
        yield from _contents(job, hold, header.conversation_id)
        if there:
            checkpoint(job, hold, (header.conversation_id, header.SK), {Conversation.ENTITY: 1})
            delete_batch([(header.PK, header.SK)])
        # What leads to the header goes when the header is gone, and not in the same batch, which has no order.
        delete_batch([(found[0]["PK"]["S"], found[0]["SK"]["S"])])
        yield


def _contents(job: Erasure, hold: Hold, conversation_id: str) -> Steps:
    """Remove all that is in a conversation but its header."""
    partition = partition_of(Conversation, conversation_id=conversation_id)
    yield from delete_items(job, hold, conversation_id, partition, Message.SK < _HEADER)
    yield from delete_objects(job, hold, partition)
