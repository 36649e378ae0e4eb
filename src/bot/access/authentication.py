"""Who sent a request: the one place where an `Authorization` header becomes a caller."""

from typing import TYPE_CHECKING

from bot.access.callers import Caller
from bot.access.keys import PREFIX, caller_with_key
from bot.access.last_used import LastUsedRecorder
from bot.access.sign_in import caller_with_claims
from bot.errors import Unauthenticated
from bot.settings import Settings
from models.agent import Agent

if TYPE_CHECKING:
    from bot.access.tokens import TokenVerifier

# What nearly every issuer signs with.
DEFAULT_ALGORITHMS = ("RS256", "ES256")


class Authentication:
    """Knows the credentials that this deployment takes; one for a process."""

    def __init__(self, last_used: LastUsedRecorder, tokens: "TokenVerifier | None" = None) -> None:
        """Take what notes the uses of keys, and what verifies tokens; without that, none is taken."""
        self._last_used = last_used
        self._tokens = tokens

    def caller(self, authorization: str | None, expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
        """Return who sent an `Authorization: Bearer …` header.

        Args:
            authorization: the header.
            expected: the owner and the id of an agent that will be needed; it is read along if the caller may use it.

        Cost: for a key AP-21, 1 GetItem, and for a token AP-25, 1 GetItem; with `expected` AP-24 or AP-28, 1
        BatchGetItem.

        Raises:
            Unauthenticated: it is missing or of another kind, its key is unknown, revoked or expired, or its token does
                not hold.
            AccountClosed: the token's user was deleted.
            IssuerUnavailable: the token's issuer does not answer.
        """
        scheme, _, credential = (authorization or "").partition(" ")
        credential = credential.strip()
        if scheme.lower() != "bearer" or not credential:
            raise Unauthenticated("Send an API key as 'Authorization: Bearer tt_…'; `bot keys create` makes one.")
        if self._tokens is not None and not credential.startswith(PREFIX) and credential.count(".") == 2:
            caller, agent = caller_with_claims(self._tokens.verify(credential), expected)
        else:
            caller, agent = caller_with_key(credential, expected)
            self._last_used.note(caller)
        return caller, agent if agent is not None and agent.usable_by(caller.user_id) else None


def tokens_of(settings: Settings) -> "TokenVerifier | None":
    """Return what verifies the tokens of the deployment's issuers; None where it has none. No request goes out yet.

    Raises:
        ValueError: there are issuers, but nobody says for whom their tokens must be made.
    """
    if not settings.oidc_issuers:
        return None
    if not settings.oidc_audiences:
        raise ValueError("the setting BOT_OIDC_ISSUER needs BOT_OIDC_AUDIENCE: a token for somebody else is not for us")
    # Most deployments have none, and need neither a client nor what verifies tokens.
    from bot.access.issuers import Issuer, new_client
    from bot.access.tokens import TokenVerifier

    client = new_client()
    return TokenVerifier(
        [Issuer(url, client) for url in settings.oidc_issuers],
        settings.oidc_audiences,
        algorithms=settings.oidc_algorithms or DEFAULT_ALGORITHMS,
        leeway=settings.oidc_leeway,
        admin_claim=settings.oidc_admin_claim,
    )
