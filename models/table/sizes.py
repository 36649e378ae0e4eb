"""The size of an item by DynamoDB's rules, and the capacity units to read or write it.

Source: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
"""

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any

MAX_ITEM_BYTES = 409_600
MAX_TRANSACTION_BYTES = 4_194_304
MAX_TRANSACTION_ITEMS = 100
READ_UNIT = 4096
WRITE_UNIT = 1024


def value_size(value: Mapping[str, Any]) -> int:
    """Return the size in bytes of one typed value, such as `{"S": "text"}`."""
    kind: str
    content: Any
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(str(content).encode())
        case "N":
            digits = len(str(content).lstrip("-").replace(".", "").strip("0"))
            return (digits + 1) // 2 + 1 + str(content).startswith("-")
        case "B":
            return len(bytes(content))
        case "BOOL" | "NULL":
            return 1
        case "M":
            return 3 + sum(1 + len(name.encode()) + value_size(entry) for name, entry in content.items())
        case "L":
            return 3 + sum(1 + value_size(entry) for entry in content)
        case _:
            return 3 + sum(value_size({kind[0]: entry}) for entry in content)


def item_size(item: Mapping[str, Any]) -> int:
    """Return the size in bytes of an item in DynamoDB JSON: its attribute names and its values."""
    return sum(len(name.encode()) + value_size(value) for name, value in item.items())


def sent_size(item: Mapping[str, Any]) -> int:
    """Return the size in bytes of an item in the request: at least its size in the table.

    Base64 makes binary values a third larger, and every non-ASCII character is escaped.
    """
    return len(json.dumps(item, separators=(",", ":"), default=lambda content: b64encode(content).decode()))


def read_units(sizes: Iterable[int], *, consistent: bool) -> float:
    """Return the read units of one Query over items of these sizes: their sum, rounded up to 4 KB."""
    units = max(1, -(-sum(sizes) // READ_UNIT))
    return units if consistent else units / 2


def write_units(size: int) -> int:
    """Return the write units of one item of this size, rounded up to 1 KB."""
    return max(1, -(-size // WRITE_UNIT))
