"""The embedded engine over HTTP: DynamoDB's JSON protocol, and nothing else of `ministack`.

`ministack`'s own server also removes Docker containers that look like its own, runs scripts that it finds under `/etc`,
and has a URL that deletes all data. None of that belongs on a developer's laptop, so only its two DynamoDB modules run.
"""

import json
import logging
import re
import uuid
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, cast

from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from bot.local.engine_store import Store

log = logging.getLogger(__name__)

# DynamoDB's own limit for a request.
_LARGEST_BODY = 16 * 1024 * 1024
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/\d+/([^/,\s]+)/")
_ITEM_WRITES = {
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
}
_READS = ("Get", "BatchGet", "TransactGet", "Query", "Scan", "Search", "Describe", "List")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

_Answer = tuple[int, dict[str, str], bytes]


class EngineApp:
    """The ASGI application. Requests run one at a time, so none sees another's partial effect."""

    def __init__(self, store: Store) -> None:
        """Answer from the engine in this process, and persist changes in `store`."""
        self._store = store
        self._request = import_module("ministack.core.responses")
        self._dynamodb = import_module("ministack.services.dynamodb")
        self._streams = import_module("ministack.services.dynamodb_streams")
        _parse_once(self._dynamodb)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served")
        status, headers, body = await self._respond(scope, receive)
        headers = {**headers, "Content-Length": str(len(body)), "x-amzn-RequestId": str(uuid.uuid4())}
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _respond(self, scope: HTTPScope, receive: ASGIReceiveCallable) -> _Answer:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        # Protects from DNS rebinding: a web page whose name resolves to this machine could otherwise use the engine.
        if headers.get("host", "").rsplit(":", 1)[0] not in _LOOPBACK:
            return _error(403, "AccessDeniedException", "This engine answers on the loopback address only.")
        if scope["method"] == "GET":
            return 200, {"Content-Type": "text/plain"}, b"healthy: dynamodb\n"
        target, _, action = headers.get("x-amz-target", "").partition(".")
        if scope["method"] != "POST" or not target.startswith("DynamoDB"):
            return _error(400, "UnknownOperationException", "This engine speaks DynamoDB's protocol only.")
        body = b""
        more = True
        while more:
            message = cast(dict[str, Any], await receive())
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _LARGEST_BODY:
                return _error(413, "RequestEntityTooLarge", "The request is larger than 16 MB.")
        return await self._run(target, action, headers, body)

    async def _run(self, target: str, action: str, headers: dict[str, str], body: bytes) -> _Answer:
        """Run one operation for the account and region that the request is signed for, and persist its changes."""
        signed = _CREDENTIAL.search(headers.get("authorization", ""))
        self._request.set_request_account_id(signed.group(1) if signed else "")
        self._request.set_request_region(signed.group(2) if signed else None)
        module = self._streams if target.startswith("DynamoDBStreams") else self._dynamodb
        try:
            status, answer_headers, answer = await module.handle_request("POST", "/", headers, body, {})
            if not action.startswith(_READS):
                self._store.commit(tables=action not in _ITEM_WRITES)
        except Exception:
            log.exception("%s failed", action)
            return _error(500, "InternalServerError", "The embedded engine failed; its log says why.")
        return status, answer_headers, answer if isinstance(answer, bytes) else answer.encode()


def _parse_once(engine: ModuleType) -> None:
    """Cache parsed expressions, because the engine parses a condition again for every item.

    A query over a partition of 500 items took 18 ms without this, and takes 7 ms with it.
    """
    tokenize = lru_cache(maxsize=1024)(engine._tokenize)
    engine._tokenize = lambda expression: list(tokenize(expression))  # type: ignore[attr-defined]
    engine._condition_syntax_error = lru_cache(maxsize=1024)(engine._condition_syntax_error)  # type: ignore[attr-defined]


async def _live(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Acknowledge the server's start and stop; the store is opened and closed elsewhere."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def _error(status: int, kind: str, message: str) -> _Answer:
    body = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", "message": message})
    return status, {"Content-Type": "application/x-amz-json-1.0"}, body.encode()
