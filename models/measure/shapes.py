"""Parses a request's JSON: the items that it names, and its key condition."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from models.table.item import Item

_PARTITION = re.compile(r"^(#?\w+) = (:\w+)(?: AND (.+))?$")
_SORT = {
    "between": re.compile(r"^(#?\w+) BETWEEN (:\w+) AND (:\w+)$"),
    "begins_with": re.compile(r"^begins_with ?\((#?\w+), ?(:\w+)\)$"),
    "comparison": re.compile(r"^(#?\w+) (=|<|<=|>|>=) (:\w+)$"),
}


@dataclass(frozen=True)
class KeyCondition:
    """The key condition of a Query: on the partition key and, optionally, on the sort key.

    `operator` is `begins_with`, `between`, `=`, `<`, `<=`, `>` or `>=`; `operands` are the values it compares with.
    """

    partition_name: str
    partition: str
    sort_name: str | None = None
    operator: str | None = None
    operands: tuple[str, ...] = ()


class Part(NamedTuple):
    """What a request does to one item: `kind` is as in `Write.part`, or `Get`."""

    kind: str
    keys: Mapping[str, Mapping[str, str]]
    conditional: bool

    @property
    def key(self) -> tuple[str, str]:
        """The item's keys."""
        return self.keys["PK"]["S"], self.keys["SK"]["S"]


def key_condition(body: Mapping[str, Any]) -> KeyCondition | None:
    """Return the key condition of a Query, or None if it has a form that this table does not use."""
    expression = _bare(body.get("KeyConditionExpression", ""))
    names, values = body.get("ExpressionAttributeNames", {}), body.get("ExpressionAttributeValues", {})
    found = _PARTITION.match(expression)
    if not found:
        return None
    name, value, rest = found.groups()
    partition = (names.get(name, name), values[value]["S"])
    if rest is None:
        return KeyCondition(*partition)
    for operator, form in _SORT.items():
        if match := form.match(_bare(rest)):
            groups = match.groups()
            named = groups[1] if operator == "comparison" else operator
            operands = tuple(values[group]["S"] for group in groups if group.startswith(":"))
            return KeyCondition(*partition, names.get(groups[0], groups[0]), named, operands)
    return None


def _bare(expression: str) -> str:
    return expression[1:-1] if expression.startswith("(") and expression.endswith(")") else expression


def parts(operation: str, body: Mapping[str, Any]) -> Iterator[Part]:
    """Yield what a request does to each item that it names by its keys."""
    match operation:
        case "GetItem":
            yield Part("Get", body["Key"], False)
        case "BatchGetItem":
            for request in body["RequestItems"].values():
                for keys in request["Keys"]:
                    yield Part("Get", keys, False)
        case "PutItem" | "UpdateItem" | "DeleteItem":
            yield _part(operation.removesuffix("Item"), body)
        case "TransactWriteItems":
            for part in body["TransactItems"]:
                for kind, change in part.items():
                    yield _part(kind, change)
        case "BatchWriteItem":
            for writes in body["RequestItems"].values():
                for write in writes:
                    for kind, change in write.items():
                        yield _part(kind.removesuffix("Request"), change)
        case _:
            return


def _part(kind: str, change: Mapping[str, Any]) -> Part:
    keys = change.get("Key") or {name: change["Item"][name] for name in ("PK", "SK")}
    return Part(kind, keys, "ConditionExpression" in change)


def entity_of(keys: Mapping[str, Mapping[str, str]]) -> type[Item] | None:
    """Return the entity whose key templates match these keys, or None."""
    partition, sort = keys["PK"].get("S", ""), keys["SK"].get("S", "")
    for entity in Item.entities().values():
        if entity.PK.template.parse(partition) is not None and entity.SK.template.parse(sort) is not None:
            return entity
    return None
