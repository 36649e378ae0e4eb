"""Idempotency: a request with the client's idempotency key takes effect once, however often it is sent.

The key's record is written in the same transaction as the effect. A repeated request finds it and gets the same
response as the first one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from models.access_patterns.declare import Budget, Request, access_pattern
from models.idempotency import KEPT, IdempotencyRecord
from models.table import clock
from models.table.changes import set_or_remove
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
        "POST /v1/responses with an Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/branches with an Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/links with an Idempotency-Key",
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
        self._create(transaction, effect_id, self.seal(made) if self.seal else None, KEPT)

    def announce(self, transaction: Transaction, effect_id: str, kept: timedelta) -> None:
        """Make a transaction fail if another request with this key runs or has taken effect; the answer follows.

        The record is kept for `kept`, until `conclude` or `withdraw`. Cost: 2 WCU.
        """
        self._create(transaction, effect_id, None, kept)

    def conclude(self, transaction: Transaction, part: str, effect_id: str, answer: str) -> None:
        """Store the answer with the announced record. Cost: 2 WCU for each KB."""
        actions = [
            IdempotencyRecord.answer.set(answer),
            set_or_remove(IdempotencyRecord.expires_at, expiry(clock.now() + KEPT)),
        ]
        transaction.update(part, self._record(), actions, IdempotencyRecord.effect_id == effect_id)

    def withdraw(self, transaction: Transaction, part: str, effect_id: str) -> None:
        """Remove the announced record, so that the key is free again. Cost: 2 WCU."""
        transaction.delete(part, self._record(), IdempotencyRecord.effect_id == effect_id)

    def _record(self) -> IdempotencyRecord:
        return IdempotencyRecord.from_key(user_id=self.user_id, fingerprint=self.fingerprint)

    def _create(self, transaction: Transaction, effect_id: str, answer: str | None, kept: timedelta) -> None:
        moment = clock.now()
        record = IdempotencyRecord(
            user_id=self.user_id,
            fingerprint=self.fingerprint,
            body_hash=self.body_hash,
            effect_id=effect_id,
            answer=answer,
            created_at=moment,
            expires_at=expiry(moment + kept),
        )
        transaction.create(ONCE, record)
        transaction.on_commit(self._note)

    def _note(self) -> None:
        self.written = True
