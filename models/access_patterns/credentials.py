"""Users' integration details in bulk, for the operator's rotation of the encryption key."""

from collections.abc import Sequence

from models.access_patterns.audit_records import event, record
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.users import is_active
from models.audit import AuditEvent
from models.table.attributes import to_json
from models.table.changes import entry
from models.table.reading import get_many
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction
from models.user import User

# DynamoDB's limit for one BatchGetItem.
MAX_USERS = 100


@access_pattern(
    "AP-95",
    "List users with credentials",
    question="Which encryption keys do the details of these users need? For the operator.",
    requests=(Request("BatchGetItem", (User,), consistent=True),),
    budget=Budget(1, 50, 0, "50 profiles of up to 4 KB"),
)
def get_users(user_ids: Sequence[str]) -> list[User]:
    """Return up to 100 users, without those that were deleted or are being deleted.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    found = get_many([User.from_key(user_id=user_id) for user_id in user_ids], consistent=True)
    return [user for user in found if user is not None]


@access_pattern(
    "AP-96",
    "Re-encrypt a user's credentials",
    question="Encrypt these details with the newest key, unless the user has changed them. For the operator.",
    requests=(Request("TransactWriteItems", writes=(Write("Put", AuditEvent), Write("Update", User))),),
    budget=Budget(1, 0, 4, "a profile of up to 1 KB and the audit record"),
)
def replace_details(user_id: UserId, name: str, seen: str, sealed: str) -> bool:
    """Replace the details under one name if they still equal `seen`; return whether they did.

    No other attribute changes, not even `updated_at`, because the user changed nothing.
    """
    user = User.from_key(user_id=user_id)
    path = entry(User.api_integration_details, name)
    unchanged = is_active() & (path == {"S": to_json(seen)})
    transaction = Transaction()
    transaction.update("user", user, [path.set({"S": to_json(sealed)})], unchanged)
    record(transaction, event(user_id, "credentials.rotated", user_id, names=[name]))
    try:
        transaction.commit()
    except ConditionFailed:
        return False
    return True
