"""What came of a request with an idempotency key; the records are written in the transactions of the effects."""

from models.access_patterns.declare import Budget, Request, access_pattern
from models.idempotency import IdempotencyRecord
from models.reading import get
from models.tenancy import UserId


@access_pattern(
    "AP-64",
    "Request by its idempotency key",
    question="Has this request been done before? Asked only where it carries a key.",
    requests=(Request("GetItem", (IdempotencyRecord,), consistent=True),),
    budget=Budget(1, 1, 0, "a record of up to 4 KB"),
    routes=(
        "POST /api/v1/users with an Idempotency-Key",
        "POST /api/v1/api-keys with an Idempotency-Key",
        "POST /api/v1/agents with an Idempotency-Key",
        "POST /api/v1/agents/{agent_id}/shares with an Idempotency-Key",
        "POST /api/v1/conversations with an Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/messages with an Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/turns with an Idempotency-Key",
    ),
)
def find_repeated(user_id: UserId, fingerprint: str) -> IdempotencyRecord | None:
    """Return the record of the request that was the first with this fingerprint in the last 24 hours, if one was.

    The read is strongly consistent: whose transaction was refused because of the record finds it.
    """
    found: IdempotencyRecord | None = get(IdempotencyRecord, user_id=user_id, fingerprint=fingerprint)
    return found
