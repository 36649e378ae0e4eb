"""Sharing: items by which other users find an agent. The permission is on the agent, where every turn reads it."""

from models.table.attributes import TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField


class AgentGrant(Item):
    """Records, in a user's partition, that an agent of another user is shared with them.

    It is written and deleted in one transaction with the agent's `shared_with`.
    """

    ENTITY = "AgentGrant"

    PK = Key("USER#{user_id}", hash_key=True)
    SK = Key("GRANT#{agent_id}", range_key=True)

    user_id = KeyField()
    agent_id = KeyField()
    owner_id = TextAttribute()
    created_at = TimestampAttribute()


class PublishedAgent(Item):
    """Records that an agent is published to all users; written and deleted with the agent's `published`.

    The partition key is a constant: the published agents of all owners are one item collection, which only publishing
    and withdrawing write.
    """

    ENTITY = "PublishedAgent"

    PK = Key("PUBLISHED", hash_key=True)
    SK = Key("AGENT#{agent_id}", range_key=True)

    agent_id = KeyField()
    owner_id = TextAttribute()
    created_at = TimestampAttribute()
