"""The only declaration of the keys of the table and its indexes, of its TTL attribute and its stream.

The connection uses it instead of calling DescribeTable, `models.schema` creates the table from it, and the
documentation and exports are generated from it.
"""

from dataclasses import dataclass
from typing import Any

TTL_ATTRIBUTE = "expires_at"
STREAM_VIEW = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True)
class Index:
    """A global secondary index: its keys are attributes of items; the attributes in `includes` are projected."""

    name: str
    partition_key: str
    sort_key: str | None
    includes: tuple[str, ...] = ()
    purpose: str = ""

    @property
    def projection(self) -> dict[str, Any]:
        """The projection in DynamoDB's format."""
        if not self.includes:
            return {"ProjectionType": "KEYS_ONLY"}
        return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(self.includes)}

    @property
    def key_schema(self) -> list[dict[str, str]]:
        """The key schema in DynamoDB's format."""
        keys = [{"AttributeName": self.partition_key, "KeyType": "HASH"}]
        return [*keys, {"AttributeName": self.sort_key, "KeyType": "RANGE"}] if self.sort_key else keys


# The attributes that lists show are projected. Those that change with each turn are not, or each turn would write to
# the indexes.
INDEXES: tuple[Index, ...] = (
    Index(
        "conversations_by_user",
        "user_id",
        "user_activity",
        ("agent_id", "title", "started_at"),
        "A user's conversations, latest activity first, by status.",
    ),
    Index(
        "conversations_by_agent",
        "user_agent",
        "agent_activity",
        ("title", "started_at", "status"),
        "A user's conversations with one agent, latest activity first.",
    ),
    Index("agents_by_id", "agent_key", None, (), "The owner of an agent, by the agent's id only."),
    Index(
        "users_by_id",
        "directory",
        "user_id",
        ("email", "name", "role", "status", "created_at"),
        "All users, oldest first, for administrators.",
    ),
)


def key_schema() -> dict[str, Any]:
    """Return the keys of the table and its indexes in DynamoDB's format."""
    attributes = {"PK", "SK", *(i.partition_key for i in INDEXES), *(i.sort_key for i in INDEXES if i.sort_key)}
    return {
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in sorted(attributes)],
        "GlobalSecondaryIndexes": [
            {"IndexName": index.name, "KeySchema": index.key_schema, "Projection": index.projection}
            for index in INDEXES
        ],
    }
