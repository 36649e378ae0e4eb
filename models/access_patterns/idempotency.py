"""Idempotency: a request that carries a key of the client's has its effect once, however often it arrives.

The record of the key is written in the transaction of the effect, or not at all; who comes second with the same key
finds it, and answers as the first one did.
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


@dataclass
class Once:
    """One request with its key, to be added to the transaction of its effect.

    `seal` gives what the record keeps of the answer, in view of what is made; None where the effect's id is enough.
    `written` says whether the effect is known to be stored, by this request.
    """

    user_id: UserId
    fingerprint: str
    body_hash: str
    seal: Callable[[Any], str] | None = None
    written: bool = field(default=False, init=False)

    def add(self, transaction: Transaction, effect_id: str, made: object = None) -> None:
        """Let a transaction hold only if no other request has had its effect under this key.

        Cost: 2 WCU for each KB of the record: 2 for an id, 2 to 4 for the answer to a small thing.

        Raises:
            ItemTooLarge: the answer does not fit in a record.
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
        transaction.then(self._note)

    def _note(self) -> None:
        self.written = True
