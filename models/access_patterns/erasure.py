"""Erasure: one transaction makes a conversation, an agent or a user unreachable and creates the job that removes it.

From then on nothing can be added: every write to a conversation, an agent or a user has the condition that it is not
being deleted. Everything written before is found by strongly consistent reads of the base table
(`ConversationEntry`), so an index that lags behind cannot hide a conversation. The job itself is AP-73, in
`models.access_patterns.removal.erase`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.audit_records import event, record
from models.access_patterns.conversations import owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.users import is_active
from models.agent import Agent
from models.audit import Action as AuditAction
from models.audit import AuditEvent
from models.conversation import Conversation
from models.erasure import ID_PREFIX, Erasure, ErasureKind, PendingErasure
from models.table import clock
from models.table.changes import condition_failed
from models.table.errors import Contended, ItemNotFound
from models.table.ids import new_id
from models.table.item import DELETING, Item
from models.table.reading import Page, get, get_including_hidden, keys, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.user import User

_DELETED: dict[str, AuditAction] = {
    "conversation": "conversation.deleted",
    "agent": "agent.deleted",
    "user": "user.deleted",
}


@dataclass(frozen=True)
class Hold:
    """The lease on an erasure: the worker that runs it, and the time without a heartbeat after which it expires."""

    worker: str
    lease: timedelta


def _asking(entity: type[Item]) -> tuple[Request, ...]:
    return (
        Request(
            "TransactWriteItems",
            writes=(
                Write("Update", entity),
                Write("Put", Erasure),
                Write("Put", PendingErasure),
                Write("Put", AuditEvent),
            ),
        ),
        Request("GetItem", (entity,), consistent=True, optional=True),
        Request("GetItem", (Erasure,), consistent=True, optional=True),
    )


@access_pattern(
    "AP-70",
    "Delete a conversation",
    question="Delete this conversation of mine with everything in it.",
    requests=_asking(Conversation),
    budget=Budget(1, 0, 10, "a header of up to 1 KB and its entries in 2 indexes, the job's 2 items, the audit record"),
    routes=("DELETE /api/v1/conversations/{conversation_id}",),
)
def delete_conversation(user_id: UserId, conversation_id: str, *, asked_by: str, hold: Hold) -> Erasure:
    """Make a conversation unreachable, and return the job that removes it with its messages, state and turns.

    A running turn loses its lease and cannot write any more. If the conversation is already being deleted, the running
    job is returned.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation.
        asked_by: who requests the deletion; stored in the receipt.
        hold: the lease of the worker that runs the job.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    header = Conversation.from_key(conversation_id=conversation_id)
    job = _job(user_id, "conversation", conversation_id, asked_by, hold)
    return _ask(job, header, unreachable(), owned_by(user_id), lambda found: found.user_id == user_id)


def unreachable() -> list[Action]:
    """Return the update actions that remove a conversation from all lists and end its turn's lease."""
    return [
        Conversation.user_activity.remove(),
        Conversation.agent_activity.remove(),
        Conversation.lease_turn.remove(),
        Conversation.fence.add(1),
    ]


@access_pattern(
    "AP-71",
    "Delete an agent",
    question="Delete this agent of mine with all my conversations with it.",
    requests=_asking(Agent),
    budget=Budget(1, 0, 9, "an agent of up to 1 KB and its index entry, the job's two items and the audit record"),
    routes=("DELETE /api/v1/agents/{agent_id}",),
)
def delete_agent(user_id: UserId, agent_id: str, *, asked_by: str, hold: Hold) -> Erasure:
    """Make an agent unreachable, and return the job that removes it and its owner's conversations with it.

    No conversation can be started from then on: creating one has the condition that its agent is active.

    Raises:
        ItemNotFound: the user has no such agent.
    """
    agent = Agent.from_key(user_id=user_id, agent_id=agent_id)
    job = _job(user_id, "agent", agent_id, asked_by, hold)
    return _ask(job, agent, [Agent.agent_key.remove()], Agent.status == "active")


@access_pattern(
    "AP-72",
    "Delete a user",
    question="Delete this user with all their data.",
    requests=_asking(User),
    budget=Budget(1, 0, 9, "a profile of up to 1 KB and its index entry, the job's two items and the audit record"),
    routes=("DELETE /api/v1/users/{user_id}", "DELETE /api/v1/users/me"),
)
def delete_user(user_id: UserId, *, asked_by: str, hold: Hold) -> Erasure:
    """Make a user unreachable, and return the job that removes all their data; the email is released last.

    Raises:
        ItemNotFound: there is no such user.
    """
    user = User.from_key(user_id=user_id)
    return _ask(_job(user_id, "user", user_id, asked_by, hold), user, [], is_active())


def _job(user_id: UserId, kind: ErasureKind, target_id: str, asked_by: str, hold: Hold) -> Erasure:
    moment = clock.now()
    return Erasure(
        erasure_id=new_id(ID_PREFIX, moment),
        user_id=user_id,
        kind=kind,
        target_id=target_id,
        asked_by=asked_by,
        asked_at=moment,
        removed={},
        worker=hold.worker,
        lease_expires_at=clock.table_now() + hold.lease,
    )


def _ask(
    job: Erasure,
    head: Item,
    actions: list[Action],
    reachable: Condition,
    ours: Callable[[Any], bool] = lambda _found: True,
) -> Erasure:
    """Mark the head item and write the job, both or neither; if it is already marked, return the existing job."""
    entity: Any = type(head)
    transaction = Transaction()
    marks = [entity.status.set(DELETING), entity.erasure_id.set(job.erasure_id), *actions]
    transaction.update(job.kind, head, marks, reachable)
    transaction.create("erasure", job)
    transaction.create("pending", PendingErasure(erasure_id=job.erasure_id))
    record(transaction, event(job.user_id, _DELETED[job.kind], job.target_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        fields = {name: getattr(head, name) for name in (*entity.PK.template.fields, *entity.SK.template.fields)}
        found: Any = get_including_hidden(entity, **fields)
        if found is None or not ours(found) or found.erasure_id is None:
            raise ItemNotFound(job.kind) from error
        return _found(found.erasure_id)
    return job


def _found(erasure_id: str) -> Erasure:
    job: Erasure | None = get(Erasure, erasure_id=erasure_id)
    if job is None:
        raise ItemNotFound("erasure")
    return job


@access_pattern(
    "AP-74",
    "Erasure by id",
    question="Has the deletion that I requested finished?",
    requests=(Request("GetItem", (Erasure,), consistent=True),),
    budget=Budget(1, 1, 0, "a job or a receipt"),
    routes=("GET /api/v1/erasures/{erasure_id}",),
)
def get_erasure(user_id: UserId, erasure_id: str) -> Erasure:
    """Return an erasure of this user's data.

    Raises:
        ItemNotFound: the user has no such erasure.
    """
    job = _found(erasure_id)
    if job.user_id != user_id:
        raise ItemNotFound("erasure")
    return job


@access_pattern(
    "AP-77",
    "Erasure by id, for an administrator",
    question="What is the status of this deletion? For administrators and the operator.",
    requests=(Request("GetItem", (Erasure,), consistent=True),),
    budget=Budget(1, 1, 0, "a job or a receipt"),
    routes=("GET /api/v1/erasures/{erasure_id} with an administrator's key",),
)
def find_erasure(erasure_id: str) -> Erasure:
    """Return an erasure of any user: a deleted user can no longer ask for it.

    Raises:
        ItemNotFound: there is none.
    """
    return _found(erasure_id)


@access_pattern(
    "AP-75",
    "List unfinished erasures",
    question="Which erasures are unfinished? Run by each server at startup and every minute.",
    requests=(
        Request(
            "Query",
            (PendingErasure,),
            sort_key="begins_with PENDING#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 2, 0, "a page of 50 entries"),
)
def list_pending_erasures(limit: int, after: str | None = None) -> Page[PendingErasure]:
    """Return the unfinished jobs of all users, oldest first, starting after the id `after`."""
    return query(
        PendingErasure.PK.template.render(),
        PendingErasure.SK.startswith(PendingErasure.SK.template.prefix),
        limit=limit,
        after=keys(PendingErasure.from_key(erasure_id=after)) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-76",
    "Take over an erasure",
    question="Has the worker of this job died, so that I can take it over?",
    requests=(Request("GetItem", (Erasure,), consistent=True), Request("UpdateItem", (Erasure,))),
    budget=Budget(2, 1, 1, "a job whose lease has expired"),
    routes=(
        "DELETE /api/v1/conversations/{conversation_id} with a deletion already running",
        "DELETE /api/v1/agents/{agent_id} with a deletion already running",
        "DELETE /api/v1/users/{user_id} with a deletion already running",
    ),
)
def take_erasure(erasure_id: str, hold: Hold) -> Erasure | None:
    """Take a job's lease with a higher fencing number; None if it is completed or another worker has the lease.

    Raises:
        ItemNotFound: there is no such job.
    """
    for attempt in range(MAX_ATTEMPTS):
        job = _found(erasure_id)
        if job.completed or (job.leased and job.worker != hold.worker):
            return None
        if job.leased:
            # The write below succeeded, but its acknowledgement was lost.
            return job
        fence = int(job.fence)
        actions: list[Action] = [
            Erasure.fence.set(fence + 1),
            Erasure.worker.set(hold.worker),
            Erasure.lease_expires_at.set(clock.table_now() + hold.lease),
        ]
        try:
            job.update(actions=actions, condition=(Erasure.fence == fence) & Erasure.completed_at.does_not_exist())
        except UpdateError as error:
            if not condition_failed(error):
                raise
            pause(attempt)
        else:
            return job
    raise Contended("Other workers kept taking this erasure.")
