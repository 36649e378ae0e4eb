"""A proxy between a server process and DynamoDB that injects faults, before or after a request is executed.

AWS or a network can cause each of these faults. A seed determines which request gets which fault.
"""

import http.client
import json
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

READ_TIMEOUT = 1.0
"""How long the servers wait for an answer here, in seconds."""

# How often each is drawn; the timeouts are rarer because they are slow.
FAULTS = {
    "500 before execution": 4,
    "500 after execution": 4,
    "throttled": 4,
    "reset before execution": 4,
    "lost acknowledgement": 5,
    "timeout before execution": 1,
    "timeout after execution": 1,
    "executed after the timeout": 2,
}
_ERRORS = {
    "500 before execution": (500, "InternalServerError"),
    "500 after execution": (500, "InternalServerError"),
    "throttled": (400, "ProvisionedThroughputExceededException"),
}


@dataclass(frozen=True)
class Passed:
    """One request: its operation, its keys as text, and what was done to it."""

    operation: str
    body: str
    fault: str | None


@dataclass
class Faults:
    """The seeded choice of faults, and a record of them; `armed` turns them on and off."""

    seed: str
    armed: bool = False
    share: float = 0.15
    # Now and then many requests in a row get the same fault, so that retries do not help.
    storm: float = 0.012
    storm_length: int = 12
    passed: list[Passed] = field(default_factory=list)
    made: Counter[str] = field(default_factory=Counter)
    _left: int = 0
    _kind: str = ""

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()

    def choose(self, operation: str, body: str) -> str | None:
        """Return the fault for the next request, or None."""
        with self._lock:
            fault = self._draw() if self.armed else None
            self.passed.append(Passed(operation, body, fault))
            if fault:
                self.made[fault] += 1
            return fault

    def _draw(self) -> str | None:
        if self._left:
            self._left -= 1
            return self._kind
        kind = self._random.choices(list(FAULTS), list(FAULTS.values()))[0]
        if self._random.random() < self.storm:
            self._left, self._kind = self.storm_length, kind
            return kind
        return kind if self._random.random() < self.share else None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, engine: str, faults: Faults) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = urlsplit(engine).netloc
        self.faults = faults
        self.ended = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnected clients, which these tests cause."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    _engine: http.client.HTTPConnection | None = None

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        operation = self.headers["X-Amz-Target"].partition(".")[2]
        fault = self.server.faults.choose(operation, body.decode())
        if fault in ("timeout before execution", "executed after the timeout"):
            self.server.ended.wait(2 * READ_TIMEOUT)
        elif fault == "reset before execution":
            return self._reset()
        answer = None
        if fault in (None, "500 after execution", "timeout after execution", "executed after the timeout") or (
            fault == "lost acknowledgement"
        ):
            answer = self._forward(body)
        if fault in _ERRORS:
            return self._refuse(*_ERRORS[fault])
        if fault == "timeout after execution":
            self.server.ended.wait(2 * READ_TIMEOUT)
        if fault is not None or answer is None:
            return self._reset()
        status, headers, content = answer
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        return None

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        self._engine = self._engine or http.client.HTTPConnection(self.server.engine, timeout=60)
        self._engine.request("POST", self.path, body, dict(self.headers.items()))
        answer = self._engine.getresponse()
        return answer.status, answer.getheaders(), answer.read()

    def _refuse(self, status: int, code: str) -> None:
        content = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": "as drawn"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        """Reset the connection without an answer, like a router that has lost its state."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        if self._engine is not None:
            self._engine.close()
        if not self.wfile.closed and self.connection.fileno() != -1:
            super().finish()

    def log_message(self, *_: Any) -> None:
        """Log nothing: the faults are counted."""


@contextmanager
def fault_proxy(engine: str, faults: Faults) -> Iterator[str]:
    """Give the URL of a fault proxy for an engine."""
    server = _Server(engine, faults)
    serving = threading.Thread(target=server.serve_forever, name="fault-proxy")
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.ended.set()
        server.shutdown()
        serving.join()
        server.server_close()
