"""The wire to DynamoDB: what goes out on it, by access pattern, and an answer that gets lost on the way back."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ConnectionClosedError

from models.access_patterns import AccessPattern, Request, current
from models.table import Item, client


@dataclass(frozen=True)
class Sent:
    """One request as it went out; `pattern` is the id of the access pattern that made it."""

    pattern: str | None
    operation: str
    body: Mapping[str, Any]


@contextmanager
def recorded() -> Iterator[list[Sent]]:
    """Note every request that goes out, repeated ones too."""
    sent: list[Sent] = []

    def note(request: Any, **_: Any) -> None:
        pattern = current.get()
        operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
        sent.append(Sent(pattern.id if pattern else None, operation, json.loads(request.body)))

    events = client().meta.events
    events.register("before-send.dynamodb.*", note)
    try:
        yield sent
    finally:
        events.unregister("before-send.dynamodb.*", note)


@contextmanager
def lost_answers(operation: str, times: int = 1) -> Iterator[list[str]]:
    """Let the first requests of an operation be done by DynamoDB, and the connection break before the answer is read.

    Yields the list of what was lost, to show that it was.
    """
    lost: list[str] = []
    sender = client()._endpoint.http_session

    def lose(request: Any, **_: Any) -> None:
        if len(lost) < times:
            answer = sender.send(request)
            lost.append(answer.text)
            raise ConnectionClosedError(endpoint_url=request.url)

    event = f"before-send.dynamodb.{operation}"
    events = client().meta.events
    events.register_last(event, lose)
    try:
        yield lost
    finally:
        events.unregister(event, lose)


def misfits(pattern: AccessPattern, sent: Iterable[Sent]) -> list[str]:
    """Return in words where the requests that were sent are not what the pattern declares."""
    sent = list(sent)
    found = [f"not declared: {each}" for each in sent if not any(_fits(declared, each) for declared in pattern.requests)]
    for declared in pattern.requests:
        fitting = [each for each in sent if _fits(declared, each)]
        if not fitting and not declared.optional:
            found.append(f"declared, not sent: {declared}")
        written = {part for each in fitting for part in _parts(each)}
        found += [
            f"declared, not written: {write}"
            for write in declared.writes
            if fitting and not write.optional and (write.part, write.entity) not in written
        ]
    return found


def _fits(declared: Request, sent: Sent) -> bool:
    if declared.operation != sent.operation:
        return False
    body = sent.body
    match sent.operation:
        case "GetItem":
            return _entity(body["Key"]) in declared.entities and body["ConsistentRead"] == declared.consistent
        case "Query":
            order = "ascending" if body["ScanIndexForward"] else "descending"
            return (
                body.get("IndexName") == declared.index
                and body.get("ConsistentRead", False) == declared.consistent
                and declared.order in (order, "either", None)
            )
        case "UpdateItem":
            return _entity(body["Key"]) in declared.entities
        case _:
            return _parts(sent) <= {(write.part, write.entity) for write in declared.writes}


def _parts(sent: Sent) -> set[tuple[str, type[Item]]]:
    """Return what a transaction or batch does to which entity."""
    if sent.operation == "TransactWriteItems":
        changes = [change for part in sent.body["TransactItems"] for change in part.items()]
    elif sent.operation == "BatchWriteItem":
        writes = [write for table in sent.body["RequestItems"].values() for write in table]
        changes = [("Delete", write["DeleteRequest"]) for write in writes]
    else:
        changes = []
    return {(kind, _entity(change.get("Item") or change["Key"])) for kind, change in changes}


def _entity(keys: Mapping[str, Mapping[str, str]]) -> type[Item]:
    """Return the entity whose key templates made these keys."""
    (entity,) = (
        entity
        for entity in Item.entities().values()
        if entity.PK.template.parse(keys["PK"]["S"]) is not None
        and entity.SK.template.parse(keys["SK"]["S"]) is not None
    )
    return entity
