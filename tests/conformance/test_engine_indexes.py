"""Indexes: sparse, of the projected attributes only, and up to date when they are asked."""

import time
from collections.abc import Callable

from tests.conformance.conftest import Wire, refusal, sort_keys

BY_USER = {"IndexName": "conversations_by_user"}


def soon(condition: Callable[[], bool]) -> bool:
    """Whether something comes true within 10 seconds: an index may be a moment behind its table."""
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def listed(wire: Wire) -> list[str]:
    return sort_keys(wire.query(key=("user_id", wire.pk), **BY_USER))


def test_an_item_without_the_index_keys_is_not_in_the_index(wire: Wire) -> None:
    wire.put(wire.item("with", user_id=wire.pk, user_activity="active#1"))
    wire.put(wire.item("without", user_id=wire.pk))

    assert soon(lambda: listed(wire) == ["with"])


def test_removing_an_index_key_takes_the_item_out_of_the_index(wire: Wire) -> None:
    wire.put(wire.item("A", user_id=wire.pk, user_activity="active#1"))

    wire.call("update_item", TableName=wire.table, Key=wire.key("A"), UpdateExpression="REMOVE user_activity")

    assert soon(lambda: listed(wire) == [])
    assert wire.get("A") is not None


def test_a_moved_item_appears_once_and_in_its_new_place(wire: Wire) -> None:
    for name, activity in (("A", "active#1"), ("B", "active#2")):
        wire.put(wire.item(name, user_id=wire.pk, user_activity=activity))

    wire.call(
        "update_item",
        TableName=wire.table,
        Key=wire.key("A"),
        UpdateExpression="SET user_activity = :v",
        ExpressionAttributeValues={":v": {"S": "active#3"}},
    )

    assert soon(lambda: listed(wire) == ["B", "A"])


def test_an_index_projects_the_included_attributes_and_no_more(wire: Wire) -> None:
    wire.put(wire.item("A", user_id=wire.pk, user_activity="active#1", title="t", metadata="m"))

    assert soon(lambda: listed(wire) == ["A"])
    (entry,) = wire.query(key=("user_id", wire.pk), **BY_USER)["Items"]
    assert set(entry) == {"PK", "SK", "user_id", "user_activity", "title"}


def test_a_consistent_read_of_an_index_is_refused(wire: Wire) -> None:
    refused = refusal(lambda: wire.query(key=("user_id", wire.pk), ConsistentRead=True, **BY_USER))

    assert refused["Error"]["Code"] == "ValidationException"


def test_a_transaction_appears_in_the_index_as_a_whole(wire: Wire) -> None:
    wire.transact(
        ("Put", {"Item": wire.item("A", user_id=wire.pk, user_activity="active#1")}),
        ("Put", {"Item": wire.item("B", user_id=wire.pk, user_activity="active#2")}),
    )

    assert soon(lambda: listed(wire) == ["A", "B"])


def test_a_deleted_item_leaves_the_index(wire: Wire) -> None:
    wire.put(wire.item("A", user_id=wire.pk, user_activity="active#1"))

    wire.call("delete_item", TableName=wire.table, Key=wire.key("A"))

    assert soon(lambda: listed(wire) == [])


def test_an_index_key_of_another_type_is_refused(wire: Wire) -> None:
    wrong = wire.item("A", user_id=wire.pk) | {"user_activity": {"N": "1"}}

    assert refusal(lambda: wire.put(wrong))["Error"]["Code"] == "ValidationException"
