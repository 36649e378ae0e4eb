"""IdempotencyRecord: what came of a request that carried a key of the client's."""

from datetime import timedelta

from pynamodb.attributes import UnicodeAttribute

from models.table.attributes import TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

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
