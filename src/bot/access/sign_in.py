"""From a verified token's claims to a user: looked up by issuer and subject only, and created on first use."""

from typing import TYPE_CHECKING

from bot.access.callers import Caller
from bot.errors import AccountClosed
from models.access_patterns.identities import create_identity, find_identity, find_identity_and_agent
from models.agent import Agent
from models.identity import Identity, identity_hash
from models.table.errors import EmailTaken, IdentityTaken, InvalidKeyField, ItemNotFound
from models.table.tenancy import acting_for

if TYPE_CHECKING:
    from bot.access.tokens import Claims


def caller_with_claims(claims: "Claims", expected: tuple[str, str] | None = None) -> tuple[Caller, Agent | None]:
    """Return the caller whom a token identifies, and an agent that is read in the same request.

    Args:
        claims: the verified token's claims.
        expected: the owner and the id of an agent that the request will need.

    Cost: AP-25, 1 GetItem; with `expected` AP-28, 1 BatchGetItem; AP-26 once in the life of an identity.

    Raises:
        AccountClosed: the user was deleted.
    """
    digest, agent = identity_hash(claims.issuer, claims.subject), None
    try:
        if expected is None:
            identity = find_identity(digest)
        else:
            identity, agent = find_identity_and_agent(digest, *expected)
    except ItemNotFound:
        identity = welcome(claims)
    if identity.status != "open" or identity.user_id is None:
        raise AccountClosed
    return Caller(acting_for(identity.user_id), "admin" if claims.admin else "user"), agent


def welcome(claims: "Claims") -> Identity:
    """Create a user for a new identity, or return the identity if a concurrent request has just created it.

    A verified email goes to the new user's profile if nobody else has it. It never links to an existing user, because
    the issuer that vouches for this email did not vouch for that user's.

    Cost: AP-26; again without the email if somebody has it; AP-25 if another request was faster.
    """
    email = claims.email
    for _ in range(2):
        try:
            return create_identity(claims.issuer, claims.subject, email=email, name=claims.name)
        except IdentityTaken:
            return find_identity(identity_hash(claims.issuer, claims.subject))
        except (EmailTaken, InvalidKeyField):
            email = None
    raise AssertionError("without an email, there is no conflict over it")
