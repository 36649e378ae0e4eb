"""From what a verified token says to a user of ours: found by issuer and subject alone, and made at first sight."""

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
    """Return the user for whom a token stands, and an agent that is read along.

    Args:
        claims: what the verified token says.
        expected: the owner and the id of an agent that will be needed.

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
    """Make a user for somebody who was never here, or return the identity that another request made a moment ago.

    A verified email goes to the new user's profile if nobody has it. It leads to no existing user: whoever vouches for
    an email there is not who vouched for it here.

    Cost: AP-26; once more without the email where somebody has it; AP-25 where another request was faster.
    """
    email = claims.email
    for _ in range(2):
        try:
            return create_identity(claims.issuer, claims.subject, email=email, name=claims.name)
        except IdentityTaken:
            return find_identity(identity_hash(claims.issuer, claims.subject))
        except (EmailTaken, InvalidKeyField):
            email = None
    raise AssertionError("without an email, nobody can have it")
