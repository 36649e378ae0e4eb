"""The connection to DynamoDB: recorded requests, and injected failures."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ConnectionClosedError

from bot.turns import leases
from bot.turns import recovery as recovery
from models.access_patterns import current
from models.table.connection import client


@dataclass(frozen=True)
class Sent:
    """One request as it was sent; `pattern` is the id of the access pattern that sent it."""

    pattern: str | None
    operation: str
    body: Mapping[str, Any]


@contextmanager
def recorded() -> Iterator[list[Sent]]:
    """Record every request that is sent, including retries.

    The application's background threads are left out: how many requests they send depends on the machine.
    """
    sent: list[Sent] = []

    def note(request: Any, **_: Any) -> None:
        if threading.current_thread().name.startswith((leases.THREAD_NAME, recovery.THREAD_NAME)):
            return
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
    """Let DynamoDB execute the first requests of an operation, but break the connection before the response is read.

    Yields the list of lost responses.
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


REFUSALS = {
    "a 500": (500, "InternalServerError"),
    "a 503": (503, "ServiceUnavailable"),
    "throttling": (400, "ThrottlingException"),
    "too much for the table": (400, "ProvisionedThroughputExceededException"),
}


@contextmanager
def refusals(operation: str, refusal: str, times: int = 1, *, done: bool = False) -> Iterator[list[str]]:
    """Answer the first requests of an operation with one of `REFUSALS`; with `done`, still execute them.

    Yields the list of error codes that were returned.
    """
    refused: list[str] = []
    status, code = REFUSALS[refusal]

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if len(refused) >= times:
            return None
        if done:
            client()._endpoint.http_session.send(request)
        refused.append(code)
        body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "not now"}).encode()
        raw = mock.Mock(stream=lambda *_a, **_k: iter([body]))
        return AWSResponse(request.url, status, HeadersDict({"Content-Type": "application/x-amz-json-1.0"}), raw)

    event = f"before-send.dynamodb.{operation}"
    events = client().meta.events
    events.register_last(event, refuse)
    try:
        yield refused
    finally:
        events.unregister(event, refuse)


@contextmanager
def others_come_first(operation: str, act: Callable[[], object], times: int = 1000) -> Iterator[None]:
    """Run a concurrent change right before each request of an operation is sent."""
    acting = False
    left = times

    def come_first(**_: Any) -> None:
        nonlocal acting, left
        if not acting and left:
            acting, left = True, left - 1
            # The concurrent change is not part of the access pattern that runs here.
            Context().run(act)
            acting = False

    event = f"before-send.dynamodb.{operation}"
    events = client().meta.events
    events.register(event, come_first)
    try:
        yield
    finally:
        events.unregister(event, come_first)


class Cut(Exception):
    """Simulates the death of a worker."""


@contextmanager
def cut_off(after: int) -> Iterator[None]:
    """Let a number of writes be sent, and fail before the next, as if the process had been killed there."""
    left = iter(range(after))

    def cut(event_name: str, **_: Any) -> None:
        read = event_name.endswith(("GetItem", "Query"))
        if not read and next(left, None) is None:
            raise Cut

    events = client().meta.events
    events.register_first("before-send.dynamodb.*", cut)
    try:
        yield
    finally:
        events.unregister("before-send.dynamodb.*", cut)
