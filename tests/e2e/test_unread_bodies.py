"""A request that is refused before its body was read: the client gets the answer, and no thread waits forever."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
import requests

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import BotServer, environment
from tests.factories import make_user
from tests.processes import ROOT, free_port

LIMIT = 1_000_000
SIZES = [int(LIMIT * times) for times in (1.1, 2, 20)]


@pytest.fixture(scope="module")
def small(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotServer]:
    """A server that accepts no body over a megabyte."""
    folder = tmp_path_factory.mktemp("small")
    env = environment(folder / "data", table, BOT_MAX_BODY_BYTES=str(LIMIT), BOT_LIMIT_REQUESTS_PER_MINUTE="1000")
    with BotServer(env=env, log=folder / "log") as running:
        yield running


@pytest.fixture(scope="module")
def key(table: TableSettings) -> str:
    return str(issue_key(make_user())[0])


def body_of(size: int) -> bytes:
    return json.dumps({"name": "x" * (size - 12)}).encode()


def in_chunks(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


Ask = Callable[[str, dict[str, str], bytes], tuple[int, Any, Any]]


def by_http_client(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=30)) as connection:
        connection.request("POST", "/api/v1/agents", body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


def by_http_client_in_chunks(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with closing(HTTPConnection(url.removeprefix("http://"), timeout=30)) as connection:
        connection.request("POST", "/api/v1/agents", body=in_chunks(body), headers=headers, encode_chunked=True)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


def by_requests(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{url}/api/v1/agents", data=body, headers=headers, timeout=30)
        return answer.status_code, answer.headers, answer.json()


def by_requests_in_chunks(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.post(f"{url}/api/v1/agents", data=in_chunks(body), headers=headers, timeout=30)
        return answer.status_code, answer.headers, answer.json()


def by_httpx(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.post(f"{url}/api/v1/agents", content=body, headers=headers)
        return answer.status_code, answer.headers, answer.json()


def by_httpx_in_chunks(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with httpx.Client(trust_env=False, timeout=30) as client:
        answer = client.post(f"{url}/api/v1/agents", content=in_chunks(body), headers=headers)
        return answer.status_code, answer.headers, answer.json()


def by_openai(url: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, Any]:
    with (
        httpx2.Client(trust_env=False, timeout=30) as http,
        openai.OpenAI(
            base_url=f"{url}/api/v1", api_key=headers["Authorization"].split()[1], http_client=http, max_retries=0
        ) as client,
    ):
        try:
            client.post("/agents", cast_to=object, body=json.loads(body))
        except openai.APIStatusError as error:
            return error.status_code, error.response.headers, error.response.json()
    raise AssertionError("it was taken")


CLIENTS: list[Ask] = [
    by_http_client,
    by_http_client_in_chunks,
    by_requests,
    by_requests_in_chunks,
    by_httpx,
    by_httpx_in_chunks,
    by_openai,
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ask", CLIENTS)
def test_every_client_gets_the_413(small: BotServer, key: str, ask: Ask, size: int) -> None:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    status, told, problem = ask(small.url, headers, body_of(size))
    assert (status, problem["code"]) == (413, "too_large")
    assert told["content-type"] == "application/problem+json; charset=utf-8"
    assert told["connection"] == "close"


@pytest.mark.parametrize("ask", CLIENTS)
def test_a_stranger_with_a_large_body_gets_the_401(small: BotServer, ask: Ask) -> None:
    headers = {"Authorization": "Bearer tt_nobody", "Content-Type": "application/json"}
    for size in (LIMIT // 2, LIMIT * 2):
        status, told, problem = ask(small.url, headers, body_of(size))
        assert (status, problem["code"], told["connection"]) == (401, "unauthenticated", "close")


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        yield connection


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *lines, "", ""]).encode()


def answer_of(connection: socket.socket) -> tuple[bytes, bytes]:
    """Return the head and the body of the next answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (piece := connection.recv(65536))
        assert piece, received
    told, _, rest = received.partition(b"\r\n\r\n")
    (length,) = [int(line[15:]) for line in told.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(rest) < length:
        rest += (piece := connection.recv(65536))
        assert piece, rest
    return told, rest


def until_closed(connection: socket.socket) -> bytes:
    received = b""
    while piece := connection.recv(65536):
        received += piece
    return received


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/healthz", "/api/v1/agents"])
def test_an_early_refusal_is_answered_and_closes_the_connection(small: BotServer, path: str) -> None:
    smuggled = head("/healthz", method="GET")
    body = smuggled * (400_000 // len(smuggled))
    for lines, sent in (
        ([f"Content-Length: {len(body)}"], body),
        (["Transfer-Encoding: chunked"], b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)),
    ):
        with connected(small.port) as connection:
            connection.sendall(head(path, *lines) + sent + smuggled)
            told, _ = answer_of(connection)
            assert told.split()[1] in (b"404", b"405", b"401")
            assert b"Connection: close" in told
            assert until_closed(connection) == b"", "of what follows nothing is read as a request"


def test_a_small_unread_body_does_not_cost_the_connection(small: BotServer) -> None:
    body = head("/healthz", method="GET") * 20
    with connected(small.port) as connection:
        for _ in range(3):
            connection.sendall(head("/nothing", f"Content-Length: {len(body)}") + body)
            told, _ = answer_of(connection)
            assert told.split()[1] == b"404"
            assert b"Connection: keep-alive" in told
        connection.sendall(head("/healthz", "Connection: close", method="GET"))
        assert answer_of(connection)[0].split()[1] == b"200"
        assert until_closed(connection) == b""


def test_a_client_that_expects_a_100_is_refused_without_its_body(small: BotServer, key: str) -> None:
    for credential, length, status in ((key, LIMIT + 1, b"413"), ("tt_nobody", 100, b"401"), ("x", LIMIT, b"401")):
        with connected(small.port) as connection:
            asking = ("Expect: 100-continue", f"Authorization: Bearer {credential}", f"Content-Length: {length}")
            connection.sendall(head("/api/v1/agents", "Content-Type: application/json", *asking))
            told, _ = answer_of(connection)
            assert told.split()[1] == status, "and not 100"
            assert b"Connection: close" in told
            assert until_closed(connection) == b""


def test_a_client_that_expects_a_100_gets_it(small: BotServer, key: str) -> None:
    body = b'{"name": "Ada"}'
    asking = ("Expect: 100-continue", f"Authorization: Bearer {key}", "Content-Type: application/json")
    with connected(small.port) as connection:
        for _ in range(2):
            connection.sendall(head("/api/v1/agents", *asking, f"Content-Length: {len(body)}"))
            assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            told, _ = answer_of(connection)
            assert told.split()[1] == b"201"
            assert b"Connection: keep-alive" in told


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
@pytest.mark.parametrize("asks", [[], ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"]])
def test_curl_gets_the_413(small: BotServer, key: str, asks: list[str], tmp_path: Path) -> None:
    for size in SIZES:
        (tmp_path / "body").write_bytes(body_of(size))
        done = subprocess.run(
            [
                *("curl", "-sS", "-w", "%{http_code} %{size_upload}", "-o", str(tmp_path / "answer"), *asks),
                *("-H", f"Authorization: Bearer {key}", "-H", "Content-Type: application/json"),
                *("--data-binary", f"@{tmp_path / 'body'}", f"{small.url}/api/v1/agents"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split()[0] == "413"
        assert json.loads((tmp_path / "answer").read_text())["code"] == "too_large"


IMPATIENT = """
import sys

from flask import Flask, request

from bot import worker
from bot.server import serve

worker._HEAD_SECONDS = worker._BODY_SILENCE = worker._REST_SILENCE = 1
worker._BODY_SECONDS = worker._REST_SECONDS = 2
worker._REST_BYTES = 1_000_000


def app():
    made = Flask("tiny")

    @made.post("/read")
    def read():
        return str(len(request.get_data()))

    @made.post("/refuse")
    def refuse():
        return "no", 401

    return made


serve(app, host="127.0.0.1", port=int(sys.argv[1]), workers=1, threads=2, graceful_timeout=0,
      on_ready=lambda: print("ready", flush=True))
"""


@pytest.fixture(scope="module")
def impatient() -> Iterator[int]:
    """The port of a server with two threads that gives slow clients two seconds."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, str(port)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert process.stdout
    with process.stdout:
        assert process.stdout.readline() == "ready\n"
        yield port
        process.terminate()
        process.wait(timeout=60)


def drip(connection: socket.socket, begin: bytes, drop: bytes) -> threading.Thread:
    """Send the beginning of a request, then a few bytes twice a second, until the server closes the connection."""

    def send() -> None:
        with suppress(OSError):
            connection.sendall(begin)
            while True:
                connection.sendall(drop)
                time.sleep(0.4)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


SLOW = {
    "a head that does not end": (head("/read")[:-2], b"X-Drop: 1\r\n"),
    "a body that does not end": (head("/read", "Content-Length: 100000000"), b"x"),
    "chunks that do not end": (head("/read", "Transfer-Encoding: chunked"), b"1\r\nx\r\n"),
    "what nobody wants": (head("/refuse", "Content-Length: 100000000"), b"x"),
    "a head and then silence": (head("/read")[:-2], b""),
    "a body and then silence": (head("/read", "Content-Length: 100000000") + b"x", b""),
    "a small rest that nobody wants": (head("/refuse", "Content-Length: 1000") + b"x", b""),
    "asking, and never sending": (head("/read", "Content-Length: 1000", "Expect: 100-continue"), b""),
}


@pytest.mark.parametrize("case", SLOW)
def test_a_slow_client_is_disconnected_and_the_thread_serves_others(impatient: int, case: str) -> None:
    with connected(impatient) as first, connected(impatient) as second:
        threads = [drip(each, *SLOW[case]) for each in (first, second)]
        for each in (first, second):
            # It may still be sending.
            with suppress(ConnectionResetError):
                until_closed(each)
        for each in (first, second):
            each.close()
        for thread in threads:
            thread.join()
    with connected(impatient) as third:
        third.sendall(head("/read", "Content-Length: 5", "Connection: close") + b"Hello")
        assert answer_of(third)[1] == b"5"


def test_the_server_drains_no_more_than_its_bound(impatient: int) -> None:
    sent = 0
    with connected(impatient) as connection:
        connection.sendall(head("/refuse", "Content-Length: 1000000000"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012 - one of many
            while sent < 500_000_000:
                sent += connection.send(b"x" * 100_000)
    assert 1_000_000 <= sent < 100_000_000
