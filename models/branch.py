"""Branch: a conversation that continues another one from one of its messages, without a copy of what came before.

A branch has a header (`models.conversation`) and an item collection like any conversation. What came before stays
where it is: the header has the path to it, as segments of other item collections. Timestamps increase along the whole
path, so the time in a message's id says which segment it is in.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from models.table.attributes import TextAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField, KeyMoment

MAX_HOPS = 8
"""The maximum number of other item collections on a branch's path; what would be the ninth is copied."""

START = datetime(1970, 1, 1, tzinfo=UTC)
"""Where a branch leaves a conversation before its first message."""

COPYING = "copying"
"""The status of an entry whose branch does not exist yet, because part of its path is being copied."""
DROPPED = "dropped"
"""The status of an entry whose branch will not exist: what was copied for it is being deleted."""


@dataclass(frozen=True)
class Segment:
    """The part of an item collection that a branch continues: the messages up to `until`, which is included."""

    conversation_id: str
    until: datetime


class BranchEntry(Item):
    """Leads from a tree's root to one of its branches, sorted by the message where the branch leaves its parent.

    It is written with the branch and deleted after it, so reads that must not miss a branch (lists, removal, exports)
    use it. All entries of a tree are in the root's item collection: one Query shows the tree.
    """

    ENTITY = "BranchEntry"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("BRANCH#{parent_id}#{left_at}#{branch_id}", range_key=True)

    conversation_id = KeyField()
    parent_id = KeyField()
    left_at = KeyMoment()
    branch_id = KeyField()
    from_message_id = TextAttribute(null=True)
    status = TextAttribute(null=True)

    @property
    def hidden(self) -> bool:
        """Whether readers must not see it: it has expired, or its branch does not exist."""
        return super().hidden or self.status in (COPYING, DROPPED)
