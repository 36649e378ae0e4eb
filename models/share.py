"""Sharing: what leads others to an agent. The right to use it stands on the agent itself, where every turn reads it."""

from pynamodb.attributes import UnicodeAttribute

from models.table.attributes import TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField


class AgentGrant(Item):
    """Says, in the partition of the user whom it is for, that somebody shares an agent with them.

    It is written and deleted in one transaction with the agent's `shared_with`.
    """

    ENTITY = "AgentGrant"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("GRANT#{agent_id}", range_key=True)

    user_id = KeyField()
    agent_id = KeyField()
    owner_id = UnicodeAttribute()
    created_at = TimestampAttribute()


class PublishedAgent(Item):
    """Says that an agent is published to all users of the deployment; written and deleted with its `published`.

    The partition key is a constant: those of all owners are one item collection. Only publishing and withdrawing write
    to it.
    """

    ENTITY = "PublishedAgent"

    PK = Key("PUBLISHED", hash_key=True)
    SK = Key("AGENT#{agent_id}", range_key=True)

    agent_id = KeyField()
    owner_id = UnicodeAttribute()
    created_at = TimestampAttribute()
