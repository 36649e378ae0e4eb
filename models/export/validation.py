"""The JSON that AWS's data-modelling tools validate: a table, items, and access patterns with a command each.

The description of each entry says what its command returns for exactly these items.

Source of the format: the guide to `dynamodb_data_model.json` in
https://github.com/awslabs/mcp/tree/main/src/dynamodb-mcp-server
"""

import json
import operator as operator_
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from models.access_patterns.declare import AccessPattern, Request, Write, patterns, template
from models.export.samples import sample_of, samples, stored
from models.table.indexes import INDEXES, key_schema
from models.table.item import Item
from models.table.keys import Key

TABLE = "turntable"
_FIELD = re.compile(r"\{(\w+)\}")
_NEW = "_new"


def model() -> dict[str, Any]:
    """Return tables, items and access patterns."""
    return {
        "tables": [{"TableName": TABLE, **key_schema(), "BillingMode": "PAY_PER_REQUEST"}],
        "items": {TABLE: [{"PutRequest": {"Item": stored(item)}} for item in samples()]},
        "access_patterns": [entry for pattern in patterns() for entry in _entries(pattern)],
    }


def _entries(pattern: AccessPattern) -> Iterator[dict[str, Any]]:
    for request in pattern.requests:
        command, gives = _COMMANDS[request.operation](request)
        entry = {
            "pattern": pattern.id,
            "description": f"{pattern.title}: {pattern.question} Returns {gives}.",
            "table": TABLE,
            "dynamodb_operation": request.operation,
            "implementation": command,
        }
        if request.index:
            entry["index"] = request.index
        yield entry


def _command(operation: str, **options: Any) -> str:
    """Return an AWS CLI command; True is a flag without a value, and any other value but a string becomes JSON."""
    words = ["aws", "dynamodb", operation]
    for name, value in options.items():
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return " ".join(shlex.quote(word) for word in words)


def _keys(item: Item, change: str = "") -> dict[str, Any]:
    return {"PK": {"S": item.PK + change}, "SK": {"S": item.SK + change}}


def _get(request: Request) -> tuple[str, str]:
    options: dict[str, Any] = {"table_name": TABLE, "key": _keys(sample_of(request.entities[0]))}
    if request.consistent:
        options["consistent_read"] = True
    return _command("get-item", **options), "1 item"


def _batch_get(request: Request) -> tuple[str, str]:
    keys = [_keys(sample_of(entity)) for entity in request.entities]
    asked = {TABLE: {"Keys": keys, "ConsistentRead": bool(request.consistent)}}
    return _command("batch-get-item", request_items=asked), f"{len(keys)} items"


def _query(request: Request) -> tuple[str, str]:
    index = next((index for index in INDEXES if index.name == request.index), None)
    partition, sort = (index.partition_key, index.sort_key) if index else ("PK", "SK")
    sample = sample_of(request.entities[0])
    values = {":partition": {"S": _rendered(template(type(sample), partition), sample)}}
    condition = "#partition = :partition"
    matches: Callable[[str], bool] = _always
    names = {"#partition": partition}
    if request.sort_key and sort:
        names["#sort"] = sort
        said, operands, matches = _sort_condition(request.sort_key, sample)
        condition += f" AND {said}"
        values |= {name: {"S": value} for name, value in operands.items()}
    options: dict[str, Any] = {"table_name": TABLE}
    if index:
        options["index_name"] = index.name
    options |= {
        "key_condition_expression": condition,
        "expression_attribute_names": names,
        "expression_attribute_values": values,
        "limit": "20",
    }
    if request.consistent:
        options["consistent_read"] = True
    if request.order == "descending":
        options["no_scan_index_forward"] = True
    found = [
        raw
        for raw in map(stored, samples())
        if raw.get(partition) == values[":partition"] and (not sort or (sort in raw and matches(raw[sort]["S"])))
    ]
    return _command("query", **options), f"{len(found)} item{'s' * (len(found) != 1)}"


def _always(_key: str) -> bool:
    return True


def _sort_condition(declared: str, sample: Item) -> tuple[str, dict[str, str], Callable[[str], bool]]:
    """Return the expression for a declared condition, its operands, and a function that evaluates it for a key."""
    operator, _, rest = declared.removeprefix("SK ").partition(" ")
    first, _, last = rest.partition(" and ")
    first = _rendered(first.split(" or ")[0], sample)
    if operator == "begins_with":
        return "begins_with(#sort, :sort)", {":sort": first}, lambda key: key.startswith(first)
    if operator == "between":
        # The range over a field ends with the field's greatest possible value.
        upper = _FIELD.sub("~", last)
        lower = _FIELD.sub("", rest.partition(" and ")[0]) if "{" in rest else first
        return (
            "#sort BETWEEN :first AND :last",
            {":first": lower, ":last": upper},
            lambda key: lower <= key <= upper,
        )
    if operator == ">":
        first = _FIELD.sub("", rest)
    compare = {"<": operator_.lt, ">": operator_.gt, "=": operator_.eq}[operator]
    return f"#sort {operator} :sort", {":sort": first}, lambda key: compare(key, first)


def _rendered(text: str, sample: Item) -> str:
    """Return a template filled with the fields of a sample item."""
    for attribute in sample.get_attributes().values():
        if isinstance(attribute, Key) and attribute.template.text == text:
            return str(getattr(sample, attribute.attr_name))
    return _FIELD.sub(lambda field: str(getattr(sample, field[1])), text)


def _put(request: Request) -> tuple[str, str]:
    sample = sample_of(request.entities[0])
    return _command(
        "put-item",
        table_name=TABLE,
        item={**stored(sample), **_keys(sample, _NEW)},
        condition_expression="attribute_not_exists(PK)",
    ), "nothing: the item is created"


def _update(request: Request) -> tuple[str, str]:
    return _command(
        "update-item",
        table_name=TABLE,
        key=_keys(sample_of(request.entities[0])),
        **_touch(),
        return_values="ALL_NEW",
    ), "the item with touched_by"


def _touch() -> dict[str, Any]:
    return {
        "update_expression": "SET touched_by = :who",
        "condition_expression": "attribute_exists(PK)",
        "expression_attribute_values": {":who": {"S": "validation"}},
    }


def _transact(request: Request) -> tuple[str, str]:
    parts = [_part(write) for write in _together(request.writes)]
    return _command("transact-write-items", transact_items=parts), "nothing: all writes are done, or none"


def _together(writes: tuple[Write, ...]) -> tuple[Write, ...]:
    """Return writes that one transaction can contain together: the first one of each entity."""
    return tuple({write.entity: write for write in reversed(writes)}.values())[::-1]


def _part(write: Write) -> dict[str, Any]:
    sample = sample_of(write.entity)
    match write.part:
        case "Put":
            item: Mapping[str, Any] = {**stored(sample), **_keys(sample, _NEW)}
            change: dict[str, Any] = {"Item": item, "ConditionExpression": "attribute_not_exists(PK)"}
        case "Update":
            options = {"".join(map(str.capitalize, name.split("_"))): value for name, value in _touch().items()}
            change = {"Key": _keys(sample), **options}
        case "ConditionCheck":
            change = {"Key": _keys(sample), "ConditionExpression": "attribute_exists(PK)"}
        case _:
            change = {"Key": _keys(sample)}
    return {write.part: {"TableName": TABLE, **change}}


def _batch_write(request: Request) -> tuple[str, str]:
    deletes = [{"DeleteRequest": {"Key": _keys(sample_of(write.entity))}} for write in request.writes]
    return _command("batch-write-item", request_items={TABLE: deletes}), "nothing: the items are deleted"


_COMMANDS: dict[str, Callable[[Request], tuple[str, str]]] = {
    "GetItem": _get,
    "BatchGetItem": _batch_get,
    "Query": _query,
    "PutItem": _put,
    "UpdateItem": _update,
    "TransactWriteItems": _transact,
    "BatchWriteItem": _batch_write,
}
