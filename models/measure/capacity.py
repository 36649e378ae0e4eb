"""The cost of a request, computed by DynamoDB's rules from the sizes of the items that it touches.

Local engines report consumed capacity wrongly, each in its own way, so their reports are not used.

Sources: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html and
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

from models.measure.exchange import DynamoItem, Exchange
from models.measure.shapes import Part, parts
from models.table.indexes import INDEXES, Index
from models.table.sizes import item_size, read_units, write_units


@dataclass(frozen=True)
class Cost:
    """Requests, read units, write units of the table and of its indexes, and the items that were read or written."""

    requests: int = 0
    rcu: float = 0
    wcu: int = 0
    index_wcu: int = 0
    items: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        """Return the sum of both."""
        return Cost(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    @property
    def all_wcu(self) -> int:
        """The write units of the table and of its indexes."""
        return self.wcu + self.index_wcu

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def total(exchanges: Iterable[Exchange]) -> Cost:
    """Return the total cost of requests."""
    return sum(map(cost, exchanges), Cost())


def cost(exchange: Exchange) -> Cost:
    """Return the cost of one request. A write needs its items from before and after it (`models.measure.probe`)."""
    if exchange.operation in ("GetItem", "BatchGetItem"):
        asked_in = exchange.body.get("RequestItems", {"": exchange.body}).values()
        consistent = any(each.get("ConsistentRead") for each in asked_in)
        asked = max(1, sum(1 for _ in parts(exchange.operation, exchange.body)))
        sizes = [item_size(item) for item in exchange.items]
        # Each item is rounded up individually, and a missing one costs as much as a small one.
        sizes += [0] * (asked - len(sizes))
        return Cost(1, sum(read_units([size], consistent=consistent) for size in sizes), items=len(exchange.items))
    if exchange.operation == "Query":
        consistent = bool(exchange.body.get("ConsistentRead"))
        sizes = [item_size(item) for item in _as_read(exchange)]
        return Cost(1, read_units(sizes, consistent=consistent), items=len(sizes))
    written = [_write_cost(exchange, part) for part in parts(exchange.operation, exchange.body)]
    return sum(written, Cost(requests=1))


def _as_read(exchange: Exchange) -> list[DynamoItem]:
    """Return the items that a Query is billed for, with all attributes that the table or the index has of them."""
    if exchange.whole is None:
        return exchange.items
    name = exchange.body.get("IndexName")
    index = next((index for index in INDEXES if index.name == name), None)
    return [entry for item in exchange.whole if (entry := _entry(index, item) if index else item)]


def _write_cost(exchange: Exchange, part: Part) -> Cost:
    before, after = exchange.before.get(part.key), exchange.after.get(part.key)
    larger = max(item_size(before or {}), item_size(after or {}))
    double = 2 if exchange.operation == "TransactWriteItems" else 1
    changed = 0 if part.kind == "ConditionCheck" or exchange.error else 1
    index_units = sum(_index_units(index, before, after) for index in INDEXES) * changed
    return Cost(wcu=write_units(larger) * double, index_wcu=index_units, items=1)


def _index_units(index: Index, before: DynamoItem | None, after: DynamoItem | None) -> int:
    """Return the write units of one index: changed keys mean a delete and an insert, an unchanged entry is free."""
    old = _entry(index, before) if before else None
    new = _entry(index, after) if after else None
    if old == new:
        return 0
    if old and new and _keys(index, old) == _keys(index, new):
        return write_units(max(item_size(old), item_size(new)))
    return sum(write_units(item_size(entry)) for entry in (old, new) if entry)


def _keys(index: Index, item: DynamoItem) -> tuple[object, ...]:
    return item.get(index.partition_key), item.get(index.sort_key) if index.sort_key else None


def _entry(index: Index, item: DynamoItem) -> DynamoItem | None:
    """Return an item's entry in an index, or None if it has none."""
    keys = [index.partition_key, *([index.sort_key] if index.sort_key else [])]
    if any(name not in item for name in keys):
        return None
    return {name: item[name] for name in ("PK", "SK", *keys, *index.includes) if name in item}
