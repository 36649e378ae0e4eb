"""Conversation: the header of an item collection that holds its messages and its state.

The header's sort key, `THREAD`, comes right after the messages (`MSG#…`), so one descending Query reads the header
and the newest messages together. State (`KV#…`) comes before them.
"""

from datetime import datetime
from typing import Literal

from models.table import clock
from models.table.attributes import (
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
"""Characters of a title, which stands in both indexes, too."""

MAX_METADATA = (64, 32_768)
"""Names and bytes of the metadata: each turn writes the header twice, and pays for all of it."""


class Conversation(Item):
    """A conversation of a user with an agent.

    `last_message_at` is the sort key of the newest message, and guards the order of the keys; `last_active_at` is when
    somebody last said something. The index keys carry `listed_at`, which follows `last_active_at` at most once a
    minute: moving an index key costs a delete and an insert in each index.

    The lease: while a turn runs, `lease_turn` names it and `lease_expires_at` says until when, by DynamoDB's clock.
    `fence` grows with every lease and never goes back, so a worker that was away too long finds its fence passed and
    writes nothing. `cancel_turn` names the turn that shall stop: once it stands there, that turn cannot complete.
    `lease_claim` is what the turn has claimed of its user's allowance, as `[day, tokens]`, where that is limited.
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
    # Whose the agent is, where it is not the user's own.
    agent_owner_id = TextAttribute(null=True)
    title = TextAttribute(null=True, longest=MAX_TITLE)
    status = TextAttribute(default_for_new="active")
    metadata = JsonMapAttribute(default=dict, limit=MAX_METADATA)
    # Counts the changes of the metadata, so that two of them cannot pass its limit together; absent is 0.
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


class ConversationEntry(Item):
    """Leads from a user and an agent to a conversation, by strongly consistent reads of the base table.

    Lists come from the indexes, which follow a moment later; what must not miss a conversation (its removal, and the
    user's export) comes here. It is written with the conversation and deleted after it.
    """

    ENTITY = "ConversationEntry"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("CONV#{agent_id}#{conversation_id}", range_key=True)

    user_id = KeyField()
    agent_id = KeyField()
    conversation_id = KeyField()
