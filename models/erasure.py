"""Erasure: the removal of a conversation, an agent or a user, as a job that any process can continue.

The job and its receipt are one item. A `PendingErasure` exists until the job is completed, so the unfinished jobs of
all users are one item collection, which one Query reads.
"""

from datetime import timedelta
from typing import Literal

from models.table import clock
from models.table.attributes import JsonAttribute, TextAttribute, TimestampAttribute, WholeNumberAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

ErasureKind = Literal["conversation", "agent", "user"]
ErasureStatus = Literal["running", "completed"]

ID_PREFIX = "era"

RECEIPTS_KEPT = timedelta(days=400)
"""How long the receipt of an erasure is kept. It has ids and counts, and no content."""


OBJECT = "S3Object"
"""The name for objects in the bucket in a receipt, next to the item types."""


class Erasure(Item):
    """What is removed, who requested it, and its progress; once `completed_at` is set, it is the receipt.

    `removed` counts the items by type, and the objects in the bucket. `counted` is the position up to which they are
    counted: a step of the job, and a sort key or an object's key. Each page is counted before it is deleted, so a
    worker that takes over from a dead one neither counts an item twice nor misses one.

    The lease: `worker` runs the job until `lease_expires_at`, by DynamoDB's clock; `fence`, the fencing number, grows
    with every worker, and a worker with an older one can no longer count.
    """

    ENTITY = "Erasure"

    PK = Key("ERASURE#{erasure_id}", hash_key=True)
    SK = Key("ERASURE", range_key=True)

    erasure_id = KeyField()
    user_id = TextAttribute()
    kind = TextAttribute()
    target_id = TextAttribute()
    asked_by = TextAttribute()
    asked_at = TimestampAttribute()
    completed_at = TimestampAttribute(null=True)
    removed = JsonAttribute()
    counted = JsonAttribute(null=True)

    fence = WholeNumberAttribute(default=1)
    worker = TextAttribute(null=True)
    lease_expires_at = TimestampAttribute(null=True)

    @property
    def completed(self) -> bool:
        """Whether everything has been removed."""
        return self.completed_at is not None

    def counts_to(self, step: str, sort_key: str) -> bool:
        """Whether the item or object at this position of the job is counted already."""
        return self.counted is not None and self.counted[0] == step and sort_key <= self.counted[1]

    @property
    def leased(self) -> bool:
        """Whether a worker has the lease now."""
        return not self.completed and self.lease_expires_at is not None and self.lease_expires_at > clock.table_now()


class PendingErasure(Item):
    """Marks an erasure as unfinished; written with it, and deleted by the transaction that completes it.

    The partition key is a constant: all unfinished jobs are one small item collection.
    """

    ENTITY = "PendingErasure"

    PK = Key("ERASURES", hash_key=True)
    SK = Key("PENDING#{erasure_id}", range_key=True)

    erasure_id = KeyField()
