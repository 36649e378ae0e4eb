"""A model server that misbehaves byte by byte, for what llmock does not do: a scripted `http.server` on loopback."""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """What came in: headers with their names in lower case, and the body."""

    headers: dict[str, str]
    body: dict[str, Any]


class Exchange(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    protocol_version = "HTTP/1.1"
    server: "RawServer"

    def do_POST(self):
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.requests.append(Received(headers, self.body))
        self.server.answers[min(len(self.server.requests), len(self.server.answers)) - 1](self)

    def answer(self, status: int, body: object = None, **headers: str) -> None:
        """Answer at once, with JSON or with text."""
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self, **headers: str) -> "Exchange":
        """Send the head of an event stream."""
        self.send_response(200)
        for name, value in ({"content-type": "text/event-stream", "transfer-encoding": "chunked"} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        return self

    def send(self, text: str) -> "Exchange":
        """Send bytes of the body as they are."""
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        return self

    def event(self, content: object = None, finish: str | None = None, **fields: Any) -> "Exchange":
        """Send one chunk of an answer."""
        choice = {"index": 0, "delta": {"content": content} | fields.pop("delta", {}), "finish_reason": finish}
        return self.send(f"data: {json.dumps({'id': 'r1', 'model': 'm', 'choices': [choice]} | fields)}\n\n")

    def end(self) -> None:
        """End the body."""
        self.wfile.write(b"0\r\n\r\n")

    def whole(self, text: str = "Hi") -> None:
        """Answer properly."""
        self.begin().event(text).event(finish="stop").send("data: [DONE]\n\n").end()

    def cut(self) -> None:
        """End the connection with a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.server.shutdown_request = self.server.close_request  # type: ignore[method-assign]

    def wait_for_client_to_leave(self) -> bool:
        """Block until the client closes its end; False when it does not do so in ten seconds."""
        self.close_connection = True
        self.connection.settimeout(10)
        try:
            return self.connection.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class RawServer(ThreadingHTTPServer):
    """Answers the n-th request with the n-th answer, and all further ones with the last."""

    # So that `server_close` waits for the answers that are still running: none outlives its test.
    daemon_threads = False
    request_queue_size = 256

    def __init__(self, answers: tuple[Callable[[Exchange], object], ...]) -> None:
        super().__init__(("127.0.0.1", 0), Exchange)
        self.answers = answers
        self.requests: list[Received] = []
        self._sockets: list[socket.socket] = []

    @property
    def connections(self) -> int:
        """How many connections have been accepted."""
        return len(self._sockets)

    def get_request(self):
        accepted, address = super().get_request()
        self._sockets.append(accepted)
        return accepted, address

    def hang_up(self) -> None:
        """End every connection, also those that wait for a further request."""
        for accepted in self._sockets:
            with suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep quiet about clients that leave: they are meant to."""

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


@contextmanager
def raw_server(*answers: Callable[[Exchange], object]) -> Iterator[RawServer]:
    """Run a server for a test."""
    server = RawServer(answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()
