"""RequestCount: the number of requests that a user, or one of their keys, made in a minute."""

from datetime import timedelta

from models.table.attributes import WholeNumberAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

# Long enough for any clock skew; after that the count is useless.
COUNTS_KEPT = timedelta(minutes=10)


class RequestCount(Item):
    """The number of requests in one minute (`2026-11-22T13:18`, UTC) by `who`: `user` (all keys) or a key's id."""

    ENTITY = "RequestCount"

    PK = Key("USER#{user_id}#REQUESTS", hash_key=True)
    SK = Key("MINUTE#{minute}#{who}", range_key=True)

    user_id = KeyField()
    minute = KeyField()
    who = KeyField()
    requests = WholeNumberAttribute(default=0)
