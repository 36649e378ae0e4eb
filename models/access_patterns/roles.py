"""Roles: who may manage users."""

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.users import get_user, is_active
from models.audit import AuditEvent
from models.table import clock
from models.table.errors import Contended
from models.table.tenancy import UserId
from models.table.values import one_of
from models.table.writing import ConditionFailed, Transaction
from models.user import ROLES, Role, User


@access_pattern(
    "AP-99",
    "Change a user's role",
    question="Grant or revoke this user's administrator role, and record it in the audit trail.",
    requests=(
        Request("GetItem", (User,), consistent=True),
        Request("TransactWriteItems", writes=(Write("Put", AuditEvent), Write("Update", User)), optional=True),
    ),
    budget=Budget(2, 1, 5, "a profile of up to 1 KB, its entry in users_by_id and the audit record"),
)
def change_role(user_id: UserId, role: Role) -> bool:
    """Change a user's role; return whether it changed.

    Revoking takes effect immediately, for existing keys too: each use of an administrator's right reads the role. A
    key that was created for a plain user never becomes an administrator's. Only the operator's command uses it.

    Raises:
        InvalidValue: there is no such role.
        ItemNotFound: there is no such user, or it is being deleted.
        Contended: somebody else changed the role, or deleted the user, at the same time.
    """
    one_of("role", role, ROLES)
    user = get_user(user_id)
    if user.role == role:
        return False
    transaction = Transaction()
    actions = [User.role.set(role), User.updated_at.set(clock.now())]
    transaction.update("user", user, actions, is_active() & (User.role == user.role))
    record(transaction, event(user_id, "role.changed", user_id, role=role))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise Contended("Somebody else changed this user at the same time; try again.") from error
    return True
