"""Creates and checks the table: key schema, indexes, TTL and stream, as declared in `models.table.indexes`.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from typing import Any

from botocore.exceptions import ClientError

# Importing the entities registers them.
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
    """Create the configured table if it is missing, enable its TTL, and wait until it is active.

    Idempotent, and safe to call concurrently. An existing table must have our keys and indexes.

    Returns:
        Whether this call created it.

    Raises:
        ValueError: a table of that name exists with other keys, or its indexes lack keys or attributes of ours.
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
            differences.append(f"its index {index.name} does not project {', '.join(missing)}")
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
        # If another process was faster, DynamoDB answers with a ValidationException.
        if "already enabled" not in error.response["Error"]["Message"]:
            raise


def delete_table() -> None:
    """Delete the configured table, if it exists, and wait until it is gone. For tests and measurements."""
    name = settings().name
    try:
        client().delete_table(TableName=name)
    except client().exceptions.ResourceNotFoundException:
        return
    client().get_waiter("table_not_exists").wait(TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 120})


def describe_table() -> dict[str, Any]:
    """Return DynamoDB's description of the configured table, with its TTL under `TimeToLive`.

    Raises:
        ClientError: `ResourceNotFoundException` if there is no such table.
    """
    name = settings().name
    found: dict[str, Any] = dict(client().describe_table(TableName=name)["Table"])
    found["TimeToLive"] = client().describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return found


def reachable() -> bool:
    """Whether the table exists and is active. Cost: 1 DescribeTable, no capacity."""
    status = client().describe_table(TableName=settings().name)["Table"]["TableStatus"]
    return status in ("ACTIVE", "UPDATING")
