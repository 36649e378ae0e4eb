"""Reads the items that requests touch, through a separate client, so that the cost can be computed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from models.measure.exchange import ADMINISTRATION, DynamoItem, Exchange, ItemKey, watched
from models.measure.shapes import parts
from models.table import connection
from models.table.side_by_side import in_turn

_BATCH = 100
_READS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan"})


def own_client() -> Any:
    """Return a client for the configured table that is separate from the models' client."""
    settings = connection.settings()
    return boto3.session.Session().client(
        "dynamodb",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
    )


class Probe:
    """Records the requests of the models' client, with the items before and after each. Single-threaded."""

    def __init__(self, client: Any = None) -> None:
        """Take a client for reading the items; by default a new one."""
        self._client = client or own_client()
        self.exchanges: list[Exchange] = []

    @contextmanager
    def recording(self) -> Iterator[list[Exchange]]:
        """Record the requests that the models send inside the block, in sequence; the yielded list fills up."""
        self.exchanges = []
        with in_turn(), watched(connection.client(), sent=self._before, answered=self._after):
            yield self.exchanges

    def _before(self, exchange: Exchange) -> None:
        if exchange.operation not in ADMINISTRATION and exchange.operation not in _READS:
            exchange.before = self._fetch(part.key for part in parts(exchange.operation, exchange.body))

    def _after(self, exchange: Exchange) -> None:
        if exchange.operation in ADMINISTRATION:
            return
        self.exchanges.append(exchange)
        if exchange.operation == "Query" and "ProjectionExpression" in exchange.body:
            found = self._fetch((item["PK"]["S"], item["SK"]["S"]) for item in exchange.items)
            exchange.whole = list(found.values())
        elif exchange.operation not in _READS:
            touched = list(parts(exchange.operation, exchange.body))
            exchange.after = self._fetch(part.key for part in touched if part.kind != "Delete" or exchange.error)

    def _fetch(self, keys: Iterable[ItemKey]) -> dict[ItemKey, DynamoItem]:
        """Return the existing items with these keys."""
        name = connection.settings().name
        wanted = [{"PK": {"S": pk}, "SK": {"S": sk}} for pk, sk in dict.fromkeys(keys)]
        found: dict[ItemKey, DynamoItem] = {}
        while wanted:
            batch, wanted = wanted[:_BATCH], wanted[_BATCH:]
            answer = self._client.batch_get_item(RequestItems={name: {"Keys": batch, "ConsistentRead": True}})
            found |= {(item["PK"]["S"], item["SK"]["S"]): item for item in answer["Responses"].get(name, [])}
            wanted += answer.get("UnprocessedKeys", {}).get(name, {}).get("Keys", [])
        return found
