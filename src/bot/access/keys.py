"""API keys: made once, shown once, kept as hashes."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from bot.errors import Unauthenticated
from models.access_patterns.api_keys import create_api_key, find_api_key, find_api_key_and_agent
from models.agent import Agent
from models.api_key import ApiKeyEntry
from models.errors import ItemNotFound
from models.tenancy import UserId, acting_for
from models.user import User

PREFIX = "tt_"
_LONGEST = 200


@dataclass(frozen=True)
class Caller:
    """Who makes a request: the user whose key was presented."""

    user_id: UserId
    role: str
    key_id: str

    @property
    def is_admin(self) -> bool:
        """Whether the caller may manage users."""
        return self.role == "admin"


def issue_key(user: User, *, name: str | None = None, expires: datetime | None = None) -> tuple[str, ApiKeyEntry]:
    """Make an API key for a user; return the key, which is never shown again, and its entry.

    Raises:
        ItemNotFound: the user is gone.
    """
    # 32 random bytes cannot be guessed, so a plain hash is enough: there is nothing for a slow one to slow down.
    key = PREFIX + secrets.token_urlsafe(32)
    entry = create_api_key(
        acting_for(user.user_id), key_hash=hash_of(key), hint=key[-4:], name=name, role=user.role, expires=expires
    )
    return key, entry


def hash_of(key: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode()).hexdigest()


def authenticate(authorization: str | None, expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
    """Return who sent an `Authorization: Bearer …` header.

    Args:
        authorization: the header.
        expected: the owner and the id of an agent that will be needed; it is read along where it is the caller's.

    Cost: AP-21, 1 GetItem; with `expected` AP-24, 1 BatchGetItem.

    Raises:
        Unauthenticated: it is missing, of another kind, or its key is unknown, revoked or expired.
    """
    scheme, _, key = (authorization or "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        raise Unauthenticated("Send an API key as 'Authorization: Bearer tt_…'; `bot keys create` makes one.")
    if len(key) > _LONGEST or not key.isascii():
        raise Unauthenticated("This API key is not valid.")
    agent = None
    try:
        if expected is None:
            found = find_api_key(hash_of(key))
        else:
            found, agent = find_api_key_and_agent(hash_of(key), *expected)
    except ItemNotFound as error:
        raise Unauthenticated("This API key is not valid.") from error
    caller = Caller(acting_for(found.user_id), found.role, found.key_id)
    return caller, agent if agent is not None and agent.user_id == caller.user_id else None
