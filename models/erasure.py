"""Erasure: the removal of a conversation, an agent or a user, as a job that any process can go on with.

The job and its receipt are one item; beside it stands a `PendingErasure` for as long as there is something to do, so
that the open jobs of all users are one item collection and nobody has to search for them.
"""

from datetime import timedelta
from typing import Literal

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from models.table import clock
from models.table.attributes import JsonAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

ErasureKind = Literal["conversation", "agent", "user"]
ErasureStatus = Literal["running", "completed"]

ID_PREFIX = "era"

RECEIPTS_KEPT = timedelta(days=400)
"""How long the receipt of an erasure can be read. It names ids and counts, and nothing that anybody said."""


OBJECT = "S3Object"
"""What an object of the bucket is called in a receipt, beside the kinds of items."""


class Erasure(Item):
    """What is removed, who asked, how far it has come; when `completed_at` is there, it is the receipt.

    `removed` counts the items by their kind, and the objects of the bucket. `counted` is the place up to which they are
    counted, a step of the walk and a sort key in it or an object's key: a page is counted before it is deleted, so that
    a worker that comes after a dead one neither counts an item twice nor misses one.

    The lease: `worker` goes on with the job until `lease_expires_at`, by the clock that the leases of turns are judged
    by; `fence` grows with every worker, and who holds an older one counts nothing any more.
    """

    ENTITY = "Erasure"

    PK = Key("ERASURE#{erasure_id}", hash_key=True)
    SK = Key("ERASURE", range_key=True)

    erasure_id = KeyField()
    user_id = UnicodeAttribute()
    kind = UnicodeAttribute()
    target_id = UnicodeAttribute()
    asked_by = UnicodeAttribute()
    asked_at = TimestampAttribute()
    completed_at = TimestampAttribute(null=True)
    removed = JsonAttribute()
    counted = JsonAttribute(null=True)

    fence = NumberAttribute(default=1)
    worker = UnicodeAttribute(null=True)
    lease_expires_at = TimestampAttribute(null=True)

    @property
    def completed(self) -> bool:
        """Whether all is removed."""
        return self.completed_at is not None

    def counts_to(self, step: str, sort_key: str) -> bool:
        """Whether the item or object at this place of the walk is counted already."""
        return self.counted is not None and self.counted[0] == step and sort_key <= self.counted[1]

    @property
    def leased(self) -> bool:
        """Whether a worker goes on with it at this moment."""
        return not self.completed and self.lease_expires_at is not None and self.lease_expires_at > clock.table_now()


class PendingErasure(Item):
    """Says that an erasure is not completed; written with it, and deleted by the transaction that completes it.

    The partition key is a constant: all open jobs are one item collection, and stay few.
    """

    ENTITY = "PendingErasure"

    PK = Key("ERASURES", hash_key=True)
    SK = Key("PENDING#{erasure_id}", range_key=True)

    erasure_id = KeyField()
