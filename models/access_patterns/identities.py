"""Identities: map an issuer's subject to a user, who is created at first sign-in and cannot return once deleted."""

from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.users import new_user
from models.agent import Agent
from models.identity import Identity, identity_hash
from models.table.errors import EmailTaken, IdentityTaken, ItemNotFound
from models.table.reading import get, get_many
from models.table.values import text_value
from models.table.writing import ConditionFailed, Transaction
from models.user import EmailClaim, User


@access_pattern(
    "AP-25",
    "Identity by issuer and subject",
    question="Which user is this subject of an issuer? On every request with an access token.",
    requests=(Request("GetItem", (Identity,), consistent=True),),
    budget=Budget(1, 1, 0, "one small item"),
    routes=("every authenticated route",),
)
def find_identity(digest: str) -> Identity:
    """Return the identity with this hash, even if it is closed.

    The read is strongly consistent: a deleted user is locked out immediately, everywhere.

    Raises:
        ItemNotFound: this subject has never signed in.
    """
    found: Identity | None = get(Identity, identity_hash=digest)
    if found is None:
        raise ItemNotFound("identity")
    return found


@access_pattern(
    "AP-26",
    "Create a user at first sign-in",
    question="Create a user for a subject that an issuer authenticated.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(Write("Put", User), Write("Put", Identity), Write("Put", EmailClaim, optional=True)),
        ),
    ),
    budget=Budget(1, 0, 7, "a profile of up to 1 KB, its identity, its email claim and its entry in users_by_id"),
    routes=("every authenticated route",),
)
def create_identity(issuer: str, subject: str, *, email: str | None = None, name: str | None = None) -> Identity:
    """Create a user and their identity, and claim the email if there is one, all or nothing.

    The user is always a new one: an email in a token never gives access to an existing user.

    Args:
        issuer: the issuer, as its tokens name it.
        subject: the user's id at the issuer.
        email: an email that the issuer has verified.
        name: the user's display name.

    Raises:
        InvalidValue: the issuer, the subject or the name is not text.
        IdentityTaken: the identity exists, perhaps created by a parallel request.
        EmailTaken: another user has the email.
        InvalidKeyField: it is not an email.
    """
    digest = identity_hash(text_value("issuer", issuer), text_value("subject", subject))
    user = new_user(email, name=name, identity_hash=digest)
    identity = Identity(
        identity_hash=digest, user_id=user.user_id, issuer=issuer, subject=subject, created_at=user.created_at
    )
    transaction = Transaction()
    transaction.create("user", user)
    transaction.create("identity", identity)
    if user.email is not None:
        transaction.create("email", EmailClaim.of(user.email, user.user_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise (IdentityTaken() if "identity" in error.parts else EmailTaken(user.email)) from error
    return identity


@access_pattern(
    "AP-28",
    "Identity and agent together",
    question="Which user is this subject, and how is the agent that will answer configured? On every turn.",
    requests=(Request("BatchGetItem", (Identity, Agent)),),
    budget=Budget(1, 1, 0, "an identity, and an agent of up to 4 KB"),
    routes=(
        "POST /api/v1/conversations/{conversation_id}/messages",
        "POST /api/v1/conversations/{conversation_id}/turns",
        "POST /api/v1/conversations/{conversation_id}/branches",
    ),
)
def find_identity_and_agent(digest: str, owner_id: str, agent_id: str) -> tuple[Identity, Agent | None]:
    """Return an identity and the agent that is expected to answer, in one request; eventually consistent, as AP-24.

    Args:
        digest: the hash of issuer and subject.
        owner_id: the expected owner of the agent. Who makes the request is not known yet, so the calling code must
            check `Agent.usable_by` before it uses the agent.
        agent_id: the agent.

    Raises:
        ItemNotFound: this subject has never signed in.
    """
    wanted = [Identity.from_key(identity_hash=digest), Agent.from_key(user_id=owner_id, agent_id=agent_id)]
    found, agent = get_many(wanted)
    if found is None:
        raise ItemNotFound("identity")
    return found, agent


@access_pattern(
    "AP-29",
    "Reopen a closed identity",
    question="May this person, whose user was deleted, return as a new user? For the operator.",
    requests=(Request("TransactWriteItems", writes=(Write("Delete", Identity),)),),
    budget=Budget(1, 0, 2, "one small item"),
)
def readmit_identity(issuer: str, subject: str) -> None:
    """Delete a closed identity, so that its next token creates a new user.

    Raises:
        ItemNotFound: there is no such closed identity.
    """
    transaction = Transaction()
    closed = Identity.status == "closed"
    transaction.delete("identity", Identity.from_key(identity_hash=identity_hash(issuer, subject)), closed)
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("closed identity") from error
