"""Reads with complete pages: a page is full unless it is the last one.

DynamoDB ends a Query after 1 MB, and expired items and those of unknown types are skipped. So a page may take several
requests, and one item more than the page shows is read, to know whether there is a next page.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pynamodb.expressions.condition import Condition

from models.table.connection import connection, settings
from models.table.errors import Contended
from models.table.item import Item, decode
from models.table.long_text import load
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.values import number_value

T = TypeVar("T")
R = TypeVar("R")

MAX_LIMIT = 1_000_000
"""The maximum number of items in one page: more than fit into the memory of a process."""


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items in order, and whether more follow them."""

    items: tuple[T, ...]
    more: bool

    def map(self, change: Callable[[T], R]) -> "Page[R]":
        """Return the same page with each item changed."""
        return Page(tuple(change(item) for item in self.items), self.more)


def get(entity: type[Item], /, *, consistent: bool = True, whole: bool = True, **fields: Any) -> Any:
    """Return the item with these key fields, or None if there is none or it is hidden.

    Cost: 1 GetItem; 1 RCU for each 4 KB, half of it if not `consistent`. If `whole`, a text in S3 is fetched too.
    """
    keys = entity.from_key(**fields)
    found = connection().get_item(keys.PK, range_key=keys.SK, consistent_read=consistent)
    raw = found.get("Item")
    item = decode(raw) if raw else None
    if whole and item is not None:
        load([item])
    return item


def get_including_hidden(entity: type[Item], /, **fields: Any) -> Any:
    """Return the item with these key fields even if it is hidden, or None if there is none.

    Cost: 1 GetItem; 1 RCU for each 4 KB.
    """
    keys = entity.from_key(**fields)
    raw = connection().get_item(keys.PK, range_key=keys.SK, consistent_read=True).get("Item")
    return entity.from_raw_data(raw) if raw else None


def get_many(
    wanted: Sequence[Item], *, consistent: bool = False, whole: bool = True, including_hidden: bool = False
) -> list[Any]:
    """Return up to 100 items with the keys of `wanted`, in that order; None for each that is missing or hidden.

    With `including_hidden`, hidden items are returned too. Keys that DynamoDB leaves unprocessed are retried with
    backoff.

    Cost: 1 BatchGetItem; 0.5 RCU for each 4 KB of each item, twice that if `consistent`.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    found: dict[tuple[str, str], Item | None] = {}
    pending: list[Any] = [keys(item) for item in wanted]
    if not wanted:
        return []
    for attempt in range(MAX_ATTEMPTS):
        answer = connection().batch_get_item(pending, consistent_read=consistent)
        name = settings().name
        for raw in answer["Responses"].get(name, []):
            found[raw["PK"]["S"], raw["SK"]["S"]] = decode(raw, including_hidden=including_hidden)
        pending = _unprocessed(answer)
        if not pending:
            items = [found.get((item.PK, item.SK)) for item in wanted]
            if whole:
                load(item for item in items if item is not None)
            return items
        pause(attempt)
    raise Contended("DynamoDB kept leaving reads unprocessed; try again.")


def get_raw(wanted: Sequence[tuple[str, str]], attributes: Sequence[str]) -> list[dict[str, Any]]:
    """Return these attributes of the items with these keys, raw, in no particular order, hidden items included.

    The read is strongly consistent.

    Cost: 1 BatchGetItem; 1 RCU for each 4 KB of each whole item.

    Raises:
        Contended: DynamoDB kept leaving some unprocessed.
    """
    name = settings().name
    found: list[dict[str, Any]] = []
    pending: list[Any] = [{"PK": partition, "SK": sort} for partition, sort in wanted]
    for attempt in range(MAX_ATTEMPTS):
        answer = connection().batch_get_item(pending, consistent_read=True, attributes_to_get=attributes)
        found += answer["Responses"].get(name, [])
        pending = _unprocessed(answer)
        if not pending:
            return found
        pause(attempt)
    raise Contended("DynamoDB kept leaving reads unprocessed; try again.")


def _unprocessed(answer: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {attribute: value["S"] for attribute, value in key.items()}
        for key in answer.get("UnprocessedKeys", {}).get(settings().name, {}).get("Keys", [])
    ]


def keys(item: Item) -> dict[str, str]:
    """Return an item's keys in the table, for a Query that starts after the item."""
    return {"PK": item.PK, "SK": item.SK}


def query(
    partition: str,
    sort: Condition | None,
    *,
    limit: int,
    index: str | None = None,
    entity: type[Item] | None = None,
    after: dict[str, str] | None = None,
    descending: bool = False,
    consistent: bool = False,
    attributes: list[str] | None = None,
    peek: bool = True,
    whole: bool = True,
) -> Page[Any]:
    """Return up to `limit` items of one partition of the table or of an index.

    Args:
        partition: the partition key's value.
        sort: the condition on the sort key.
        limit: the maximum number of items in the page.
        index: the index's name; None for the table.
        entity: the class of all the items, for an index without their type; None decodes each by its type.
        after: the keys of the item to start after. The item may have been deleted.
        descending: newest first.
        consistent: a strongly consistent read (not on an index).
        attributes: read only these, and return raw items instead of entities.
        peek: read one item more than the page shows, to know for certain whether there is a next page.
        whole: unpack long texts, and fetch those in S3. Only for items that are known to be the caller's.

    Raises:
        InvalidValue: the limit is not a whole number from 1 to 1,000,000.

    Cost: 1 Query for each MB; the read units of `limit` + 1 items (`limit` without `peek`).

    Texts in S3 are fetched in parallel, up to 8 MB per page (see `models.table.long_text.load`).
    """
    number_value("limit", limit, 1, MAX_LIMIT)
    found: list[Any] = []
    wanted = limit + peek
    start: dict[str, Any] | None = {name: {"S": value} for name, value in after.items()} if after else None
    while True:
        answer = connection().query(
            partition,
            range_key_condition=sort,
            exclusive_start_key=start,
            consistent_read=consistent,
            index_name=index,
            limit=wanted - len(found),
            scan_index_forward=not descending,
            attributes_to_get=attributes,
        )
        for raw in answer["Items"]:
            item = raw if attributes else decode(raw, entity)
            if item is not None:
                found.append(item)
        start = answer.get("LastEvaluatedKey")
        if len(found) >= wanted or start is None:
            page = tuple(found[:limit])
            if whole and not attributes:
                load(page)
            return Page(page, len(found) > limit if peek else start is not None)
