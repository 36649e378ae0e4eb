"""Agents: stored in their owner's partition, so listing them takes one Query and reading one takes one GetItem."""

from collections.abc import Mapping
from typing import Any

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.users import is_active
from models.agent import ID_PREFIX, MAX_BYTES, Agent
from models.audit import Action, AuditEvent
from models.idempotency import IdempotencyRecord
from models.table import clock
from models.table.changes import actions_for, apply
from models.table.errors import Contended, ItemNotFound, ItemTooLarge
from models.table.ids import new_id
from models.table.reading import Page, get, keys, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.sizes import item_size, value_size
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.user import User

_PREFIX = Agent.SK.template.prefix


@access_pattern(
    "AP-10",
    "Create an agent",
    question="Give a user a new agent.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(Write("ConditionCheck", User), Write("Put", Agent), Write("Put", IdempotencyRecord, optional=True)),
        ),
    ),
    budget=Budget(1, 0, 5, "an agent and a profile of up to 1 KB each, and the entry in agents_by_id"),
    routes=("POST /api/v1/agents",),
)
def create_agent(
    user_id: UserId, *, name: str, provider: str, model: str, once: Once | None = None, **details: Any
) -> Agent:
    """Create an agent for a user who is not being deleted.

    Args:
        user_id: the owner.
        name: its display name.
        provider: the deployment's provider that answers.
        model: the provider's name for the model.
        once: the request's idempotency key.
        details: `description`, `system_message`, `functions`, `settings`.

    Raises:
        InvalidValue: a field has an invalid value.
        MapTooLarge: the settings have more names or bytes than their limit.
        ItemNotFound: there is no such user.
        ItemTooLarge: it would be over 392 KB.
        DoneBefore: another request with the same idempotency key was first.
    """
    moment = clock.now()
    agent = Agent(
        user_id=user_id,
        agent_id=new_id(ID_PREFIX, moment),
        name=name,
        provider=provider,
        model=model,
        created_at=moment,
        updated_at=moment,
        **details,
    )
    _ensure_room(agent, 0)
    transaction = Transaction()
    transaction.check("user", User.from_key(user_id=user_id), is_active())
    transaction.create("agent", agent)
    if once:
        once.add(transaction, agent.agent_id, agent)
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("user") from error
    return agent


@access_pattern(
    "AP-11",
    "Agent by id",
    question="How is this agent of mine configured?",
    requests=(Request("GetItem", (Agent,), consistent="either"),),
    budget=Budget(1, 1, 0, "an agent of up to 4 KB; half the RCU for a turn, which reads it eventually consistently"),
    routes=(
        "GET /api/v1/agents/{agent_id}",
        "GET /api/v1/agents with a key of one agent",
        "GET /v1/models with a key of one agent",
        "GET /v1/models/{model}",
        "POST /v1/chat/completions",
        "POST /v1/responses",
        "POST /v1/responses/input_tokens",
        "PATCH /api/v1/agents/{agent_id} with nothing to change",
        "GET /api/v1/agents/{agent_id}/conversations",
        "POST /api/v1/agents/{agent_id}/shares",
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
        "POST /api/v1/conversations/{conversation_id}/branches",
    ),
)
def get_agent(user_id: UserId, agent_id: str, *, consistent: bool = True) -> Agent:
    """Return an agent of this user.

    Raises:
        ItemNotFound: the user has no such agent.
    """
    agent: Agent | None = get(Agent, consistent=consistent, user_id=user_id, agent_id=agent_id)
    if agent is None:
        raise ItemNotFound("agent")
    return agent


@access_pattern(
    "AP-12",
    "List a user's agents",
    question="Which agents do I have?",
    requests=(
        Request(
            "Query",
            (Agent,),
            sort_key="begins_with AGENT#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 13, 0, "a page of 50 agents of 1 KB"),
    routes=(
        "GET /api/v1/agents",
        "GET /api/v1/users/{user_id}/export",
        "GET /v1/models",
        "GET /v1/models/{model} with a slug",
        "POST /v1/chat/completions with a slug",
        "POST /v1/responses with a slug",
        "POST /v1/responses/input_tokens with a slug",
    ),
)
def list_agents(user_id: UserId, limit: int, after: str | None = None) -> Page[Agent]:
    """Return the user's agents in the order of their creation, starting after the id `after`."""
    owner = Agent.PK.template.render(user_id=user_id)
    return query(
        owner,
        Agent.SK.startswith(_PREFIX),
        limit=limit,
        after=keys(Agent.from_key(user_id=user_id, agent_id=after)) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-13",
    "Update an agent",
    question="Change some of an agent's fields, and nothing else.",
    requests=(
        Request("GetItem", (Agent,), consistent=True),
        Request("TransactWriteItems", writes=(Write("Put", AuditEvent, optional=True), Write("Update", Agent))),
    ),
    budget=Budget(2, 1, 2, "an agent of up to 1 KB; 2 WCU more for the audit record if `share_credentials` is set"),
    routes=("PATCH /api/v1/agents/{agent_id}",),
)
def update_agent(user_id: UserId, agent_id: str, changes: Mapping[str, Any]) -> Agent:
    """Change some fields and increment the version; `settings` are merged by name, None removes an entry.

    It is read first, because its total size is limited, and written only if it has not changed since. It is a
    transaction even for one write, because a retried transaction does not increment the version twice.

    Raises:
        InvalidValue: a field cannot be changed, or its new value is not allowed.
        MapTooLarge: the settings would have more names or bytes than their limit.
        ItemNotFound: the user has no such agent.
        ItemTooLarge: it would be over 392 KB.
        Contended: others kept changing the agent.
    """
    actions = actions_for(Agent, changes)
    for attempt in range(MAX_ATTEMPTS):
        agent = get_agent(user_id, agent_id)
        seen, size = int(agent.version), item_size(agent.serialize())
        agent.updated_at, agent.version = clock.now(), seen + 1
        apply(agent, changes)
        _ensure_room(agent, size)
        transaction = Transaction()
        moved = [Agent.updated_at.set(agent.updated_at), Agent.version.set(agent.version)]
        condition = (Agent.status == "active") & (Agent.version == seen)
        transaction.update("agent", Agent.from_key(user_id=user_id, agent_id=agent_id), [*actions, *moved], condition)
        if "share_credentials" in changes:
            lent = bool(changes["share_credentials"])
            action: Action = "agent.credentials_lent" if lent else "agent.credentials_kept"
            record(transaction, event(user_id, action, agent_id))
        try:
            transaction.commit()
        except ConditionFailed:
            pause(attempt)
        else:
            return agent
    raise Contended("Others kept changing this agent; nothing was written.")


def _ensure_room(agent: Agent, before: int) -> None:
    """Check that an agent leaves room for the ids it is shared with; one that was already too large may shrink.

    Raises:
        ItemTooLarge: it does not; the error names its largest attribute.
    """
    stored = agent.serialize()
    size = item_size(stored)
    if size > max(MAX_BYTES, before):
        largest = max(stored, key=lambda name: value_size(stored[name]))
        hint = f"Most of it is its {largest}, with {value_size(stored[largest]):,} bytes."
        raise ItemTooLarge("agent", size, MAX_BYTES, hint=hint)


@access_pattern(
    "AP-14",
    "Owner of an agent",
    question="Who owns this agent? For the operator, who has only its id.",
    requests=(Request("Query", (Agent,), index="agents_by_id", page="1 and one more"),),
    budget=Budget(1, 0.5, 0, "one entry of the index"),
    routes=(),
)
def find_agent_owner(agent_id: str) -> str:
    """Return the id of the agent's owner.

    Raises:
        ItemNotFound: there is no such agent.
    """
    key = Agent.agent_key.template.render(agent_id=agent_id)
    found = query(key, None, limit=1, index="agents_by_id", entity=Agent)
    if not found.items:
        raise ItemNotFound("agent")
    owner: str = found.items[0].user_id
    return owner
