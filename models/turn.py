"""Turn: how one run of an agent ended, with whatever text there was if it did not end well."""

from typing import Literal

from pynamodb.attributes import NumberAttribute, UnicodeAttribute

from models.attributes import JsonAttribute, TimestampAttribute
from models.keys import Key, KeyField
from models.table import Item

TurnStatus = Literal["completed", "failed", "cancelled", "interrupted"]

ID_PREFIX = "turn"


class TurnEntry(Item):
    """Leads from a conversation to a turn that none of its messages names, so that both are deleted together."""

    ENTITY = "TurnEntry"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("ENDED#{turn_id}", range_key=True)

    conversation_id = KeyField()
    turn_id = UnicodeAttribute()


class Turn(Item):
    """One run of an agent, written when it ends. While it runs, it is the lease on its conversation's header.

    `error` has `code` and `detail`; `partial_text` is what an unfinished answer had come to.
    """

    ENTITY = "Turn"

    PK = Key("TURN#{turn_id}", hash_key=True)
    SK = Key("TURN", range_key=True)

    turn_id = KeyField()
    user_id = UnicodeAttribute()
    conversation_id = UnicodeAttribute()
    agent_id = UnicodeAttribute()
    status = UnicodeAttribute()
    provider = UnicodeAttribute(null=True)
    model = UnicodeAttribute(null=True)
    started_at = TimestampAttribute()
    ended_at = TimestampAttribute(null=True)
    finish_reason = UnicodeAttribute(null=True)
    input_tokens = NumberAttribute(null=True)
    output_tokens = NumberAttribute(null=True)
    error = JsonAttribute(null=True)
    partial_text = UnicodeAttribute(null=True)
