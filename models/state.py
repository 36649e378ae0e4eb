"""State: any JSON that a bot needs to remember, under a key, for a user or for a conversation.

`session` state belongs to what goes on now and often has a TTL; `application` state stays. The sort key's prefix,
`KV#`, comes before `MSG#`, so state never stands between a conversation's messages and its header.
"""

from typing import Literal

from pynamodb.attributes import NumberAttribute

from models.table.attributes import TimestampAttribute
from models.table.keys import Key, KeyField
from models.table.long_text import LongItem, LongJsonAttribute

StateKind = Literal["session", "application"]
KINDS: tuple[StateKind, ...] = ("session", "application")


class _State(LongItem):
    """What both kinds of owner have in common. `version` starts at 1 and grows with each put."""

    LONG = "value"

    SK = Key("KV#{kind}#{key}", range_key=True)

    kind = KeyField()
    key = KeyField()
    # Absent is JSON's null.
    value = LongJsonAttribute(null=True)
    version = NumberAttribute()
    created_at = TimestampAttribute()
    updated_at = TimestampAttribute()


class UserState(_State):
    """State of a user, in the user's partition."""

    ENTITY = "UserState"

    PK = Key("USER#{user_id}", hash_key=True)
    user_id = KeyField()


class ConversationState(_State):
    """State of a conversation, in the conversation's partition."""

    ENTITY = "ConversationState"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    conversation_id = KeyField()
