"""Expiry: the attribute is on, and an item that is past its time stays readable until the engine gets to it."""

import time

import pytest

from models.table.indexes import TTL_ATTRIBUTE
from tests.conformance.conftest import Wire, refusal


def test_the_ttl_is_enabled(wire: Wire) -> None:
    found = wire.call("describe_time_to_live", TableName=wire.table)["TimeToLiveDescription"]

    assert found["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    assert found["AttributeName"] == TTL_ATTRIBUTE


def test_an_item_that_has_just_expired_can_still_be_read(wire: Wire) -> None:
    past = {TTL_ATTRIBUTE: {"N": str(int(time.time()) - 5)}}

    wire.put(wire.item("A") | past)

    assert wire.get("A") is not None
    assert wire.query()["Count"] == 1


def test_a_filter_on_the_ttl_leaves_expired_items_out(wire: Wire) -> None:
    now = int(time.time())
    for name, moment in (("past", now - 5), ("future", now + 3600)):
        wire.put(wire.item(name) | {TTL_ATTRIBUTE: {"N": str(moment)}})

    found = wire.call(
        "query",
        TableName=wire.table,
        KeyConditionExpression="PK = :p",
        FilterExpression="expires_at > :now",
        ExpressionAttributeValues={":p": {"S": wire.pk}, ":now": {"N": str(now)}},
    )

    assert [item["SK"]["S"] for item in found["Items"]] == ["future"]


def test_a_create_over_an_expired_item_can_be_conditional_on_its_time(wire: Wire) -> None:
    now = int(time.time())
    wire.put(wire.item("A", which="old") | {TTL_ATTRIBUTE: {"N": str(now - 5)}})

    wire.put(
        wire.item("A", which="new"),
        ConditionExpression="attribute_not_exists(PK) OR expires_at <= :now",
        ExpressionAttributeValues={":now": {"N": str(now)}},
    )

    assert wire.get("A")["which"] == {"S": "new"}


@pytest.mark.engine_limit("embedded", "localstack", reason="It accepts the second request like the first.")
def test_enabling_the_ttl_twice_is_refused(wire: Wire) -> None:
    wanted = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
    again = {"TableName": wire.table, "TimeToLiveSpecification": wanted}

    assert "already enabled" in refusal(lambda: wire.call("update_time_to_live", **again))["Error"]["Message"]
