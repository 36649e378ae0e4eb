"""Whether the client of the current request is still connected.

A server normally notices that a client has disconnected when it writes. While it waits for something else, it can look
at the connection instead: a closed one is readable and has nothing to read.
"""

import select
import socket
import ssl
from collections.abc import Callable

from flask import request


def client_gone() -> Callable[[], bool]:
    """Return a function, for any thread, that says whether the client of the current request has disconnected.

    It never does where the connection cannot be looked at: with another server than ours, or with TLS in this process.
    A client that closes only its own side, which HTTP clients do not do, counts as disconnected.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket) or isinstance(connection, ssl.SSLSocket):
        return lambda: False
    return lambda: _closed(connection)


def _closed(connection: socket.socket) -> bool:
    try:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        # What can be read may also be the next request.
        return bool(poll.poll(0)) and connection.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
