"""The table: created once even concurrently, with the declared schema; a table with another schema is refused."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from models.schema import create_table, delete_table, describe_table, reachable
from models.table.connection import TableSettings, client, configure, settings
from models.table.indexes import INDEXES, key_schema
from tests.together import at_once


@pytest.fixture
def no_table(engine: str) -> Iterator[TableSettings]:
    """Settings for a table that does not exist yet."""
    before = settings()
    configure(
        TableSettings(name=f"test-{uuid.uuid4()}", endpoint_url=engine, access_key_id="test", secret_access_key="test")
    )
    yield settings()
    delete_table()
    configure(before)


def test_the_table_has_the_shape_that_the_items_declare(no_table: TableSettings) -> None:
    assert create_table()
    found = describe_table()
    assert found["TableName"] == no_table.name
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert found["KeySchema"] == key_schema()["KeySchema"]
    indexes = {index["IndexName"]: index for index in found["GlobalSecondaryIndexes"]}
    assert indexes.keys() == {index.name for index in INDEXES}
    for index in INDEXES:
        made = indexes[index.name]
        assert made["KeySchema"] == index.key_schema
        assert made["Projection"]["ProjectionType"] == index.projection["ProjectionType"]
        assert set(made["Projection"].get("NonKeyAttributes", ())) == set(index.includes)


def test_ttl_and_stream_are_on(no_table: TableSettings) -> None:
    create_table()
    found = describe_table()
    assert found["TimeToLive"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}
    assert found["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    assert reachable()


def test_creating_it_again_changes_nothing(no_table: TableSettings) -> None:
    assert create_table()
    before = describe_table()
    assert not create_table()
    assert describe_table() == before


def test_of_eight_concurrent_creates_one_succeeds(no_table: TableSettings) -> None:
    assert sorted(at_once([create_table] * 8), key=bool) == [False] * 7 + [True]
    assert describe_table()["TimeToLive"]["TimeToLiveStatus"] == "ENABLED"


def test_a_disabled_ttl_is_enabled(no_table: TableSettings) -> None:
    client().create_table(TableName=no_table.name, BillingMode="PAY_PER_REQUEST", **key_schema())
    assert not create_table()
    assert describe_table()["TimeToLive"]["TimeToLiveStatus"] == "ENABLED"


def changed(**changes: Any) -> dict[str, Any]:
    return {**key_schema(), **changes}


def other_index(position: int, **changes: Any) -> dict[str, Any]:
    indexes = [dict(index) for index in key_schema()["GlobalSecondaryIndexes"]]
    indexes[position] |= changes
    return changed(GlobalSecondaryIndexes=indexes)


PLAIN = {
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
}
SWAPPED = [{"AttributeName": "user_activity", "KeyType": "HASH"}, {"AttributeName": "user_id", "KeyType": "RANGE"}]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        (PLAIN, "its keys are not PK and SK"),
        (other_index(0, IndexName="another"), "it has no index conversations_by_user"),
        (other_index(0, KeySchema=SWAPPED), "its index conversations_by_user has other keys"),
        (
            other_index(0, Projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": ["title"]}),
            "its index conversations_by_user does not project agent_id, started_at",
        ),
        (
            other_index(1, Projection={"ProjectionType": "KEYS_ONLY"}),
            "its index conversations_by_agent does not project started_at, status, title",
        ),
    ],
)
def test_a_table_with_another_shape_is_refused_with_a_reason(
    no_table: TableSettings, shape: dict[str, Any], words: str
) -> None:
    client().create_table(TableName=no_table.name, BillingMode="PAY_PER_REQUEST", **shape)
    with pytest.raises(ValueError, match=words) as refusal:
        create_table()
    assert no_table.name in str(refusal.value)


def test_an_index_may_project_more(no_table: TableSettings) -> None:
    shape = other_index(0, Projection={"ProjectionType": "ALL"})
    client().create_table(TableName=no_table.name, BillingMode="PAY_PER_REQUEST", **shape)
    assert not create_table()


def test_a_missing_table_cannot_be_described(no_table: TableSettings) -> None:
    for look in (describe_table, reachable):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            look()
    delete_table()
