"""API keys: looked up by hash on every request, listed and revoked by id in their user's partition."""

from datetime import datetime, timedelta
from typing import get_args

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.users import is_active
from models.agent import Agent
from models.api_key import ID_PREFIX, ApiKey, ApiKeyEntry, Scope
from models.audit import AuditEvent
from models.idempotency import IdempotencyRecord
from models.table import clock
from models.table.changes import update_present
from models.table.errors import ItemExpired, ItemNotFound
from models.table.ids import new_id
from models.table.item import expiry
from models.table.reading import Page, get, get_including_hidden, get_many, keys, query
from models.table.tenancy import UserId
from models.table.values import one_of
from models.table.writing import ConditionFailed, Transaction
from models.user import ROLES, User


@access_pattern(
    "AP-20",
    "Create an API key",
    question="Let a program authenticate as this user.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", User),
                Write("ConditionCheck", Agent, optional=True),
                Write("Put", ApiKey),
                Write("Put", ApiKeyEntry),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Put", AuditEvent),
            ),
        ),
    ),
    budget=Budget(1, 0, 8, "a profile of up to 1 KB, the key's two items, the audit record; 2 WCU more with an agent"),
    routes=("POST /api/v1/api-keys",),
)
def create_api_key(
    user_id: UserId,
    *,
    key_hash: str,
    hint: str,
    name: str | None = None,
    role: str,
    expires: datetime | None = None,
    scope: Scope = "full",
    agent_id: str | None = None,
    once: Once | None = None,
) -> ApiKeyEntry:
    """Store a key's hash, and its entry in the user's list.

    Args:
        user_id: the user whom the key authenticates.
        key_hash: the hash that the key is looked up by; the key itself is never stored.
        hint: the key's last characters, so that people can tell keys apart.
        name: its purpose.
        role: the user's role.
        expires: when it expires.
        scope: what it may be used for.
        agent_id: the agent that a key with the scope `agent` is for, which must be the user's.
        once: the request's idempotency key.

    Raises:
        InvalidValue: a field has an invalid value, such as a time without a time zone.
        ItemNotFound: there is no such user, or the user has no such agent.
        DoneBefore: another request with the same idempotency key was first.
    """
    one_of("scope", scope, get_args(Scope))
    one_of("role", role, ROLES)
    moment = clock.now()
    entry = ApiKeyEntry(
        user_id=user_id,
        key_id=new_id(ID_PREFIX, moment),
        key_hash=key_hash,
        name=name,
        hint=hint,
        scope=scope,
        agent_id=agent_id,
        created_at=moment,
        expires_at=expiry(expires),
    )
    lookup = ApiKey(
        key_hash=key_hash,
        key_id=entry.key_id,
        user_id=user_id,
        role=role,
        scope=scope,
        agent_id=agent_id,
        expires_at=entry.expires_at,
    )
    transaction = Transaction()
    transaction.check("user", User.from_key(user_id=user_id), is_active())
    if agent_id is not None:
        agent = Agent.from_key(user_id=user_id, agent_id=agent_id)
        transaction.check("agent", agent, Agent.PK.exists() & (Agent.status == "active"))
    transaction.create("key", lookup)
    transaction.create("entry", entry)
    if once:
        once.add(transaction, entry.key_id, entry)
    record(transaction, event(user_id, "key.created", entry.key_id, scope=scope))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("user" if "user" in error.parts else "agent") from error
    return entry


@access_pattern(
    "AP-21",
    "API key by its hash",
    question="Whose key is this? On every request.",
    requests=(Request("GetItem", (ApiKey,), consistent=True),),
    budget=Budget(1, 1, 0, "one small item"),
    routes=("every authenticated route",),
)
def find_api_key(key_hash: str) -> ApiKey:
    """Return the API key with the hash of a presented key.

    The read is strongly consistent: a revoked key stops working immediately, everywhere.

    Raises:
        ItemExpired: the key has expired, and DynamoDB has not deleted it yet.
        ItemNotFound: no key has this hash.
    """
    return _valid(get_including_hidden(ApiKey, key_hash=key_hash))


@access_pattern(
    "AP-24",
    "API key and agent together",
    question="Whose key is this, and how is the agent that will answer configured? On every turn.",
    requests=(Request("BatchGetItem", (ApiKey, Agent)),),
    budget=Budget(1, 1, 0, "a key, and an agent of up to 4 KB"),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
        "POST /api/v1/conversations/{conversation_id}/branches",
    ),
)
def find_api_key_and_agent(key_hash: str, owner_id: str, agent_id: str) -> tuple[ApiKey, Agent | None]:
    """Return a presented API key and the agent that is expected to answer, in one request.

    The reads are eventually consistent: for less than a second, a revoked key may still be found, and a changed agent
    may be read in its old version.

    Args:
        key_hash: the hash of the presented key.
        owner_id: the expected owner of the agent. Who makes the request is not known yet, so the calling code must
            check `Agent.usable_by` before it uses the agent.
        agent_id: the agent.

    Raises:
        ItemExpired: the key has expired, and DynamoDB has not deleted it yet.
        ItemNotFound: no key has this hash.
    """
    wanted = [ApiKey.from_key(key_hash=key_hash), Agent.from_key(user_id=owner_id, agent_id=agent_id)]
    key, agent = get_many(wanted, including_hidden=True)
    return _valid(key), None if agent is None or agent.hidden else agent


def _valid(key: ApiKey | None) -> ApiKey:
    if key is None:
        raise ItemNotFound("API key")
    if key.hidden:
        raise ItemExpired("API key")
    return key


@access_pattern(
    "AP-22",
    "List a user's API keys",
    question="Which API keys do I have?",
    requests=(
        Request(
            "Query",
            (ApiKeyEntry,),
            sort_key="begins_with KEY#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 5, 0, "a page of 50 entries of 350 bytes"),
    routes=("GET /api/v1/api-keys", "GET /api/v1/users/{user_id}/export"),
)
def list_api_keys(user_id: UserId, limit: int, after: str | None = None) -> Page[ApiKeyEntry]:
    """Return the entries of the user's keys, oldest first, starting after the id `after`."""
    return query(
        ApiKeyEntry.PK.template.render(user_id=user_id),
        ApiKeyEntry.SK.startswith(ApiKeyEntry.SK.template.prefix),
        limit=limit,
        after=keys(ApiKeyEntry.from_key(user_id=user_id, key_id=after)) if after else None,
        consistent=True,
    )


@access_pattern(
    "AP-23",
    "Revoke an API key",
    question="Make this key invalid.",
    requests=(
        Request("GetItem", (ApiKeyEntry,), consistent=True),
        Request(
            "TransactWriteItems",
            writes=(Write("Delete", ApiKey), Write("Delete", ApiKeyEntry), Write("Put", AuditEvent)),
        ),
    ),
    budget=Budget(2, 1, 6, "the key's two items and the audit record"),
    routes=("DELETE /api/v1/api-keys/{key_id}",),
)
def revoke_api_key(user_id: UserId, key_id: str) -> None:
    """Delete a key and its entry; it stops working immediately.

    Raises:
        ItemNotFound: the user has no such key.
    """
    entry: ApiKeyEntry | None = get(ApiKeyEntry, user_id=user_id, key_id=key_id)
    if entry is None:
        raise ItemNotFound("API key")
    transaction = Transaction()
    transaction.delete("key", ApiKey.from_key(key_hash=entry.key_hash))
    transaction.delete("entry", entry)
    record(transaction, event(user_id, "key.revoked", key_id))
    transaction.commit()


@access_pattern(
    "AP-27",
    "Record an API key's last use",
    question="Which of my keys are no longer used?",
    requests=(Request("UpdateItem", (ApiKeyEntry,)),),
    budget=Budget(1, 0, 1, "an entry of up to 1 KB"),
)
def note_api_key_use(user_id: UserId, key_id: str, moment: datetime, *, interval: timedelta) -> bool:
    """Record when a key was used, unless a use less than `interval` ago is recorded. Return whether it was recorded.

    The application calls it in the background, so that no request waits for it or fails because of it.
    """
    entry = ApiKeyEntry.from_key(user_id=user_id, key_id=key_id)
    last = ApiKeyEntry.last_used_at
    long_ago = last.does_not_exist() | (last <= moment - interval)
    try:
        update_present(entry, [last.set(moment)], long_ago, "API key")
    except ItemNotFound:
        return False
    return True
