"""One request to DynamoDB and its response, recorded from a botocore client's events."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from models.access_patterns.declare import AccessPattern, Call, running

DynamoItem = Mapping[str, Mapping[str, Any]]
ItemKey = tuple[str, str]

_NOTE = "turntable_exchange"
# Operations that manage the table and touch no item.
ADMINISTRATION = frozenset(
    {
        "CreateTable",
        "DeleteTable",
        "DescribeContinuousBackups",
        "DescribeEndpoints",
        "DescribeTable",
        "DescribeTimeToLive",
        "ListTables",
        "UpdateTable",
        "UpdateTimeToLive",
    }
)


@dataclass(eq=False)
class Exchange:
    """One call of DynamoDB's API; the client's own retries belong to it.

    `before` and `after` are the items that a write touches, if they were read (`models.measure.probe`); `whole` are the
    full items behind the response to a read of single attributes.
    """

    operation: str
    body: Mapping[str, Any]
    call: Call | None
    answer: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    before: dict[ItemKey, DynamoItem] = field(default_factory=dict)
    after: dict[ItemKey, DynamoItem] = field(default_factory=dict)
    whole: list[DynamoItem] | None = None

    @property
    def pattern(self) -> AccessPattern | None:
        """The access pattern that sent it."""
        return self.call.pattern if self.call else None

    @property
    def items(self) -> list[DynamoItem]:
        """The items in the response to a read."""
        if self.operation == "GetItem":
            return [self.answer["Item"]] if "Item" in self.answer else []
        if self.operation == "BatchGetItem":
            return [item for found in self.answer.get("Responses", {}).values() for item in found]
        return list(self.answer.get("Items", []))


Hook = Callable[[Exchange], None]


@contextmanager
def watched(client: Any, *, sent: Hook | None = None, answered: Hook | None = None) -> Iterator[None]:
    """Call `sent` before each request of a botocore client, and `answered` after its response or failure."""

    def note(params: Mapping[str, Any], model: Any, context: dict[str, Any], **_: Any) -> None:
        exchange = Exchange(model.name, json.loads(params["body"]), running.get())
        context[_NOTE] = exchange
        if sent:
            sent(exchange)

    def finish(parsed: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        exchange: Exchange | None = context.get(_NOTE)
        if exchange is None:
            return
        exchange.answer = parsed
        exchange.error = parsed.get("Error", {}).get("Code")
        if answered:
            answered(exchange)

    def fail(exception: Exception, context: dict[str, Any], **_: Any) -> None:
        exchange: Exchange | None = context.get(_NOTE)
        if exchange is not None:
            exchange.error = type(exception).__name__
            if answered:
                answered(exchange)

    handlers = {"before-call.dynamodb": note, "after-call.dynamodb": finish, "after-call-error.dynamodb": fail}
    for event, handler in handlers.items():
        client.meta.events.register(event, handler)
    try:
        yield
    finally:
        for event, handler in handlers.items():
            client.meta.events.unregister(event, handler)
