"""Whether a client has disconnected is seen at its connection, without taking anything from it."""

import socket
from collections.abc import Iterator

import pytest
from flask import Flask

from bot.http.disconnects import client_gone

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """The client's and the server's end of a connection."""
    client, server = socket.socketpair()
    with client, server:
        yield client, server


def gone(connection: object) -> bool:
    with Flask("test").test_request_context(environ_overrides={"gunicorn.socket": connection}):
        return client_gone()()


def test_a_client_that_waits_is_connected(pair: Pair) -> None:
    assert not gone(pair[1])


def test_a_client_that_has_sent_more_is_connected_and_nothing_is_taken(pair: Pair) -> None:
    client, server = pair
    client.sendall(b"GET /")
    assert not gone(server)
    assert server.recv(10) == b"GET /"


def test_a_client_that_has_closed_is_gone(pair: Pair) -> None:
    client, server = pair
    client.close()
    assert gone(server)


def test_a_connection_that_this_side_has_closed_is_gone(pair: Pair) -> None:
    pair[1].close()
    assert gone(pair[1])


def test_nobody_is_gone_where_there_is_no_connection_to_look_at() -> None:
    assert not gone(None)
    assert not gone("something else")
