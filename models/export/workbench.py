"""A NoSQL Workbench model, version 3.0: each entity is a facet with its sample items.

Source of the format: the sample models that come with NoSQL Workbench, such as
https://github.com/aws-samples/amazon-dynamodb-design-patterns/tree/master/examples
"""

from typing import Any

from models.export.samples import samples, stored
from models.table.indexes import INDEXES, Index
from models.table.item import Item

_DATE = "Jan 07, 2030, 09:00 AM"
_KEYS = ("PK", "SK")


def model() -> dict[str, Any]:
    """Return the model."""
    items = [stored(item) for item in samples()]
    return {
        "ModelName": "Turntable",
        "ModelMetadata": {
            "Author": "Turntable",
            "DateCreated": _DATE,
            "DateLastModified": _DATE,
            "Description": "Every turn of every conversation, on one DynamoDB table.",
            "AWSService": "Amazon DynamoDB",
            "Version": "3.0",
        },
        "DataModel": [
            {
                "TableName": "turntable",
                "KeyAttributes": _key_attributes("PK", "SK"),
                "NonKeyAttributes": [
                    {"AttributeName": name, "AttributeType": kind} for name, kind in sorted(attribute_types().items())
                ],
                "TableFacets": [_facet(entity) for entity in _entities()],
                "GlobalSecondaryIndexes": [_index(index) for index in INDEXES],
                "TableData": items,
                "DataAccess": {"MySql": {}},
                "BillingMode": "PAY_PER_REQUEST",
            }
        ],
    }


def _entities() -> list[type[Item]]:
    return list(dict.fromkeys(type(item) for item in samples()))


def attribute_types() -> dict[str, str]:
    """Return the DynamoDB type of every stored attribute except the table's keys."""
    types: dict[str, str] = {}
    for item in samples():
        types |= {name: next(iter(value)) for name, value in stored(item).items() if name not in _KEYS}
        for name, attribute in item.get_attributes().items():
            if name not in _KEYS and type(attribute).__name__ not in ("KeyField", "KeyMoment"):
                types.setdefault(name, attribute.attr_type)
    return types


def _facet(entity: type[Item]) -> dict[str, Any]:
    items = [stored(item) for item in samples() if type(item) is entity]
    names = dict.fromkeys(name for item in items for name in item if name not in _KEYS)
    return {
        "FacetName": entity.ENTITY,
        "KeyAttributeAlias": {
            "PartitionKeyAlias": entity.PK.template.text,
            "SortKeyAlias": entity.SK.template.text,
        },
        "TableData": items,
        "NonKeyAttributes": list(names),
        "DataAccess": {"MySql": {}},
    }


def _index(index: Index) -> dict[str, Any]:
    return {
        "IndexName": index.name,
        "KeyAttributes": _key_attributes(index.partition_key, index.sort_key),
        "Projection": index.projection,
    }


def _key_attributes(partition: str, sort: str | None) -> dict[str, Any]:
    keys = {"PartitionKey": {"AttributeName": partition, "AttributeType": "S"}}
    return {**keys, "SortKey": {"AttributeName": sort, "AttributeType": "S"}} if sort else keys
