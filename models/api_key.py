"""API key: the door. Only the key's hash is stored, and it is the partition key: a lookup is one GetItem."""

from pynamodb.attributes import UnicodeAttribute

from models.attributes import TimestampAttribute
from models.keys import Key, KeyField
from models.table import Item

ID_PREFIX = "key"


class ApiKey(Item):
    """What a presented key is looked up by. `role` is its user's when the key was made."""

    ENTITY = "ApiKey"

    PK = Key("APIKEY#{key_hash}", hash_key=True)
    SK = Key("KEY", range_key=True)

    key_hash = KeyField()
    key_id = UnicodeAttribute()
    user_id = UnicodeAttribute()
    role = UnicodeAttribute(default="user")


class ApiKeyEntry(Item):
    """What a user's list of keys shows, in the user's partition; written and deleted with the `ApiKey` together."""

    ENTITY = "ApiKeyEntry"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("KEY#{key_id}", range_key=True)

    user_id = KeyField()
    key_id = KeyField()
    key_hash = UnicodeAttribute()
    name = UnicodeAttribute(null=True)
    hint = UnicodeAttribute()
    created_at = TimestampAttribute()
