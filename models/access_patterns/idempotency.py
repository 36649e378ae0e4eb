"""Idempotency: a request with the client's idempotency key takes effect once, however often it is sent.

The key's record is written in the same transaction as the effect. A repeated request finds it and gets the same
response as the first one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.access_patterns.declare import Budget, Request, access_pattern
from models.idempotency import KEPT, IdempotencyRecord
from models.table import clock
from models.table.item import expiry
from models.table.reading import get
from models.table.tenancy import UserId
from models.table.writing import ONCE, Transaction


@access_pattern(
    "AP-64",
    "Idempotency record by key",
    question="Has this request been processed before? Only for requests with an idempotency key.",
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
        "POST /v1/chat/completions with an Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/branches with an Idempotency-Key",
    ),
)
def find_repeated(user_id: UserId, fingerprint: str) -> IdempotencyRecord | None:
    """Return the record of the first request with this fingerprint in the last 24 hours, or None.

    The read is strongly consistent: a request whose transaction failed because of the record finds it.
    """
    found: IdempotencyRecord | None = get(IdempotencyRecord, user_id=user_id, fingerprint=fingerprint)
    return found


@dataclass
class Once:
    """A request's idempotency key, to be added to the transaction of its effect.

    `seal` returns the encrypted response for the record, given what was created; None if the effect's id is enough.
    `written` says whether this request is known to have stored the effect.
    """

    user_id: UserId
    fingerprint: str
    body_hash: str
    seal: Callable[[Any], str] | None = None
    written: bool = field(default=False, init=False)

    def add(self, transaction: Transaction, effect_id: str, made: object = None) -> None:
        """Make a transaction fail if another request with this key has already taken effect.

        Cost: 2 WCU for each KB of the record: 2 for an id, 2 to 4 for a small response.

        Raises:
            ItemTooLarge: the response does not fit in a record.
        """
        moment = clock.now()
        record = IdempotencyRecord(
            user_id=self.user_id,
            fingerprint=self.fingerprint,
            body_hash=self.body_hash,
            effect_id=effect_id,
            answer=self.seal(made) if self.seal else None,
            created_at=moment,
            expires_at=expiry(moment + KEPT),
        )
        transaction.create(ONCE, record)
        transaction.on_commit(self._note)

    def _note(self) -> None:
        self.written = True
