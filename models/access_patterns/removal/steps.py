"""The steps of a removal: what is deleted in which order for a conversation, an agent or a user.

The order is fixed, and each step empties its range before the next step begins. So a worker that takes over from a dead
one finds the rest of its last page first. An item that leads to others is deleted after them.
"""

from collections.abc import Mapping
from contextlib import suppress

from pynamodb.expressions.update import Action

from models.access_patterns.erasure import Hold
from models.access_patterns.removal.branches import branches_below, entries_in, hide, inactive, mark
from models.access_patterns.removal.pages import Steps, delete_items, delete_objects, first_items, partition_of
from models.access_patterns.removal.progress import checkpoint
from models.access_patterns.roots import entry_of
from models.access_patterns.sharing import leads_to
from models.agent import Agent
from models.api_key import ApiKeyEntry
from models.branch import BranchEntry
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.message import Message
from models.request_count import RequestCount
from models.table import clock
from models.table.changes import update_present
from models.table.errors import ItemNotFound
from models.table.item import Item
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


def steps_of(job: Erasure, hold: Hold, head: Item | None) -> Steps:
    """Remove everything that a job covers except its head item, `head` if it is still there, one page at a time.

    Raises:
        LeaseLost: another worker has taken over the job.
        Contended: DynamoDB or the bucket kept leaving deletes undone; the job can be resumed later.
    """
    match job.kind:
        case "conversation":
            return _conversation(job, hold, head)
        case "agent":
            return _agent(job, hold, head)
        case _:
            return _everything(job, hold, head)


def _everything(job: Erasure, hold: Hold, user: Item | None) -> Steps:
    """Remove all data of a user except the profile: identity and keys first, so that nobody can authenticate."""
    if isinstance(user, User):
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


def _agent(job: Erasure, hold: Hold, agent: Item | None) -> Steps:
    """Remove an agent's shares, then its owner's conversations with it; other users keep their conversations."""
    if isinstance(agent, Agent):
        delete_batch(leads_to(agent))
    yield from _conversations(job, hold, f"{ConversationEntry.SK.template.prefix}{job.target_id}#")


def _conversations(job: Erasure, hold: Hold, prefix: str) -> Steps:
    """Remove a user's conversations one by one, each with its branches."""
    partition = partition_of(User, user_id=job.user_id)
    while found := first_items(partition, ConversationEntry.SK.startswith(prefix), limit=1):
        key = ConversationEntry.SK.template.parse(found[0]["SK"]["S"]) or {}
        header = Conversation.from_key(conversation_id=key["conversation_id"])
        yield from _whole(job, hold, header, there=mark(job, header))
        # The entry is deleted after the header, and not in the same batch, because a batch has no order.
        delete_batch([(found[0]["PK"]["S"], found[0]["SK"]["S"])])
        yield


def _conversation(job: Erasure, hold: Hold, header: Item | None) -> Steps:
    """Remove what hangs on a conversation, and everything in it; for a branch, the branches that leave it too."""
    if isinstance(header, Conversation) and header.root_id is not None:
        yield from _branches_below(job, hold, header)
    yield from _contents(job, hold, job.target_id)


def _branches_below(job: Erasure, hold: Hold, branch: Conversation) -> Steps:
    """Remove the branches that leave a branch, directly or not: those that hang on others first.

    All are marked before any is removed, and looked for until no new one is found, so that none can be missed.
    """
    inactive(branch)
    hide(entry_of(branch))
    marked: dict[str, bool] = {}
    while found := branches_below(branch):
        new = [entry for entry in found if entry.branch_id not in marked]
        for entry in new:
            header = Conversation.from_key(conversation_id=entry.branch_id)
            header.root_id = branch.root_id
            marked[entry.branch_id] = mark(job, header)
            inactive(header)
            hide(entry)
        if new:
            continue
        for entry in reversed(found):
            yield from _branch(job, hold, entry, there=marked[entry.branch_id])


def _branch(job: Erasure, hold: Hold, entry: BranchEntry, *, there: bool) -> Steps:
    header = Conversation.from_key(conversation_id=entry.branch_id)
    yield from _whole(job, hold, header, there=there)
    delete_batch([(entry.PK, entry.SK)])
    yield


def _whole(job: Erasure, hold: Hold, header: Conversation, *, there: bool) -> Steps:
    """Remove everything in a conversation, and then its header, if that is `there`."""
    yield from _contents(job, hold, header.conversation_id)
    if there:
        checkpoint(job, hold, (header.conversation_id, header.SK), {Conversation.ENTITY: 1})
        delete_batch([(header.PK, header.SK)])


def _contents(job: Erasure, hold: Hold, conversation_id: str) -> Steps:
    """Remove everything in a conversation except its header; a root's branches first."""
    partition = partition_of(Conversation, conversation_id=conversation_id)
    # Entries of branches sort before everything else, so a conversation without branches costs no request more.
    while (found := first_items(partition, Message.SK < _HEADER)) and (entries := entries_in(found)):
        for entry in entries:
            there = mark(job, Conversation.from_key(conversation_id=entry.branch_id))
            if not there:
                hide(entry)
            yield from _branch(job, hold, entry, there=there)
    yield from delete_items(job, hold, conversation_id, partition, Message.SK < _HEADER, found)
    yield from delete_objects(job, hold, partition)
