"""gunicorn's threaded worker, for clients that are still sending when their answer is ready, or that send slowly.

If a server closes a connection with bytes unread, TCP resets it, and a client that is still sending never reads the
answer. gunicorn drains 64 KB. Here an answer sent before the end of the body has `Connection: close`; then the worker
drains the connection, up to 64 MiB and for half a minute at most, and closes it. It never parses any of that body as
another request.

Conversely, no client can hold a thread by sending its headers or its body slowly, or by not reading its answer: if none
of it could be sent for a minute, the connection is closed. And a client that asks first
(`Expect: 100-continue`) gets its 100 only when the application reads the body, so a refused request sends no body.
gunicorn would send a 100 to everybody.
"""

import contextlib
import errno
import socket
import struct
import time
from typing import Any

from gunicorn import util  # type: ignore[import-untyped]
from gunicorn.http.body import Body  # type: ignore[import-untyped]
from gunicorn.http.errors import NoMoreData  # type: ignore[import-untyped]
from gunicorn.http.message import Request  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]
from gunicorn.workers.gthread import _DEFER, DEFAULT_WORKER_DATA_TIMEOUT, ThreadWorker  # type: ignore[import-untyped]

from bot.stopping import stopping

# How many seconds a client may take in all: for its request's head, for its body, and for the rest that is discarded.
_HEAD_SECONDS = 30.0
_BODY_SECONDS = 300.0
_REST_SECONDS = 30.0
# How many seconds of silence are allowed within a body, and within the rest that is discarded.
_BODY_SILENCE = 30.0
_REST_SILENCE = 5.0
# How many seconds a client may take to read anything of what waits to be sent.
_SEND_SILENCE = 60.0
# How many seconds a client that has sent everything may take to close its side.
_CLOSE_SILENCE = 2.0
# How many bytes of the rest are read and discarded, so that the client gets to read its answer.
_REST_BYTES = 64 * 1024 * 1024
# If less than this is left of a body of known length, the connection is kept alive.
_LITTLE = 32 * 1024
_CHUNK = 64 * 1024


class _Unreader(SocketUnreader):  # type: ignore[misc]
    """The reader of a connection's bytes. A client that is too slow counts as disconnected."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.allow(_HEAD_SECONDS, _HEAD_SECONDS)

    def allow(self, seconds: float, silence: float) -> None:
        """Allow the client `seconds` from now on, and at most `silence` seconds without a byte."""
        self._until = time.monotonic() + seconds
        self._silence = silence

    def chunk(self, size_hint: int | None = None) -> Any:
        """Return the next bytes.

        Raises:
            NoMoreData: they did not arrive in time.
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
    """A request's body; a client that waits for a 100 gets it at the first read."""

    def __init__(self, reader: Any, unreader: Any, *, expects_continue: bool) -> None:
        super().__init__(reader)
        self._unreader = unreader
        self._expects_continue = expects_continue
        self._reading = False

    def _read_reader(self, size: int) -> Any:
        if not self._reading:
            self._reading = True
            self._unreader.allow(_BODY_SECONDS, _BODY_SILENCE)
            if self._expects_continue and not self._received:
                self._unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        return super()._read_reader(size)

    def discard_rest(self) -> None:
        """Send no 100 any more: what is read from now on is discarded, only to keep the connection usable."""
        self._reading = True
        self._unreader.allow(_REST_SILENCE, _REST_SILENCE)

    @property
    def _received(self) -> bool:
        """Whether all of it has been received, as far as is known without reading on."""
        # The reader of a body of known length counts down; a chunked one drops its parser after the last chunk.
        left = getattr(self.reader, "length", None)
        return not (getattr(self.reader, "parser", None) if left is None else left)

    @property
    def reusable(self) -> bool:
        """Whether another request can be read after it: all has been received, or little is left and on its way."""
        if self.failed or self._received:
            return not self.failed
        # If the client still waits for a 100, it may or may not send the body.
        return getattr(self.reader, "length", _LITTLE) < _LITTLE and (self._reading or not self._expects_continue)


class _Request(Request):  # type: ignore[misc]
    """A request after which the connection is closed if its body has not been received."""

    body: Any
    _expected_100_continue: bool

    def set_body_reader(self) -> None:
        """Choose how the body is read."""
        super().set_body_reader()
        self.body = _Body(self.body.reader, self.unreader, expects_continue=self._expected_100_continue)
        # Otherwise gunicorn would send the 100 before the application has seen the request.
        self._expected_100_continue = False

    def should_close(self) -> bool:
        """Whether this is the last request of its connection; called for the answer's head, and again after it."""
        return bool(super().should_close() or not self.body.reusable)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with these classes; it closes connections in the thread, not in the main loop."""

    def handle(self, conn: Any) -> Any:
        """Answer a request; return whether the connection is kept, or `_DEFER` to wait for data without a thread."""
        if not conn.initialized:
            # As in gunicorn, a connection without data takes no thread.
            if not conn.wait_for_data(DEFAULT_WORKER_DATA_TIMEOUT):
                return _DEFER
            conn.init()
            _limit_sends(conn.sock, _SEND_SILENCE)
            conn.parser.unreader = _Unreader(conn.sock)
            conn.parser.mesg_class = _Request
        conn.parser.unreader.allow(_HEAD_SECONDS, _HEAD_SECONDS)
        kept = super().handle(conn)
        if not kept:
            request = conn.parser.mesg
            _lingering_close(conn.sock, _CLOSE_SILENCE if request and request.body.reusable else _REST_SILENCE)
        return kept

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Shut down gracefully; streams without an end of their own end now."""
        stopping.set()
        super().handle_exit(sig, frame)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Let the application answer a request; return whether the connection can be kept."""
        try:
            kept = super().handle_request(req, conn)
        except BlockingIOError as error:
            # gunicorn logs other errors than this as its own.
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from error
        req.body.discard_rest()
        return kept

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Wait for the connection's next request, or drop it; gunicorn would close it here, which can block."""
        if fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self.nr_conns -= 1
            conn.close()


def _limit_sends(sock: socket.socket, seconds: float) -> None:
    """Let a send fail if not a byte could be sent for so long; Python's own timeout would be for all bytes together."""
    whole, rest = divmod(seconds, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(whole), int(rest * 1_000_000)))


def _lingering_close(sock: socket.socket, silence: float) -> None:
    """Shut down our side, drain until the client closes its own so that it can read the answer, and close.

    `silence` is how many seconds may pass without a byte.
    """
    until = time.monotonic() + _REST_SECONDS
    left = _REST_BYTES
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            sock.settimeout(min(silence, seconds))
            received = len(sock.recv(_CHUNK))
            if not received:
                break
            left -= received
    util.close(sock)
