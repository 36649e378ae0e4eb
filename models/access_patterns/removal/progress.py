"""The progress of a removal: checkpoints, which count items and renew the lease, and completion with the receipt.

A worker whose lease was taken over notices it at its next checkpoint; deleting until then is harmless, because the
items must be deleted anyway.
"""

from collections.abc import Mapping

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.erasure import Hold
from models.access_patterns.roots import entry_of
from models.agent import Agent
from models.conversation import Conversation, ConversationEntry
from models.erasure import RECEIPTS_KEPT, Erasure, PendingErasure
from models.table import clock
from models.table.changes import condition_failed, set_or_remove
from models.table.errors import LeaseLost
from models.table.item import Item, expiry
from models.table.reading import get_including_hidden
from models.table.writing import ConditionFailed, Transaction
from models.user import EmailClaim, User


def checkpoint(job: Erasure, hold: Hold, place: tuple[str, str], counts: Mapping[str, int]) -> None:
    """Record the counts of what will be deleted up to a position, and renew the lease; idempotent.

    Raises:
        LeaseLost: another worker has taken over the job.
    """
    if job.counts_to(*place):
        counts = {}
    actions: list[Action] = [
        Erasure.removed.set(_sum(job, counts)),
        Erasure.counted.set(list(place)),
        Erasure.lease_expires_at.set(clock.table_now() + hold.lease),
    ]
    try:
        job.update(actions=actions, condition=_lease_held(job))
    except UpdateError as error:
        if condition_failed(error):
            raise LeaseLost(job.erasure_id) from error
        raise


def complete(job: Erasure, head: Item | None) -> None:
    """Delete the head item and turn the job into its receipt, both or neither.

    Raises:
        LeaseLost: another worker has taken over the job.
    """
    leads = _leads_to(head)
    moment = clock.now()
    removed = _sum(job, {type(head).ENTITY: 1} if head is not None else {})
    transaction = Transaction()
    for part, item in enumerate([head, *leads] if head is not None else []):
        transaction.delete(f"part {part}", item)
    actions: list[Action] = [
        Erasure.completed_at.set(moment),
        Erasure.removed.set(removed),
        set_or_remove(Erasure.expires_at, expiry(moment + RECEIPTS_KEPT)),
        Erasure.lease_expires_at.remove(),
    ]
    transaction.update("erasure", job, actions, _lease_held(job))
    transaction.delete("pending", PendingErasure(erasure_id=job.erasure_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise LeaseLost(job.erasure_id) from error
    job.completed_at, job.removed, job.lease_expires_at = moment, removed, None


def head_of(job: Erasure) -> Item | None:
    """Return a job's head item (header, agent or profile), or None if it is gone.

    Cost: 1 GetItem.
    """
    if job.kind == "conversation":
        header: Conversation | None = get_including_hidden(Conversation, conversation_id=job.target_id)
        return None if header is None or header.user_id != job.user_id else header
    if job.kind == "agent":
        agent: Agent | None = get_including_hidden(Agent, user_id=job.user_id, agent_id=job.target_id)
        return agent
    user: User | None = get_including_hidden(User, user_id=job.user_id)
    return user


def _leads_to(head: Item | None) -> list[Item]:
    """Return the items that lead to a head item."""
    if isinstance(head, Conversation):
        if head.root_id is not None:
            return [entry_of(head)]
        of = {"user_id": head.user_id, "agent_id": head.agent_id, "conversation_id": head.conversation_id}
        return [ConversationEntry.from_key(**of)]
    if isinstance(head, User) and head.email is not None:
        return [EmailClaim.of(head.email)]
    return []


def _sum(job: Erasure, counts: Mapping[str, int]) -> dict[str, int]:
    return dict(
        sorted((job.removed | {name: job.removed.get(name, 0) + count for name, count in counts.items()}).items())
    )


def _lease_held(job: Erasure) -> Condition:
    condition: Condition = (Erasure.fence == job.fence) & (Erasure.worker == job.worker)
    condition &= Erasure.completed_at.does_not_exist()
    return condition
