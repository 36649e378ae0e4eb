"""Capacity figures: the budgets of the access patterns are measured with them, so an engine must report what AWS bills.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

import math
from typing import Any

import pytest

from tests.conformance.conftest import Wire

TOTAL = {"ReturnConsumedCapacity": "TOTAL"}
INDEXES = {"ReturnConsumedCapacity": "INDEXES"}

reads_by_request = pytest.mark.engine_limit("embedded", reason="It reports one unit for a read, whatever its size.")


def units(answer: Any) -> float:
    consumed = answer["ConsumedCapacity"]
    return float(sum(each["CapacityUnits"] for each in (consumed if isinstance(consumed, list) else [consumed])))


@reads_by_request
def test_a_get_is_billed_in_steps_of_4_kb(wire: Wire) -> None:
    wire.put(wire.item("A", size=4097))
    read = {"TableName": wire.table, "Key": wire.key("A")} | TOTAL

    assert units(wire.call("get_item", **read, ConsistentRead=True)) == 2
    assert units(wire.call("get_item", **read)) == 1


def test_a_get_of_a_missing_item_is_billed(wire: Wire) -> None:
    found = wire.call("get_item", TableName=wire.table, Key=wire.key("missing"), ConsistentRead=True, **TOTAL)

    assert units(found) == 1


@reads_by_request
def test_a_query_is_billed_by_the_sum_of_its_items(wire: Wire) -> None:
    for n in range(20):
        wire.put(wire.item(f"S{n:02}", size=1000))

    assert units(wire.query(ConsistentRead=True, **TOTAL)) == math.ceil(20 * 1000 / 4096)
    assert units(wire.query(**TOTAL)) == math.ceil(20 * 1000 / 4096) / 2


@reads_by_request
def test_a_filter_is_billed_for_the_items_it_drops(wire: Wire) -> None:
    for n in range(20):
        wire.put(wire.item(f"S{n:02}", size=1000))

    found = wire.query(ConsistentRead=True, FilterExpression="kind = :no", values={"no": "no"}, **TOTAL)

    assert found["Count"] == 0
    assert units(found) == 5


def test_a_put_is_billed_in_steps_of_1_kb(wire: Wire) -> None:
    assert units(wire.put(wire.item("A", size=1024), **TOTAL)) == 1
    assert units(wire.put(wire.item("B", size=1025), **TOTAL)) == 2


def test_an_update_is_billed_by_the_larger_of_before_and_after(wire: Wire) -> None:
    wire.put(wire.item("A", size=3000))

    changed = wire.call("update_item", TableName=wire.table, Key=wire.key("A"), UpdateExpression="REMOVE fill", **TOTAL)

    assert units(changed) == 3


@pytest.mark.engine_limit(
    "localstack",
    "dynamodb-local",
    reason="It reports 12 units where AWS bills 6: it overcounts items of unequal size.",
)
def test_a_transaction_is_billed_twice(wire: Wire) -> None:
    written = wire.transact(
        ("Put", {"Item": wire.item("A", size=1000)}), ("Put", {"Item": wire.item("B", size=2000)}), **TOTAL
    )

    assert units(written) == 2 * (1 + 2)


def test_a_transactional_check_is_billed_like_a_write(wire: Wire) -> None:
    wire.put(wire.item("A", size=1000))

    written = wire.transact(
        ("ConditionCheck", {"Key": wire.key("A"), "ConditionExpression": "attribute_exists(PK)"}),
        ("Put", {"Item": wire.item("B", size=1000)}),
        **TOTAL,
    )

    assert units(written) == 4


def test_an_index_entry_is_billed_in_addition_to_the_item(wire: Wire) -> None:
    entry = wire.item("A", user_id=wire.pk, user_activity="active#1")

    written = wire.put(entry, **INDEXES)["ConsumedCapacity"]

    assert written["CapacityUnits"] == 2
    assert written["GlobalSecondaryIndexes"]["conversations_by_user"]["CapacityUnits"] == 1


def test_an_item_without_the_index_keys_is_not_billed_for_the_index(wire: Wire) -> None:
    assert units(wire.put(wire.item("A", user_id=wire.pk), **INDEXES)) == 1


def test_a_moved_index_key_is_billed_as_a_delete_and_an_insert(wire: Wire) -> None:
    wire.put(wire.item("A", user_id=wire.pk, user_activity="active#1"))

    moved = wire.call(
        "update_item",
        TableName=wire.table,
        Key=wire.key("A"),
        UpdateExpression="SET user_activity = :v",
        ExpressionAttributeValues={":v": {"S": "active#2"}},
        **INDEXES,
    )

    assert units(moved) == 1 + 2


def test_an_update_that_the_index_does_not_project_is_not_billed_for_it(wire: Wire) -> None:
    wire.put(wire.item("A", user_id=wire.pk, user_activity="active#1"))

    changed = wire.call(
        "update_item",
        TableName=wire.table,
        Key=wire.key("A"),
        UpdateExpression="SET note = :v",
        ExpressionAttributeValues={":v": {"S": "x"}},
        **INDEXES,
    )

    assert units(changed) == 1
