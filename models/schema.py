"""The table's shape, derived from the items: key schema, indexes, TTL and stream. `bot table create` makes it so.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

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
from models.table.connection import client, settings
from models.table.indexes import INDEXES, STREAM_VIEW, TTL_ATTRIBUTE, Index, key_schema


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
