"""Limits: what is refused here must be what AWS refuses, or it fails first in production."""

from tests.conformance.conftest import Wire, refusal

MAX_ITEM = 409_600


def test_an_item_of_400_kb_is_kept(wire: Wire) -> None:
    wire.put(wire.item("A", size=MAX_ITEM))

    found = wire.get("A")
    assert sum(len(name) + len(value["S"]) for name, value in found.items()) == MAX_ITEM


def test_an_item_one_byte_larger_is_refused(wire: Wire) -> None:
    refused = refusal(lambda: wire.put(wire.item("A", size=MAX_ITEM + 1)))

    assert refused["Error"]["Code"] == "ValidationException"
    assert "size" in refused["Error"]["Message"]


def test_an_update_that_makes_an_item_too_large_is_refused(wire: Wire) -> None:
    wire.put(wire.item("A", size=MAX_ITEM - 10))

    refused = refusal(
        lambda: wire.call(
            "update_item",
            TableName=wire.table,
            Key=wire.key("A"),
            UpdateExpression="SET more = :v",
            ExpressionAttributeValues={":v": {"S": "x" * 100}},
        )
    )

    assert refused["Error"]["Code"] == "ValidationException"
    assert "Item size" in refused["Error"]["Message"]


def test_a_batch_of_25_writes_is_accepted(wire: Wire) -> None:
    writes = [{"PutRequest": {"Item": wire.item(f"{n:02}")}} for n in range(25)]

    left = wire.call("batch_write_item", RequestItems={wire.table: writes})["UnprocessedItems"]

    assert not left
    assert wire.query()["Count"] == 25


def test_a_batch_of_26_writes_is_refused(wire: Wire) -> None:
    writes = [{"PutRequest": {"Item": wire.item(f"{n:02}")}} for n in range(26)]

    refused = refusal(lambda: wire.call("batch_write_item", RequestItems={wire.table: writes}))

    assert refused["Error"]["Code"] == "ValidationException"


def test_a_batch_that_names_an_item_twice_is_refused(wire: Wire) -> None:
    writes = [{"DeleteRequest": {"Key": wire.key("A")}}] * 2

    refused = refusal(lambda: wire.call("batch_write_item", RequestItems={wire.table: writes}))

    assert refused["Error"]["Code"] == "ValidationException"


def test_a_batch_of_101_reads_is_refused(wire: Wire) -> None:
    keys = [wire.key(f"{n:03}") for n in range(101)]

    refused = refusal(lambda: wire.call("batch_get_item", RequestItems={wire.table: {"Keys": keys}}))

    assert refused["Error"]["Code"] == "ValidationException"


def test_a_sort_key_of_1024_bytes_is_kept_and_a_longer_one_refused(wire: Wire) -> None:
    wire.put(wire.item("x" * 1024))

    assert refusal(lambda: wire.put(wire.item("x" * 1025)))["Error"]["Code"] == "ValidationException"


def test_an_empty_key_is_refused(wire: Wire) -> None:
    assert refusal(lambda: wire.put(wire.item("")))["Error"]["Code"] == "ValidationException"


def test_an_empty_string_that_is_not_a_key_is_kept(wire: Wire) -> None:
    wire.put(wire.item("A", title=""))

    assert wire.get("A")["title"] == {"S": ""}


def test_a_number_keeps_38_digits(wire: Wire) -> None:
    digits = "12345678901234567890123456789012345678"

    wire.put(wire.key("A") | {"n": {"N": digits}})

    assert wire.get("A")["n"] == {"N": digits}


def test_a_number_of_39_digits_is_refused(wire: Wire) -> None:
    number = {"n": {"N": "123456789012345678901234567890123456789"}}

    assert refusal(lambda: wire.put(wire.key("A") | number))["Error"]["Code"] == "ValidationException"
