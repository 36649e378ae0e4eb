"""Idempotency: a request that carries a key of the client's has its effect once, however often it arrives.

The record of the key is written in the transaction of the effect, or not at all; who comes second with the same key
finds it, and answers as the first one did.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pynamodb.attributes import UnicodeAttribute

from models import clock
from models.attributes import TimestampAttribute
from models.keys import Key, KeyField
from models.table import Item, expiry
from models.tenancy import UserId
from models.writing import ONCE, Transaction

KEPT = timedelta(hours=24)
"""How long a key is remembered."""


class IdempotencyRecord(Item):
    """What came of the request that was the first with its key.

    `fingerprint` is the hash of caller, route and key: no text of a client's stands in a key of the table. What was
    made is led to by `effect_id`; `answer` is the first answer itself, sealed, where it cannot be read again later as
    it was then.
    """

    ENTITY = "IdempotencyRecord"

    PK = Key("USER#{user_id}#IDEMPOTENCY", hash_key=True)
    SK = Key("KEY#{fingerprint}", range_key=True)

    user_id = KeyField()
    fingerprint = KeyField()
    body_hash = UnicodeAttribute()
    effect_id = UnicodeAttribute()
    answer = UnicodeAttribute(null=True)
    created_at = TimestampAttribute()


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
