"""Readers that wait for a provider hear within a moment that they shall stop, and the connection is closed."""

import contextlib
import random
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import httpx2
import pytest

from bot.llm.clients import deployment_client, guarded_client, loopback_client, neutral_client
from bot.llm.interruption import Interrupted, interruptible
from tests.processes import free_port

SOON = 10.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Silent:
    """A server that takes a connection, says what it was told to, and then nothing more."""

    def __init__(self, *said: bytes) -> None:
        self._said = said
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self.asked, self.left = threading.Event(), threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.settimeout(SOON)
            connection.recv(65536)
            for each in self._said:
                connection.sendall(each)
            self.asked.set()
            if connection.recv(1) == b"":
                self.left.set()

    def close(self) -> None:
        self._listener.close()


@pytest.fixture(params=[(), (HEAD,), (HEAD, b"3\r\nabc\r\n")], ids=["no head", "head", "a word"])
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    server = Silent(*request.param)
    yield server
    server.close()


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with loopback_client(ssl.create_default_context(), silence=60) as made:
        yield made


def chunks(client: httpx2.Client, url: str) -> Generator[bytes, None, None]:
    with client.stream("GET", url) as response:
        yield from response.iter_bytes()


def test_a_reader_that_waits_is_interrupted_and_the_connection_closed(client: httpx2.Client, silent: Silent) -> None:
    with pytest.raises(Interrupted):
        for _ in interruptible(chunks(client, silent.url), silent.asked.is_set):
            pass
    assert silent.left.wait(SOON)


def test_a_silence_is_as_long_as_the_timeout_and_no_shorter_for_the_slices() -> None:
    server, asked = Silent(HEAD), [0]

    def count() -> bool:
        asked[0] += 1
        return False

    with loopback_client(ssl.create_default_context(), silence=0.7) as client, pytest.raises(httpx2.ReadTimeout):
        list(interruptible(chunks(client, server.url), count))
    assert asked[0] >= 3, "it was asked between the slices"
    server.close()


def test_what_was_read_is_passed_on_whole() -> None:
    server = Silent(HEAD, b"3\r\nabc\r\n", b"3\r\ndef\r\n", b"0\r\n\r\n")
    with loopback_client(ssl.create_default_context(), silence=60) as client:
        assert b"".join(interruptible(chunks(client, server.url), lambda: False)) == b"abcdef"
    server.close()


def test_outside_of_a_turn_nothing_is_asked(client: httpx2.Client) -> None:
    server = Silent(HEAD, b"3\r\nabc\r\n", b"0\r\n\r\n")
    assert b"".join(chunks(client, server.url)) == b"abc"
    server.close()


def connects_late(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Make connections hang; return what is set when one does, and what to set for it to continue."""
    hangs, go_on, connect = threading.Event(), threading.Event(), socket.create_connection

    def late(*args: Any, **kwargs: Any) -> socket.socket:
        hangs.set()
        assert go_on.wait(SOON)
        return connect(*args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", late)
    return hangs, go_on


def test_a_connect_that_hangs_is_interrupted_and_closed_when_it_succeeds(
    client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Silent()
    hangs, go_on = connects_late(monkeypatch)
    with pytest.raises(Interrupted):
        list(interruptible(chunks(client, server.url), hangs.is_set))
    assert not server.asked.is_set()
    go_on.set()
    assert server.left.wait(SOON)
    server.close()


def test_a_connect_fails_as_it_does_outside_of_a_turn(client: httpx2.Client) -> None:
    with pytest.raises(httpx2.ConnectError):
        list(interruptible(chunks(client, f"http://127.0.0.1:{free_port()}/"), lambda: False))


def test_a_tls_handshake_without_an_answer_is_interrupted_and_the_connection_closed(client: httpx2.Client) -> None:
    server = Silent()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        list(interruptible(chunks(client, server.url.replace("http:", "https:")), server.asked.is_set))
    assert server.left.wait(SOON)
    assert time.monotonic() - started < SOON / 2
    server.close()


def test_a_pending_address_lookup_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def late(*_: object, **__: object) -> list[Any]:
        hangs.set()
        assert go_on.wait(SOON)
        return []

    with guarded_client(ssl.create_default_context(), 60) as client:
        monkeypatch.setattr(socket, "getaddrinfo", late)
        with pytest.raises(Interrupted):
            list(interruptible(chunks(client, "https://model.example/"), hangs.is_set))
    go_on.set()


def test_a_large_request_that_the_server_does_not_read_is_interrupted_and_the_connection_closed(
    client: httpx2.Client,
) -> None:
    def ask(url: str) -> Generator[bytes, None, None]:
        with client.stream("POST", url, content=bytes(32 * 1024 * 1024)) as response:
            yield from response.iter_bytes()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        started = time.monotonic()
        stalled = lambda: time.monotonic() - started > 0.5  # noqa: E731
        with pytest.raises(Interrupted):
            list(interruptible(ask(f"http://127.0.0.1:{listener.getsockname()[1]}/"), stalled))
        assert time.monotonic() - started < SOON / 2
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionResetError):
            connection.settimeout(SOON)
            while connection.recv(1 << 20):
                pass


def test_a_large_request_arrives_whole(client: httpx2.Client) -> None:
    body = random.Random(1).randbytes(3_000_001)

    def ask(url: str) -> Generator[bytes, None, None]:
        with client.stream("POST", url, content=body) as response:
            yield from response.iter_bytes()

    received = bytearray()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            while len(received) < len(body) or not received.endswith(body[-100:]):
                received.extend(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        answer = list(interruptible(ask(f"http://127.0.0.1:{listener.getsockname()[1]}/"), lambda: False))
        serving.join(SOON)
    assert b"".join(answer) == b"ok"
    assert received.endswith(body)


@pytest.mark.parametrize("make", [deployment_client, neutral_client, guarded_client, loopback_client])
def test_every_client_reads_in_slices(make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with make(ssl.create_default_context(), 60) as client:  # type: ignore[operator]
        for transport in (client._transport, *client._mounts.values()):
            if transport is not None:
                assert type(transport._pool._network_backend).__module__ == "bot.llm.sliced"
