"""API keys: shown once, stored as hashes, and never with more rights than the credential that creates them."""

import hashlib
import secrets
from datetime import UTC, datetime

from bot.access.callers import Caller
from bot.errors import FieldError, Unauthenticated, ValidationFailed
from models.access_patterns import api_keys
from models.access_patterns.api_keys import create_api_key, find_api_key, find_api_key_and_agent
from models.access_patterns.idempotency import Once
from models.agent import Agent
from models.api_key import ApiKey, ApiKeyEntry, Scope
from models.table.errors import ItemExpired, ItemNotFound
from models.table.tenancy import UserId, acting_for
from models.user import User

PREFIX = "tt_"
_LONGEST = 200


def new_key() -> str:
    """Return a new API key with 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def issue_key(
    user: User,
    *,
    key: str | None = None,
    name: str | None = None,
    expires: datetime | None = None,
    scope: Scope = "full",
    agent_id: str | None = None,
    by: Caller | None = None,
    once: Once | None = None,
) -> tuple[str, ApiKeyEntry]:
    """Create an API key for a user; return the key, which is never shown again, and its entry.

    Args:
        user: its owner.
        key: the key, from `new_key`; a new one if None.
        name: what it is for.
        expires: when it expires; if None, never, or with the key that creates it.
        scope: what it may be used for.
        agent_id: the only agent of a key of scope `agent`.
        by: the caller who requests it. The new key is an administrator's only if they are one, and expires no later
            than the key that they presented. None for the operator.
        once: the request's idempotency key.

    Raises:
        ItemNotFound: the user does not exist, or has no such agent.
        ValidationFailed: it would outlive the key that creates it.
    """
    role = user.role if by is None or by.is_admin else "user"
    if by is not None and by.expires_at is not None:
        expires = expires or by.expires_at
        if expires > by.expires_at:
            problem = f"must not be after the expiry of the key that creates it, {by.expires_at.isoformat()}"
            raise ValidationFailed(f"expires_at: {problem}", fields=(FieldError("expires_at", problem),))
    key = key or new_key()
    entry = create_api_key(
        acting_for(user.user_id),
        key_hash=hash_of(key),
        hint=key[-4:],
        name=name,
        role=role,
        expires=expires,
        scope=scope,
        agent_id=agent_id,
        once=once,
    )
    return key, entry


def revoke_key(user_id: UserId, key_id: str) -> None:
    """Revoke a key; it stops working everywhere at once.

    Raises:
        ItemNotFound: the user has no such key.
    """
    api_keys.revoke_api_key(user_id, key_id)


def hash_of(key: str) -> str:
    """Return the hash under which a key is stored.

    32 random bytes cannot be guessed, so a fast hash is enough.
    """
    return hashlib.sha256(key.encode()).hexdigest()


def caller_with_key(key: str, expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
    """Return the caller whom an API key identifies, and an agent that is read in the same request.

    Args:
        key: the presented key.
        expected: the owner and the id of an agent that the request will need.

    Cost: AP-21, 1 GetItem; with `expected` AP-24, 1 BatchGetItem.

    Raises:
        Unauthenticated: the key is unknown, revoked or expired.
    """
    if len(key) > _LONGEST or not key.isascii():
        raise Unauthenticated("This API key is not valid.", reason="malformed_key")
    agent = None
    try:
        if expected is None:
            found = find_api_key(hash_of(key))
        else:
            found, agent = find_api_key_and_agent(hash_of(key), *expected)
    except ItemExpired as error:
        raise Unauthenticated("This API key is not valid.", reason="expired_key") from error
    except ItemNotFound as error:
        raise Unauthenticated("This API key is not valid.", reason="unknown_key") from error
    return _caller(found), agent


def _caller(found: ApiKey) -> Caller:
    return Caller(
        acting_for(found.user_id),
        found.role,
        found.key_id,
        found.scope,
        found.agent_id,
        None if found.expires_at is None else datetime.fromtimestamp(int(found.expires_at), UTC),
    )
