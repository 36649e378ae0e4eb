"""The table without the models: stored items, and changes that another version of the program might make."""

from typing import Any

from models.table.connection import client, settings
from models.table.item import Item
from models.table.writing import delete_batch
from tests.contract_watch import past_the_models

# Attributes by which an item disappears from every reader while it is still in the table.
HIDINGS: dict[str, tuple[str, dict[str, str]]] = {
    "unknown": ("entity", {"S": "Reaction"}),
    "expired": ("expires_at", {"N": "1"}),
    "deleting": ("status", {"S": "deleting"}),
}


def hide(item: Item, how: str) -> None:
    """Hide an item from readers by changing it in the table."""
    name, value = HIDINGS[how]
    change(item, name, value)


@past_the_models()
def change(item: Item, name: str, value: dict[str, Any]) -> None:
    """Write an attribute of an item without the models, as another version of the program might."""
    with past_the_models():
        client().update_item(
            TableName=settings().name,
            Key={"PK": {"S": item.PK}, "SK": {"S": item.SK}},
            UpdateExpression="SET #name = :value",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": value},
        )


@past_the_models()
def stored(item: Item) -> dict[str, Any]:
    """Return an item as it is stored."""
    with past_the_models():
        found = client().get_item(
            TableName=settings().name, Key={"PK": {"S": item.PK}, "SK": {"S": item.SK}}, ConsistentRead=True
        )
    return dict(found.get("Item", {}))


@past_the_models()
def whole_table() -> dict[tuple[str, str], dict[str, Any]]:
    """Return every item of the table as stored, by its keys."""
    items: dict[tuple[str, str], dict[str, Any]] = {}
    with past_the_models():
        for page in client().get_paginator("scan").paginate(TableName=settings().name, ConsistentRead=True):
            items |= {(item["PK"]["S"], item["SK"]["S"]): item for item in page["Items"]}
    return items


def wipe() -> None:
    """Delete every item of the table."""
    with past_the_models():
        delete_batch(list(whole_table()))
