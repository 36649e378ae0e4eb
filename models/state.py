"""State: any JSON value that a bot needs to remember, under a key, for a user or for a conversation.

`session` state is for the current session and often has a TTL; `application` state is long-lived. The sort key's
prefix, `KV#`, sorts before `MSG#`, so state is never between a conversation's messages and its header.
"""

import re
from typing import Literal

from models.table.attributes import TimestampAttribute, WholeNumberAttribute
from models.table.errors import InvalidKeyField
from models.table.keys import Key, KeyField
from models.table.long_text import LongItem, LongJsonAttribute

StateKind = Literal["session", "application"]
KINDS: tuple[StateKind, ...] = ("session", "application")

# A key is a segment of a URL's path (docs/decisions/0039), so it must not consist only of dots: clients and proxies
# remove the segments `.` and `..` from a path (RFC 3986, 5.2.4), even if they are percent-encoded.
KEY_PATTERN = r"^\.*[A-Za-z0-9_:-][A-Za-z0-9_.:-]*$"
MAX_KEY = 128
_KEY = re.compile(KEY_PATTERN.removesuffix("$"))
KEY_ALLOWED = f"must be 1 to {MAX_KEY} letters from a to z in either case, digits and _.:-, and not only dots"


def writable_key(key: str) -> str:
    """Return a key after checking that state may be written under it. Existing state can be read and deleted anyway.

    Raises:
        InvalidKeyField: the key is not allowed.
    """
    if not isinstance(key, str) or len(key) > MAX_KEY or not _KEY.fullmatch(key):
        raise InvalidKeyField("key", KEY_ALLOWED)
    return key


class _State(LongItem):
    """Base class of both kinds of state. `version` starts at 1 and is incremented by each put."""

    LONG = "value"
    WRITER = "models.access_patterns.states.put_state"

    SK = Key("KV#{kind}#{key}", range_key=True)

    kind = KeyField()
    key = KeyField()
    # Absent means JSON's null.
    value = LongJsonAttribute(null=True)
    version = WholeNumberAttribute()
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
