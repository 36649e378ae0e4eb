"""Users: created once, found by id or by email, updated field by field."""

from collections.abc import Mapping
from typing import Any

from pynamodb.expressions.condition import Condition

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.audit import AuditEvent
from models.emails import normalise_email
from models.idempotency import IdempotencyRecord
from models.table import clock
from models.table.changes import actions_for, apply, merges, update_present
from models.table.errors import Contended, EmailTaken, ItemNotFound
from models.table.ids import new_id
from models.table.reading import Page, get, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId, acting_for
from models.table.values import checked_map, one_of
from models.table.writing import ConditionFailed, Transaction
from models.user import ID_PREFIX, ROLES, EmailClaim, Role, User

# What an administrator may do for others. The role is read again on each request, so that revoking it takes effect
# immediately.
_ADMINISTRATORS = (
    "POST /api/v1/users",
    "GET /api/v1/users",
    "PATCH /api/v1/users/{user_id}",
    "DELETE /api/v1/users/{user_id}",
    "GET /api/v1/users/{user_id}/audit",
    "GET /api/v1/users/{user_id}/limits",
    "PATCH /api/v1/users/{user_id}/limits",
    "GET /api/v1/users/{user_id}/usage",
    "GET /api/v1/erasures/{erasure_id}",
)


def is_active() -> Condition:
    """Return the condition that a user exists and is not being deleted."""
    condition: Condition = User.PK.exists() & (User.status == "active")
    return condition


def new_user(email: str | None, **profile: Any) -> User:
    """Return a new user, not yet stored.

    Raises:
        InvalidKeyField: it is not an email.
    """
    moment = clock.now()
    return User(
        user_id=new_id(ID_PREFIX, moment),
        email=None if email is None else normalise_email(email),
        created_at=moment,
        updated_at=moment,
        last_active_at=moment,
        **profile,
    )


@access_pattern(
    "AP-01",
    "Create a user",
    question="Create a user with an email that no other user has.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(Write("Put", User), Write("Put", EmailClaim), Write("Put", IdempotencyRecord, optional=True)),
        ),
    ),
    budget=Budget(1, 0, 5, "a profile of up to 1 KB, its email claim and its entry in users_by_id"),
    routes=("POST /api/v1/users",),
)
def create_user(
    email: str, *, name: str | None = None, role: Role = "user", once: Once | None = None, **profile: Any
) -> User:
    """Create a user and claim the email, both or neither.

    Args:
        email: unique in its normal form (see `models.emails`).
        name: the user's display name.
        role: `admin` may manage users.
        once: the request's idempotency key.
        profile: `preferences` and `settings`.

    Raises:
        EmailTaken: another user has this email.
        InvalidKeyField: it is not an email.
        InvalidValue: a field has an invalid value.
        MapTooLarge: a map has more names or bytes than its limit.
        DoneBefore: another request with the same idempotency key was first.
    """
    user = new_user(normalise_email(email), name=name, role=one_of("role", role, ROLES), **profile)
    transaction = Transaction()
    transaction.create("user", user)
    transaction.create("email", EmailClaim.of(user.email, user.user_id))
    if once:
        once.add(transaction, user.user_id, user)
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise EmailTaken(user.email) from error
    return user


@access_pattern(
    "AP-02",
    "User by id",
    question="Who is this user?",
    requests=(Request("GetItem", (User,), consistent=True),),
    budget=Budget(1, 1, 0, "a profile of up to 4 KB"),
    routes=(
        "GET /api/v1/users/{user_id}",
        "GET /api/v1/users/me",
        "PATCH /api/v1/users/{user_id} with nothing to change",
        "POST /api/v1/api-keys",
        "POST /api/v1/conversations/{conversation_id}/messages with an agent on its owner's credentials",
        "POST /api/v1/conversations/{conversation_id}/turns with an agent on its owner's credentials",
        "POST /v1/chat/completions with an agent on its owner's credentials",
        "POST /v1/responses with an agent on its owner's credentials",
        "POST /v1/responses/input_tokens with an agent on its owner's credentials",
        "POST /api/v1/conversations/{conversation_id}/branches with an agent on its owner's credentials",
        "GET /api/v1/users/{user_id}/export",
        *(f"{route} with an administrator's key" for route in _ADMINISTRATORS),
    ),
)
def get_user(user_id: UserId) -> User:
    """Return a user.

    Raises:
        ItemNotFound: there is none, or it is being deleted.
    """
    user: User | None = get(User, user_id=user_id)
    if user is None:
        raise ItemNotFound("user")
    return user


@access_pattern(
    "AP-03",
    "User by email",
    question="Which user has this email?",
    requests=(Request("GetItem", (EmailClaim,), consistent=True), Request("GetItem", (User,), consistent=True)),
    budget=Budget(2, 2, 0, "the claim, then a profile of up to 4 KB"),
    routes=("GET /api/v1/users?email=", "POST /api/v1/agents/{agent_id}/shares with an email"),
)
def get_user_by_email(email: str) -> User:
    """Return the user who has this email.

    Raises:
        ItemNotFound: no user has it.
        InvalidKeyField: it is not an email.
    """
    key = EmailClaim.of(normalise_email(email)).email
    claim: EmailClaim | None = get(EmailClaim, email=key)
    if claim is None:
        raise ItemNotFound("user")
    return get_user(acting_for(claim.user_id))


@access_pattern(
    "AP-04",
    "Update a user's profile",
    question="Change a name, preferences or settings, and nothing else.",
    requests=(Request("GetItem", (User,), consistent=True, optional=True), Request("UpdateItem", (User,))),
    budget=Budget(
        2,
        1,
        3,
        "a profile of up to 1 KB; 1 request and no RCU if only the name changes; 2 of the 3 WCU only if the entry in "
        "users_by_id changes",
    ),
    routes=("PATCH /api/v1/users/{user_id}", "PATCH /api/v1/users/me"),
)
def update_user(user_id: UserId, changes: Mapping[str, Any]) -> User:
    """Change some fields; `preferences` and `settings` are merged by name, None removes an entry.

    To change a map, the profile is read first, because the whole map has a limit; concurrent changes cannot exceed it.

    Raises:
        InvalidValue: a field cannot be changed, or its new value is not allowed.
        MapTooLarge: a map would have more names or bytes than its limit.
        ItemNotFound: there is no such user, or it is being deleted.
        Contended: others kept changing the profile.
    """
    actions = actions_for(User, changes)
    merging = merges(User, changes)
    for attempt in range(MAX_ATTEMPTS):
        user = User.from_key(user_id=user_id)
        condition, previous = is_active(), None
        if merging:
            seen = get_user(user_id)
            previous = seen.updated_at
            apply(seen, changes)
            condition &= User.updated_at == previous
        moved = User.updated_at.set(clock.strictly_after(previous))
        try:
            update_present(user, [*actions, moved], condition, "user")
        except ItemNotFound:
            if not merging:
                raise
            pause(attempt)
        else:
            return user
    raise Contended("Others kept changing this profile; nothing was written.")


@access_pattern(
    "AP-92",
    "Change a user's credentials",
    question="Store or remove these encrypted integration details, and record it in the audit trail.",
    requests=(
        Request("TransactWriteItems", writes=(Write("Put", AuditEvent), Write("Update", User))),
        Request("GetItem", (User,), consistent=True),
    ),
    budget=Budget(2, 1, 4, "a profile of up to 1 KB and the audit record"),
    routes=("PATCH /api/v1/users/{user_id}",),
)
def change_credentials(user_id: UserId, details: Mapping[str, Any]) -> User:
    """Merge encrypted integration details by name, None removes one; the audit record contains only their names.

    Raises:
        InvalidValue: the details are not a map of JSON values.
        MapTooLarge: there would be more names or bytes than the limit.
        ItemNotFound: there is no such user, or it is being deleted.
        Contended: others kept changing the profile.
    """
    changes = {"api_integration_details": checked_map("api_integration_details", details)}
    actions = actions_for(User, changes)
    for attempt in range(MAX_ATTEMPTS):
        user = get_user(user_id)
        condition = is_active() & (User.updated_at == user.updated_at)
        user.updated_at = clock.strictly_after(user.updated_at)
        apply(user, changes)
        transaction = Transaction()
        moved = User.updated_at.set(user.updated_at)
        transaction.update("user", User.from_key(user_id=user_id), [*actions, moved], condition)
        record(transaction, event(user_id, "credentials.changed", user_id, names=sorted(details)))
        try:
            transaction.commit()
        except ConditionFailed:
            pause(attempt)
        else:
            return user
    raise Contended("Others kept changing this profile; nothing was written.")


@access_pattern(
    "AP-05",
    "List all users",
    question="Who uses this deployment? For administrators.",
    requests=(Request("Query", (User,), index="users_by_id", order="ascending", page="1 to 1,000 and one more"),),
    budget=Budget(1, 2, 0, "a page of 50 users of up to 300 bytes in the index"),
    routes=("GET /api/v1/users",),
)
def list_users(limit: int, after: str | None = None) -> Page[User]:
    """Return users in the order of their creation, starting after the id `after`.

    They have only what the index projects: id, email, name, role, status, created_at.
    """
    start = None
    if after is not None:
        key = User.from_key(user_id=after)
        start = {"PK": key.PK, "SK": key.SK, "directory": key.directory, "user_id": after}
    directory = User.directory.template.render()
    return query(directory, None, limit=limit, index="users_by_id", entity=User, after=start)


@access_pattern(
    "AP-06",
    "Change a user's email",
    question="Give a user another email that no other user has.",
    requests=(
        Request("GetItem", (User,), consistent=True),
        Request(
            "TransactWriteItems",
            writes=(
                Write("Delete", EmailClaim, optional=True),
                Write("Put", EmailClaim),
                Write("Put", AuditEvent),
                Write("Update", User),
            ),
        ),
    ),
    budget=Budget(2, 1, 10, "a profile of up to 1 KB, two claims, the audit record and the change in users_by_id"),
    routes=("PATCH /api/v1/users/{user_id}",),
)
def change_email(user_id: UserId, email: str) -> User:
    """Claim the new email, release the old one and change the profile, all or nothing.

    Raises:
        EmailTaken: another user has the new email.
        InvalidKeyField: it is not an email.
        ItemNotFound: there is no such user, or its email changed at the same time.
    """
    user = get_user(user_id)
    email = normalise_email(email)
    if email == user.email:
        return user
    transaction = Transaction()
    if user.email is not None:
        transaction.delete("old", EmailClaim.of(user.email))
    unchanged = User.email.does_not_exist() if user.email is None else User.email == user.email
    transaction.create("new", EmailClaim.of(email, user_id))
    moment = clock.now()
    actions = [User.email.set(email), User.updated_at.set(moment)]
    transaction.update("user", user, actions, is_active() & unchanged)
    record(transaction, event(user_id, "email.changed", user_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise (EmailTaken(email) if "new" in error.parts else ItemNotFound("user")) from error
    user.email, user.updated_at = email, moment
    return user
