"""What the conformance tests share: the wire to the engine as it is, without the models between."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from models.table.connection import TableSettings


class Wire:
    """Requests to one table, in the keys of one item collection that no other test has."""

    def __init__(self, client: Any, table: str) -> None:
        self.client = client
        self.table = table
        self.pk = f"P{uuid.uuid4()}"

    def key(self, sk: str) -> dict[str, Any]:
        return {"PK": {"S": self.pk}, "SK": {"S": sk}}

    def item(self, sk: str, size: int = 0, **strings: str) -> dict[str, Any]:
        """An item, made `size` bytes long (names and values) where a size is given."""
        made = self.key(sk) | {name: {"S": value} for name, value in strings.items()}
        if size:
            used = sum(len(name) + len(value["S"]) for name, value in made.items())
            made["fill"] = {"S": "x" * (size - used - len("fill"))}
        return made

    def call(self, operation: str, **arguments: Any) -> Any:
        return getattr(self.client, operation)(**arguments)

    def put(self, item: Mapping[str, Any], **arguments: Any) -> Any:
        return self.call("put_item", TableName=self.table, Item=item, **arguments)

    def get(self, sk: str, **arguments: Any) -> Any:
        found = self.call("get_item", TableName=self.table, Key=self.key(sk), ConsistentRead=True, **arguments)
        return found.get("Item")

    def query(self, **arguments: Any) -> Any:
        """Query this item collection, or an index with `key=("attribute", "value")`."""
        name, value = arguments.pop("key", ("PK", self.pk))
        values = arguments.pop("values", {})
        condition = arguments.pop("condition", "")
        return self.call(
            "query",
            TableName=self.table,
            KeyConditionExpression=f"#k = :k{' AND ' + condition if condition else ''}",
            ExpressionAttributeNames={"#k": name},
            ExpressionAttributeValues={":k": {"S": value}} | {f":{n}": {"S": v} for n, v in values.items()},
            **arguments,
        )

    def transact(self, *parts: tuple[str, dict[str, Any]], **arguments: Any) -> Any:
        items = [{kind: {"TableName": self.table} | body} for kind, body in parts]
        return self.call("transact_write_items", TransactItems=items, **arguments)


def sort_keys(answer: Mapping[str, Any]) -> list[str]:
    return [item["SK"]["S"] for item in answer["Items"]]


def refusal(call: Callable[[], Any]) -> Any:
    """The answer with which the engine refuses a request."""
    with pytest.raises(ClientError) as refused:
        call()
    return refused.value.response


@pytest.fixture(scope="session")
def engine_client(engine: str) -> Any:
    """A client that tries once, and shows what the engine answers to that."""
    once = Config(retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=16)
    return boto3.client(
        "dynamodb",
        endpoint_url=engine,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=once,
    )


@pytest.fixture
def wire(engine_client: Any, table: TableSettings) -> Wire:
    return Wire(engine_client, table.name)
