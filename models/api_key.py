"""API key. Only the key's hash is stored, and it is the partition key: a lookup is one GetItem."""

from typing import Literal

from models.table.attributes import TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

# `full`: everything the user may do; `read`: only reads; `agent`: one agent and the conversations with it.
Scope = Literal["full", "read", "agent"]

ID_PREFIX = "key"


class ApiKey(Item):
    """An API key by its hash, for authentication.

    `scope` and `role` (the user's role when the key was created) never change. A key with the role `admin` has
    administrator rights only as long as the user's profile has that role too.
    """

    ENTITY = "ApiKey"

    PK = Key("APIKEY#{key_hash}", hash_key=True)
    SK = Key("KEY", range_key=True)

    key_hash = KeyField()
    key_id = TextAttribute()
    user_id = TextAttribute()
    role = TextAttribute(default="user")
    scope = TextAttribute(default="full")
    agent_id = TextAttribute(null=True)


class ApiKeyEntry(Item):
    """An API key in its user's list, in the user's partition; written and deleted together with the `ApiKey`.

    `last_used_at` is coarse: it is written at most once an hour.
    """

    ENTITY = "ApiKeyEntry"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("KEY#{key_id}", range_key=True)

    user_id = KeyField()
    key_id = KeyField()
    key_hash = TextAttribute()
    name = TextAttribute(null=True)
    hint = TextAttribute()
    scope = TextAttribute(default="full")
    agent_id = TextAttribute(null=True)
    created_at = TimestampAttribute()
    last_used_at = TimestampAttribute(null=True)
