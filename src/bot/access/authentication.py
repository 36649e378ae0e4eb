"""Authentication: the only place where an `Authorization` header becomes a caller."""

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

# Nearly every issuer signs with one of these.
DEFAULT_ALGORITHMS = ("RS256", "ES256")


class Authentication:
    """Checks the kinds of credentials that this deployment accepts; one per process."""

    def __init__(self, last_used: LastUsedRecorder, tokens: "TokenVerifier | None" = None) -> None:
        """Take the recorder of key uses, and the token verifier; without one, no token is accepted."""
        self._last_used = last_used
        self._tokens = tokens

    def caller(self, authorization: str | None, expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
        """Return who sent an `Authorization: Bearer …` header.

        Args:
            authorization: the header.
            expected: the owner and the id of an agent that the request will need. It is read in the same request, and
                returned if the caller may use it.

        Cost: for a key AP-21, 1 GetItem, and for a token AP-25, 1 GetItem; with `expected` AP-24 or AP-28, 1
        BatchGetItem.

        Raises:
            Unauthenticated: it is missing or has another scheme, its key is unknown, revoked or expired, or its token
                is not valid.
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
    """Return a verifier of the tokens of the deployment's issuers, None if it has no issuer. Sends no request.

    Raises:
        ValueError: issuers are configured, but no audience.
    """
    if not settings.oidc_issuers:
        return None
    if not settings.oidc_audiences:
        raise ValueError("BOT_OIDC_ISSUER needs BOT_OIDC_AUDIENCE: tokens for other audiences must not be accepted")
    # Most deployments have no issuer, and need neither an HTTP client nor a verifier.
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
