"""gunicorn's threaded worker, for clients that still send when their answer is ready, or send slowly.

A server that closes a connection with bytes unread makes TCP reset it, and the client, which is still sending, never
reads the answer. gunicorn reads on for 64 KB. Here an answer that comes before the body's end says `Connection: close`
and is sent; then the worker reads on, for at most 64 MiB and half a minute, and closes. Nothing of that body is ever
taken for another request.

The other side of it: no client keeps a thread by sending slowly, neither its headers nor its body. And a client that
asks first (`Expect: 100-continue`) is told to go on when the application wants the body, so one that is refused sends
none of it. gunicorn would tell everybody to go on.
"""

import contextlib
import socket
import time
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.body import Body  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import _DEFER, DEFAULT_WORKER_DATA_TIMEOUT, ThreadWorker  # type: ignore[import-untyped]

# How many seconds a client may take in all: for its request's head, for its body, and for what nobody wants any more.
_HEAD_SECONDS = 30.0
_BODY_SECONDS = 300.0
_REST_SECONDS = 30.0
# How many seconds of silence are allowed within a body, and within what nobody wants.
_BODY_SILENCE = 30.0
_REST_SILENCE = 5.0
# How many seconds a client that has sent all may take to end its side.
_GOODBYE = 2.0
# How much of a body that nobody wants is read, in bytes, so that the client comes to read its answer.
_REST_BYTES = 64 * 1024 * 1024
# With so little left of a body of known length, the connection can as well be kept.
_SOON = 32 * 1024
_PIECE = 64 * 1024


class _Unreader(SocketUnreader):  # type: ignore[misc]
    """What a connection's bytes come through. A client that is too slow has gone."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.allow(_HEAD_SECONDS, _HEAD_SECONDS)

    def allow(self, seconds: float, silence: float) -> None:
        """Give the client so many seconds from now on, and for each piece so many of them."""
        self._until = time.monotonic() + seconds
        self._silence = silence

    def chunk(self, size_hint: int | None = None) -> Any:
        """Return the next bytes.

        Raises:
            NoMoreData: they did not come in time.
        """
        left = min(self._silence, self._until - time.monotonic())
        if left <= 0:
            raise NoMoreData
        self.sock.settimeout(left)
        try:
            return super().chunk(size_hint)
        except TimeoutError:
            raise NoMoreData from None
        finally:
            self.sock.settimeout(None)


class _Body(Body):  # type: ignore[misc]
    """A request's body, which the client is asked for when somebody wants it."""

    def __init__(self, reader: Any, unreader: Any, *, asks: bool) -> None:
        super().__init__(reader)
        self._unreader = unreader
        self._asks = asks
        self._wanted = False

    def _read_reader(self, size: int) -> Any:
        if not self._wanted:
            self._wanted = True
            self._unreader.allow(_BODY_SECONDS, _BODY_SILENCE)
            if self._asks and not self._ended:
                self._unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return super()._read_reader(size)

    def forgo(self) -> None:
        """Ask for no more of it: what is still read of it is for the sake of the connection."""
        self._wanted = True
        self._unreader.allow(_REST_SILENCE, _REST_SILENCE)

    @property
    def _ended(self) -> bool:
        """Whether all of it has been received, as far as can be told without reading on."""
        # A body of known length counts down; one in chunks lets go of its parser after the last one.
        left = getattr(self.reader, "length", None)
        return not (getattr(self.reader, "parser", None) if left is None else left)

    @property
    def over(self) -> bool:
        """Whether another request can be read after it: it has been received, or what is left is little and comes."""
        if self.failed or self._ended:
            return not self.failed
        # Where the client waits to be asked, nobody knows whether it will come.
        return getattr(self.reader, "length", _SOON) < _SOON and (self._wanted or not self._asks)


class _Request(Request):  # type: ignore[misc]
    """A request after which the connection is closed if its body is still to come."""

    body: Any
    _expected_100_continue: bool

    def set_body_reader(self) -> None:
        """Choose how the body is read."""
        super().set_body_reader()
        self.body = _Body(self.body.reader, self.unreader, asks=self._expected_100_continue)
        # Else gunicorn would tell the client to go on before anybody has looked at the request.
        self._expected_100_continue = False

    def should_close(self) -> bool:
        """Whether this is the last request of its connection; asked for when the answer's head is sent, and after."""
        return bool(super().should_close() or not self.body.over)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with the two above, and with its closing in the thread instead of in the main loop."""

    def handle(self, conn: Any) -> Any:
        """Answer a request; return whether the connection is kept, or is to be waited for."""
        if not conn.initialized:
            # As gunicorn does: a connection on which nothing comes takes no thread.
            if not conn.wait_for_data(DEFAULT_WORKER_DATA_TIMEOUT):
                return _DEFER
            conn.init()
            conn.parser.unreader = _Unreader(conn.sock)
            conn.parser.mesg_class = _Request
        conn.parser.unreader.allow(_HEAD_SECONDS, _HEAD_SECONDS)
        kept = super().handle(conn)
        if not kept:
            request = conn.parser.mesg
            _part(conn.sock, _GOODBYE if request and request.body.over else _REST_SILENCE)
        return kept

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Have a request answered; return whether the connection can be kept."""
        kept = super().handle_request(req, conn)
        req.body.forgo()
        return kept

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Wait for the connection's next request, or forget it; gunicorn would close it here, and could wait for it."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1
            conn.close()


def _part(sock: socket.socket, silence: float) -> None:
    """End our side, and read on until the client ends its own, so that it reads the answer; then close.

    `silence` is how many seconds may pass without a byte.
    """
    until = time.monotonic() + _REST_SECONDS
    left = _REST_BYTES
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            sock.settimeout(min(silence, seconds))
            received = len(sock.recv(_PIECE))
            if not received:
                break
            left -= received
    util.close(sock)
