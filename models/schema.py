"""The table's shape, derived from the items: key schema, indexes, TTL and stream. `bot table create` makes it so.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

# The items register themselves when they are imported; the schema is what they declare together.
from models import (  # noqa: F401
    agent,
    api_key,
    audit,
    conversation,
    erasure,
    idempotency,
    identity,
    message,
    request_count,
    share,
    state,
    turn,
    user,
)
from models.table import client, settings

TTL_ATTRIBUTE = "expires_at"
STREAM_VIEW = "NEW_AND_OLD_IMAGES"


@dataclass(frozen=True)
class Index:
    """A global secondary index: its keys are attributes of items, its `includes` are copied along with them."""

    name: str
    partition_key: str
    sort_key: str | None
    includes: tuple[str, ...] = ()
    purpose: str = ""

    @property
    def projection(self) -> dict[str, Any]:
        """The projection as DynamoDB has it."""
        if not self.includes:
            return {"ProjectionType": "KEYS_ONLY"}
        return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(self.includes)}

    @property
    def key_schema(self) -> list[dict[str, str]]:
        """The key schema as DynamoDB has it."""
        keys = [{"AttributeName": self.partition_key, "KeyType": "HASH"}]
        return [*keys, {"AttributeName": self.sort_key, "KeyType": "RANGE"}] if self.sort_key else keys


# What a list shows is copied into the index; what changes with each turn is not, or each turn would write the indexes.
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
    Index("agents_by_id", "agent_key", None, (), "The owner of an agent, by the agent's id alone."),
    Index(
        "users_by_id",
        "directory",
        "user_id",
        ("email", "name", "role", "status", "created_at"),
        "All users, oldest first: for an administrator.",
    ),
)


def key_schema() -> dict[str, Any]:
    """Return the keys of table and indexes as DynamoDB describes them."""
    attributes = {"PK", "SK", *(i.partition_key for i in INDEXES), *(i.sort_key for i in INDEXES if i.sort_key)}
    return {
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in sorted(attributes)],
        "GlobalSecondaryIndexes": [
            {"IndexName": index.name, "KeySchema": index.key_schema, "Projection": index.projection}
            for index in INDEXES
        ],
    }


def create_table() -> bool:
    """Create the configured table where it is missing, and turn its TTL on; wait until both are so.

    Safe to call twice, and from two places at once. An existing table must have our keys and indexes.

    Returns:
        Whether this call created it.

    Raises:
        ValueError: a table of that name exists with other keys or without our indexes and what they carry.
    """
    name = settings().name
    created = True
    try:
        client().create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": STREAM_VIEW},
            **key_schema(),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceInUseException":
            raise
        created = False
    client().get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
    _check_shape(client().describe_table(TableName=name)["Table"])
    _enable_ttl(name)
    return created


def _check_shape(found: dict[str, Any]) -> None:
    wanted = key_schema()
    differences = []
    if _keys(found["KeySchema"]) != _keys(wanted["KeySchema"]):
        differences.append("its keys are not PK and SK")
    indexes = {index["IndexName"]: index for index in found.get("GlobalSecondaryIndexes", [])}
    for index in INDEXES:
        if index.name not in indexes:
            differences.append(f"it has no index {index.name}")
        elif _keys(indexes[index.name]["KeySchema"]) != _keys(index.key_schema):
            differences.append(f"its index {index.name} has other keys")
        elif missing := _not_projected(index, indexes[index.name]["Projection"]):
            differences.append(f"its index {index.name} does not carry {', '.join(missing)}")
    if differences:
        raise ValueError(f"The table {found['TableName']} exists, but {', '.join(differences)}.")


def _keys(schema: list[dict[str, str]]) -> list[tuple[str, str]]:
    return sorted((key["AttributeName"], key["KeyType"]) for key in schema)


def _not_projected(index: Index, found: dict[str, Any]) -> list[str]:
    if found["ProjectionType"] == "ALL":
        return []
    return sorted(set(index.includes) - set(found.get("NonKeyAttributes", [])))


def _enable_ttl(name: str) -> None:
    status = client().describe_time_to_live(TableName=name)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if status in ("ENABLED", "ENABLING"):
        return
    try:
        client().update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        )
    except ClientError as error:
        # Somebody else was faster: DynamoDB says so with a ValidationException.
        if "already enabled" not in error.response["Error"]["Message"]:
            raise


def delete_table() -> None:
    """Delete the configured table and wait until it is gone; a missing one is no error. For tests and measurements."""
    name = settings().name
    try:
        client().delete_table(TableName=name)
    except client().exceptions.ResourceNotFoundException:
        return
    client().get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def describe_table() -> dict[str, Any]:
    """Return what DynamoDB says of the configured table, with its TTL under `TimeToLive`.

    Raises:
        ClientError: `ResourceNotFoundException` where there is no such table.
    """
    name = settings().name
    found: dict[str, Any] = dict(client().describe_table(TableName=name)["Table"])
    found["TimeToLive"] = client().describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return found


def reachable() -> bool:
    """Whether the table answers and is active: one DescribeTable, no capacity."""
    status = client().describe_table(TableName=settings().name)["Table"]["TableStatus"]
    return status in ("ACTIVE", "UPDATING")
