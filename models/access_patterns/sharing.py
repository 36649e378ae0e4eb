"""Shared agents: shared with named users or published to all; revoking takes effect immediately.

The agent itself stores who may use it, so a turn reads it together with the caller's key at no extra cost.
`AgentGrant` and `PublishedAgent` only lead to the agent; they are written in the same transaction.
"""

from functools import partial
from typing import Any

from pynamodb.expressions.condition import Condition, size

from models.access_patterns.agents import get_agent
from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.users import is_active
from models.agent import MAX_SHARED_WITH, Agent
from models.audit import AuditEvent
from models.idempotency import IdempotencyRecord
from models.share import AgentGrant, PublishedAgent
from models.table import clock
from models.table.errors import Contended, InvalidValue, ItemNotFound, TooManyShares
from models.table.reading import Page, get, get_many, keys, query
from models.table.side_by_side import both
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.user import User

_BATCH = 100  # DynamoDB's limit for one BatchGetItem


def usable_by(user_id: UserId) -> Condition:
    """Return the condition that this user may use another user's agent (see `Agent.usable_by`)."""
    condition: Condition = (Agent.status == "active") & (
        Agent.published.exists() | Agent.shared_with.contains(str(user_id))
    )
    return condition


@access_pattern(
    "AP-15",
    "Share an agent with a user",
    question="Let this user talk to my agent without seeing its configuration.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", User),
                Write("Put", AgentGrant),
                Write("Put", AuditEvent),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Update", Agent),
            ),
        ),
        Request("GetItem", (Agent,), consistent=True),
        Request("GetItem", (Agent,), consistent=True, optional=True),
        Request("TransactWriteItems", writes=(Write("Put", IdempotencyRecord),), optional=True),
    ),
    budget=Budget(2, 1, 8, "an agent and a profile of up to 1 KB each, the grant and the audit record"),
    routes=("POST /api/v1/agents/{agent_id}/shares",),
)
def share_agent(user_id: UserId, agent_id: str, grantee_id: str, *, once: Once | None = None) -> Agent:
    """Share an agent of this user with another user; idempotent.

    With the request's idempotency key, `once`, the agent is read first and its new version is stored with the key's
    record, so the write succeeds only if nobody changed the agent in between.

    Raises:
        ItemNotFound: the user has no such agent, or there is no such other user.
        TooManyShares: it is already shared with the maximum number of users.
        Contended: the agent kept changing; nothing was written.
        DoneBefore: another request with the same idempotency key was first.
    """
    moment = clock.now()
    transaction = Transaction()
    transaction.check("grantee", User.from_key(user_id=grantee_id), is_active())
    transaction.create("grant", AgentGrant(user_id=grantee_id, agent_id=agent_id, owner_id=user_id, created_at=moment))
    room = Agent.shared_with.does_not_exist() | (size("shared_with") < MAX_SHARED_WITH)  # type: ignore[no-untyped-call]
    actions = [Agent.shared_with.add({grantee_id}), Agent.updated_at.set(moment)]
    agent = Agent.from_key(user_id=user_id, agent_id=agent_id)
    allowed = (Agent.status == "active") & room
    after: Agent | None = None
    if once:
        after = get_agent(user_id, agent_id)
        if grantee_id in after.shared_with_users:
            return _shared_already(after, once)
        allowed &= Agent.updated_at == after.updated_at
        after.shared_with, after.updated_at = {*after.shared_with_users, grantee_id}, moment
        once.add(transaction, agent_id, after)
    transaction.update("agent", agent, actions, allowed)
    record(transaction, event(user_id, "agent.shared", agent_id, shared_with=grantee_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        found = get_agent(user_id, agent_id)
        if grantee_id in found.shared_with_users:
            return found
        if "grantee" in error.parts:
            raise ItemNotFound("user") from error
        if len(found.shared_with_users) >= MAX_SHARED_WITH:
            raise TooManyShares(MAX_SHARED_WITH) from error
        raise Contended("The agent's shares kept changing; nothing was written.") from error
    return after or get_agent(user_id, agent_id)


def _shared_already(agent: Agent, once: Once) -> Agent:
    transaction = Transaction()
    once.add(transaction, agent.agent_id, agent)
    transaction.commit()
    return agent


@access_pattern(
    "AP-16",
    "Stop sharing an agent with a user",
    question="Stop this user from using my agent, immediately.",
    requests=(
        Request(
            "TransactWriteItems", writes=(Write("Delete", AgentGrant), Write("Put", AuditEvent), Write("Update", Agent))
        ),
        Request("GetItem", (Agent,), consistent=True, optional=True),
    ),
    budget=Budget(1, 0, 6, "an agent of up to 1 KB, the grant and the audit record"),
    routes=("DELETE /api/v1/agents/{agent_id}/shares/{user_id}",),
)
def unshare_agent(user_id: UserId, agent_id: str, grantee_id: str) -> None:
    """Stop sharing an agent of this user with another user, who keeps their conversations with it.

    Raises:
        ItemNotFound: the user has no such agent, or it is not shared with that user.
    """
    transaction = Transaction()
    transaction.delete("grant", AgentGrant.from_key(user_id=grantee_id, agent_id=agent_id))
    actions = [Agent.shared_with.delete({grantee_id}), Agent.updated_at.set(clock.now())]
    shared = (Agent.status == "active") & Agent.shared_with.contains(grantee_id)
    transaction.update("agent", Agent.from_key(user_id=user_id, agent_id=agent_id), actions, shared)
    record(transaction, event(user_id, "agent.unshared", agent_id, shared_with=grantee_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        get_agent(user_id, agent_id)
        raise ItemNotFound("share") from error


@access_pattern(
    "AP-17",
    "Publish or withdraw an agent",
    question="Let every user of this deployment talk to my agent, or only the users it is shared with.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", PublishedAgent, optional=True),
                Write("Delete", PublishedAgent, optional=True),
                Write("Put", AuditEvent),
                Write("Update", Agent),
            ),
        ),
        Request("GetItem", (Agent,), consistent=True),
    ),
    budget=Budget(2, 1, 6, "an agent of up to 1 KB, its `PublishedAgent` and the audit record"),
    routes=("PUT /api/v1/agents/{agent_id}/publication",),
)
def publish_agent(user_id: UserId, agent_id: str, *, published: bool) -> Agent:
    """Publish an agent of this user to all users, or withdraw it; idempotent.

    Raises:
        ItemNotFound: the user has no such agent.
    """
    if not isinstance(published, bool):
        raise InvalidValue("published", "must be true or false")
    moment = clock.now()
    entry = PublishedAgent(agent_id=agent_id, owner_id=user_id, created_at=moment)
    transaction = Transaction()
    other: Condition
    if published:
        transaction.create("entry", entry)
        actions, other = [Agent.published.set(True)], Agent.published.does_not_exist()
    else:
        transaction.delete("entry", entry)
        actions, other = [Agent.published.remove()], Agent.published.exists()
    agent = Agent.from_key(user_id=user_id, agent_id=agent_id)
    record(transaction, event(user_id, "agent.published" if published else "agent.withdrawn", agent_id))
    moved = Agent.updated_at.set(moment)
    transaction.update("agent", agent, [*actions, moved], (Agent.status == "active") & other)
    try:
        transaction.commit()
    except ConditionFailed:
        # It is in that state already, or it does not exist.
        return get_agent(user_id, agent_id)
    return get_agent(user_id, agent_id)


@access_pattern(
    "AP-18",
    "Shared agent by id",
    question="May I use this agent of another user?",
    requests=(
        Request("BatchGetItem", (AgentGrant, PublishedAgent), consistent=True, optional=True),
        Request("GetItem", (Agent,), consistent=True),
    ),
    budget=Budget(2, 3, 0, "a grant, a `PublishedAgent` and an agent of up to 4 KB"),
    routes=(
        "GET /api/v1/shared-agents/{agent_id}",
        "GET /v1/models/{model} with the id of another user's agent",
        "POST /v1/chat/completions with the id of another user's agent",
        "POST /v1/responses with the id of another user's agent",
        "POST /v1/responses/input_tokens with the id of another user's agent",
        "GET /api/v1/agents/{agent_id}/conversations with another user's agent",
        "POST /api/v1/conversations with another user's agent",
        "POST /api/v1/conversations/{conversation_id}/messages with another user's agent",
        "POST /api/v1/conversations/{conversation_id}/turns with another user's agent",
        "POST /api/v1/conversations/{conversation_id}/branches with another user's agent",
    ),
)
def get_shared_agent(user_id: UserId, agent_id: str, owner_id: str | None = None) -> Agent:
    """Return an agent that is published, or shared with this user.

    It reads the user's grants and the published agents, never another user's partition first, so an agent that is not
    shared takes as long as one that does not exist.

    Args:
        user_id: the user who wants to use it.
        agent_id: the agent.
        owner_id: its owner, if known: then only the agent is read.

    Raises:
        ItemNotFound: there is no such agent that this user may use.
    """
    if owner_id is None:
        leads = get_many(
            [AgentGrant.from_key(user_id=user_id, agent_id=agent_id), PublishedAgent.from_key(agent_id=agent_id)],
            consistent=True,
        )
        owner_id = next((lead.owner_id for lead in leads if lead is not None), None)
        if owner_id is None:
            raise ItemNotFound("agent")
    agent: Agent | None = get(Agent, user_id=owner_id, agent_id=agent_id)
    if agent is None or not agent.usable_by(user_id):
        raise ItemNotFound("agent")
    return agent


@access_pattern(
    "AP-19",
    "List shared agents",
    question="Which agents of other users may I talk to?",
    requests=(
        Request(
            "Query",
            (AgentGrant,),
            sort_key="begins_with GRANT#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
        Request(
            "Query",
            (PublishedAgent,),
            sort_key="begins_with AGENT#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
        Request("BatchGetItem", (Agent,)),
    ),
    budget=Budget(3, 32, 0, "a page of 50 agents of 1 KB, and two pages of 50 entries of 150 bytes"),
    routes=(
        "GET /api/v1/shared-agents",
        "GET /v1/models",
        "GET /v1/models/{model} with the slug of another user's agent",
        "POST /v1/chat/completions with the slug of another user's agent",
        "POST /v1/responses with the slug of another user's agent",
        "POST /v1/responses/input_tokens with the slug of another user's agent",
    ),
)
def list_shared_agents(user_id: UserId, limit: int, after: str | None = None) -> Page[Agent]:
    """Return the agents that are published or shared with this user, oldest first, starting after the id `after`.

    Their names are read from the agents themselves, so renaming needs no second write. An agent that is being deleted
    is left out even if a grant still leads to it; the page is filled up nevertheless.

    Cost: 2 Queries in parallel, then 1 BatchGetItem for each 100 agents.
    """
    found: list[Agent] = []
    while True:
        leads, more = _leads(user_id, limit + 1 - len(found), after)
        agents: list[Any] = []
        for start in range(0, len(leads), _BATCH):
            batch = leads[start : start + _BATCH]
            agents += get_many([Agent.from_key(user_id=lead.owner_id, agent_id=lead.agent_id) for lead in batch])
        found += [agent for agent in agents if agent is not None and agent.usable_by(user_id)]
        if len(found) > limit or not more:
            return Page(tuple(found[:limit]), len(found) > limit)
        after = leads[-1].agent_id


def _leads(user_id: UserId, count: int, after: str | None) -> tuple[list[Any], bool]:
    """Return up to `count` leads to different agents, sorted by agent id, and whether there may be more."""
    grants, published = both(
        partial(_leads_in, AgentGrant, count, after, user_id=user_id), partial(_leads_in, PublishedAgent, count, after)
    )
    # Each list returns its first `count`, so the first `count` of both together are among them.
    merged = {lead.agent_id: lead for lead in (*published.items, *grants.items)}
    first = sorted(merged.values(), key=lambda lead: str(lead.agent_id))
    return first[:count], len(first) > count or grants.more or published.more


def _leads_in(
    entity: type[AgentGrant | PublishedAgent], count: int, after: str | None, **fields: Any
) -> Page[AgentGrant | PublishedAgent]:
    return query(
        entity.PK.template.render(**fields),
        entity.SK.startswith(entity.SK.template.prefix),
        limit=count,
        after=keys(entity.from_key(agent_id=after, **fields)) if after else None,
        consistent=True,
        peek=False,
    )


def leads_to(agent: Agent) -> list[tuple[str, str]]:
    """Return the keys of all items that lead other users to an agent; they are deleted before the agent itself."""
    leads: list[AgentGrant | PublishedAgent] = [
        AgentGrant.from_key(user_id=user_id, agent_id=agent.agent_id) for user_id in agent.shared_with_users
    ]
    if agent.published:
        leads.append(PublishedAgent.from_key(agent_id=agent.agent_id))
    return [(lead.PK, lead.SK) for lead in leads]
