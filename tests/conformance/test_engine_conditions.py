"""Conditional writes: what the leases, the claims and the order of messages rest on."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from tests.conformance.conftest import Wire, refusal

ABSENT = {"ConditionExpression": "attribute_not_exists(PK)"}


def test_a_conditional_create_succeeds_once(wire: Wire) -> None:
    wire.put(wire.item("A"), **ABSENT)

    refused = refusal(lambda: wire.put(wire.item("A"), **ABSENT))

    assert refused["Error"]["Code"] == "ConditionalCheckFailedException"


def test_exactly_one_of_many_concurrent_creates_succeeds(wire: Wire) -> None:
    def create(number: int) -> bool:
        try:
            wire.put(wire.item("A", by=str(number)), **ABSENT)
        except ClientError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(24))) == 1


def test_a_refused_write_can_return_the_item(wire: Wire) -> None:
    wire.put(wire.item("A", owner="first"))

    refused = refusal(lambda: wire.put(wire.item("A"), **ABSENT, ReturnValuesOnConditionCheckFailure="ALL_OLD"))

    assert refused["Item"]["owner"] == {"S": "first"}


def test_a_condition_on_a_missing_item_sees_no_attributes(wire: Wire) -> None:
    refused = refusal(
        lambda: wire.call(
            "update_item",
            TableName=wire.table,
            Key=wire.key("A"),
            UpdateExpression="SET a = :v",
            ConditionExpression="a = :v",
            ExpressionAttributeValues={":v": {"S": "x"}},
        )
    )

    assert refused["Error"]["Code"] == "ConditionalCheckFailedException"
    assert wire.get("A") is None


def test_concurrent_increments_lose_no_count(wire: Wire) -> None:
    def add(_: int) -> Any:
        return wire.call(
            "update_item",
            TableName=wire.table,
            Key=wire.key("A"),
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))

    assert wire.get("A")["n"] == {"N": "40"}


def test_an_update_that_changes_one_name_of_a_map_leaves_the_others(wire: Wire) -> None:
    wire.put(wire.key("A") | {"m": {"M": {"a": {"S": "1"}, "b": {"S": "2"}}}})

    wire.call(
        "update_item",
        TableName=wire.table,
        Key=wire.key("A"),
        UpdateExpression="SET m.b = :v REMOVE m.c",
        ExpressionAttributeValues={":v": {"S": "3"}},
    )

    assert wire.get("A")["m"] == {"M": {"a": {"S": "1"}, "b": {"S": "3"}}}


def test_a_failed_write_leaves_nothing_behind(wire: Wire) -> None:
    wire.put(wire.item("A", version="1"))

    refusal(lambda: wire.put(wire.item("A", version="2"), **ABSENT))

    assert wire.get("A")["version"] == {"S": "1"}
