"""Conversation: the header of an item collection with its messages and its state.

The header's sort key, `THREAD`, sorts right after the messages (`MSG#…`), so one descending Query reads the header
and the newest messages together. State (`KV#…`) sorts before the messages.

A branch is a conversation that begins by reference: it has an item collection of its own, and its header says which
messages of which other collections come before (`models.branch`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from models.branch import Segment
from models.table import clock
from models.table.attributes import (
    FlagAttribute,
    JsonAttribute,
    JsonMapAttribute,
    TextAttribute,
    TimestampAttribute,
    WholeNumberAttribute,
)
from models.table.item import Item
from models.table.keys import Key, KeyField, KeyMoment

ConversationStatus = Literal["active", "completed", "archived"]
STATUSES: tuple[ConversationStatus, ...] = ("active", "completed", "archived")

ID_PREFIX = "conv"

MAX_TITLE = 200
"""The maximum number of characters in a title, which is also stored in both indexes."""

MAX_METADATA = (64, 32_768)
"""The maximum numbers of names and bytes in the metadata: each turn writes the whole header twice."""


class Conversation(Item):
    """A conversation of a user with an agent.

    `last_message_at` is the time in the newest message's sort key, and keeps the keys in order; `last_active_at` is the
    time of the last activity. The index keys have `listed_at`, which follows `last_active_at` at most once a minute:
    changing an index key costs a delete and an insert in each index.

    The lease: while a turn runs, `lease_turn` is its id, and `lease_expires_at` is when the lease expires, by
    DynamoDB's clock. `fence`, the fencing number, grows with every lease: a worker with an older one writes nothing.
    `cancel_turn` is the id of a turn that was cancelled; it can no longer complete. `lease_claim` is the turn's claim
    on its user's allowance, as `[day, tokens]`, if there are limits.

    A branch has `root_id`, the conversation that its tree began with; it leaves `parent_id` after the message
    `from_message_id`, whose `ts` is `left_at`. `ancestors` is the path to it: the item collections that its own
    continues, from the root on, each as `[conversation_id, ts]` with the `ts` of the last message that counts. It has
    no `listed_at`, so it is in no index: lists show the root. `branched` says that a root has had branches, and
    `active_branch_id` which of them was continued last; None means the root itself.
    """

    ENTITY = "Conversation"
    CHANGEABLE = ("title", "metadata")

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("THREAD", range_key=True)
    user_activity = Key("{status}#{listed_at}#{conversation_id}", null=True)
    user_agent = Key("USER#{user_id}#AGENT#{agent_id}", null=True)
    agent_activity = Key("{listed_at}#{conversation_id}", null=True)

    conversation_id = KeyField()
    listed_at = KeyMoment()
    user_id = TextAttribute()
    agent_id = TextAttribute()
    # The agent's owner, if that is another user.
    agent_owner_id = TextAttribute(null=True)
    title = TextAttribute(null=True, longest=MAX_TITLE)
    status = TextAttribute(default_for_new="active")
    metadata = JsonMapAttribute(default=dict, limit=MAX_METADATA)
    # Counts the changes of the metadata, so that concurrent changes cannot exceed its limit together; absent means 0.
    metadata_version = WholeNumberAttribute(null=True)
    started_at = TimestampAttribute()
    last_active_at = TimestampAttribute()
    last_message_at = TimestampAttribute(null=True)

    message_count = WholeNumberAttribute(default=0)
    turn_count = WholeNumberAttribute(default=0)
    input_tokens = WholeNumberAttribute(default=0)
    output_tokens = WholeNumberAttribute(default=0)

    erasure_id = TextAttribute(null=True)
    retention_days = WholeNumberAttribute(null=True)

    root_id = TextAttribute(null=True)
    parent_id = TextAttribute(null=True)
    left_at = TimestampAttribute(null=True)
    ancestors = JsonAttribute(null=True)
    from_message_id = TextAttribute(null=True)
    branched = FlagAttribute(null=True)
    active_branch_id = TextAttribute(null=True)
    # Says that it has had share links.
    linked = FlagAttribute(null=True)

    fence = WholeNumberAttribute(default=0)
    lease_turn = TextAttribute(null=True)
    lease_expires_at = TimestampAttribute(null=True)
    cancel_turn = TextAttribute(null=True)
    lease_claim = JsonAttribute(null=True)

    def leased(self, moment: datetime | None = None) -> bool:
        """Whether a turn holds the lease at `moment` (by default now, by DynamoDB's clock)."""
        if self.lease_turn is None or self.lease_expires_at is None:
            return False
        return self.lease_expires_at > (moment or clock.table_now())

    @property
    def path(self) -> Sequence[Segment]:
        """What a branch continues, from the root on; empty for a root, and for a branch that begins anew."""
        return tuple(Segment(each, clock.from_timestamp(ts)) for each, ts in self.ancestors or ())


class ConversationEntry(Item):
    """Records a user's conversation with an agent, for strongly consistent reads of the base table.

    Lists are read from the indexes, which lag behind; reads that must not miss a conversation (removal and the user's
    export) use this entry. It is written with the conversation and deleted after it.
    """

    ENTITY = "ConversationEntry"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("CONV#{agent_id}#{conversation_id}", range_key=True)

    user_id = KeyField()
    agent_id = KeyField()
    conversation_id = KeyField()
