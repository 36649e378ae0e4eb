"""Who sent a request: the one place where an `Authorization` header becomes a caller."""

from bot.access.callers import Caller
from bot.access.keys import caller_with_key
from bot.access.uses import KeyUses
from bot.errors import Unauthenticated
from models.agent import Agent


class Authentication:
    """Knows the credentials that this deployment takes; one for a process."""

    def __init__(self, uses: KeyUses) -> None:
        """Take what notes the uses of keys."""
        self._uses = uses

    def caller(self, authorization: str | None, expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
        """Return who sent an `Authorization: Bearer …` header.

        Args:
            authorization: the header.
            expected: the owner and the id of an agent that will be needed; it is read along if the caller may use it.

        Cost: AP-21, 1 GetItem; with `expected` AP-24, 1 BatchGetItem.

        Raises:
            Unauthenticated: it is missing, of another kind, or its key is unknown, revoked or expired.
        """
        scheme, _, credential = (authorization or "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise Unauthenticated("Send an API key as 'Authorization: Bearer tt_…'; `bot keys create` makes one.")
        caller, agent = caller_with_key(credential, expected)
        self._uses.note(caller)
        return caller, agent if agent is not None and agent.usable_by(caller.user_id) else None
