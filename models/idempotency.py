"""IdempotencyRecord: the result of a request with the client's idempotency key."""

from datetime import timedelta

from models.table.attributes import TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

KEPT = timedelta(hours=24)
"""How long an idempotency key is kept."""


class IdempotencyRecord(Item):
    """The result of the first request with an idempotency key.

    `fingerprint` is the hash of caller, route and key, so no client's text is part of a key of the table. `effect_id`
    identifies what was created; `answer` is the encrypted first response, if it cannot be reproduced later.
    """

    ENTITY = "IdempotencyRecord"

    PK = Key("USER#{user_id}#IDEMPOTENCY", hash_key=True)
    SK = Key("KEY#{fingerprint}", range_key=True)

    user_id = KeyField()
    fingerprint = KeyField()
    body_hash = TextAttribute()
    effect_id = TextAttribute()
    answer = TextAttribute(null=True)
    created_at = TimestampAttribute()
