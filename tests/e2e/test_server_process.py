"""The server as a process: many concurrent streams, a graceful shutdown, and no processes left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.processes import ROOT, free_port, lives, only_linux, wait_until

SERVER = """
import os, resource, signal, sys, time
from pathlib import Path
from urllib.request import urlopen

from flask import Flask, Response

from bot.local.engine import EmbeddedEngine
from bot.server import serve

# As a terminal starts it, or as nohup does, whichever of the two the tests themselves were started by.
signal.signal(signal.SIGHUP, signal.SIG_IGN if "NOHUP" in os.environ else signal.SIG_DFL)
if "FILES" in os.environ:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (int(os.environ["FILES"]), hard))
port, graceful_timeout = int(sys.argv[1]), int(sys.argv[2])
data_dir = Path(os.environ["DATA_DIR"])
engine = EmbeddedEngine(data_dir)


def say(*words):
    print(*words, flush=True)


def app():
    if "REFUSE" in os.environ:
        raise SystemExit("The table is missing.")
    made = Flask("tiny")

    @made.get("/pid")
    def pid():
        return str(os.getpid())

    @made.get("/engine")
    def ask_engine():
        return urlopen(engine.endpoint_url).read()

    @made.get("/stream/<name>")
    def stream(name):
        def parts():
            yield "started "
            while not (data_dir / name).exists():
                yield "."
                time.sleep(0.05)
            yield " ended"

        return Response(parts(), mimetype="text/event-stream")

    return made


def stop():
    engine.stop()
    say("stopped")


engine.start()
say("engine", engine.pid)
serve(
    app,
    host="127.0.0.1",
    port=port,
    workers=1,
    threads=128,
    graceful_timeout=graceful_timeout,
    on_ready=lambda: say("ready"),
    on_stop=stop,
    on_tick=engine.ensure_running,
)
"""


class Server:
    """One server process in its own process group, as a terminal would start it."""

    def __init__(self, data_dir: Path, graceful_timeout: int = 60, port: int | None = None, **variables: str) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port), str(graceful_timeout)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "DATA_DIR": str(data_dir), **variables},
            process_group=0,
        )
        assert self.process.stdout
        self.engine = int(self.process.stdout.readline().removeprefix("engine "))

    def ready(self) -> "Server":
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        self.worker = int(self.get("/pid"))
        return self

    def get(self, path: str) -> str:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers={"Connection": "close"})
            return connection.getresponse().read().decode()

    def let_end(self, name: str) -> None:
        (self.data_dir / name).touch()

    def signal_group(self, number: int) -> None:
        """Send a signal as the terminal does: to the server's whole process group."""
        os.killpg(self.process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Wait until it exits; return the status and the new output."""
        out, err = self.process.communicate(timeout=90)
        return self.process.returncode, out, err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def started(**options: object) -> Server:
        servers.append(Server(tmp_path / "data", **options))  # type: ignore[arg-type]
        return servers[-1]

    yield started
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
        server.process.communicate(timeout=90)
        # A killed server's children must end by themselves, and a failed test must not leave them to the next one.
        wait_until(lambda pid=server.engine: not lives(pid))


class Stream:
    """A request whose answer streams until it is told to end."""

    def __init__(self, server: Server, name: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.connection.request("GET", f"/stream/{name}")
        self.response = self.connection.getresponse()
        assert self.response.read(8) == b"started "

    def rest(self) -> str:
        with closing(self.connection):
            return self.response.read().decode()


def test_a_hundred_streams_are_open_at_once_and_another_request_is_answered(start: Callable[..., Server]) -> None:
    server = start().ready()
    streams = [Stream(server, "all") for _ in range(100)]  # each has begun before the next one is requested

    assert server.get("/pid") == str(server.worker)

    server.let_end("all")
    assert all(stream.rest().endswith(" ended") for stream in streams)


def test_the_usual_limit_of_open_files_does_not_limit_the_streams(start: Callable[..., Server]) -> None:
    server = start(FILES="64").ready()
    streams = [Stream(server, "all") for _ in range(100)]
    server.let_end("all")
    assert all(stream.rest().endswith(" ended") for stream in streams)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_running_stream_ends_before_the_server_does(start: Callable[..., Server], number: int) -> None:
    server = start().ready()
    stream = Stream(server, "one")

    if number == signal.SIGTERM:
        server.process.terminate()
    else:
        server.signal_group(number)
    wait_until(lambda: not accepts(server.port))
    assert lives(server.engine), "the stream may still need the engine"
    server.let_end("one")

    assert stream.rest().endswith(" ended")
    assert server.end() == (0, "stopped\n", "")
    assert not lives(server.worker)
    assert not lives(server.engine)


@only_linux
@pytest.mark.parametrize(("variables", "ignored"), [({}, False), ({"NOHUP": "1"}, True)])
def test_sighup_stays_ignored_if_it_was(start: Callable[..., Server], variables: dict[str, str], ignored: bool) -> None:
    server = start(**variables).ready()
    state = Path(f"/proc/{server.process.pid}/status").read_text()
    (mask,) = [line.split()[1] for line in state.splitlines() if line.startswith("SigIgn:")]
    assert bool(int(mask, 16) & 1 << signal.SIGHUP - 1) == ignored


def test_a_stream_that_exceeds_the_graceful_timeout_is_cut_off(start: Callable[..., Server]) -> None:
    server = start(graceful_timeout=1).ready()
    stream = Stream(server, "never")

    server.process.terminate()

    status, out, _ = server.end()
    assert (status, out) == (0, "stopped\n")
    assert not lives(server.worker)
    assert not lives(server.engine)
    stream.connection.close()


def test_a_second_interrupt_stops_at_once(start: Callable[..., Server]) -> None:
    server = start(graceful_timeout=600).ready()
    stream = Stream(server, "never")

    server.signal_group(signal.SIGINT)
    wait_until(lambda: not accepts(server.port))
    server.signal_group(signal.SIGINT)

    status, out, _ = server.end()
    assert (status, out) == (0, "stopped\n")
    assert not lives(server.worker)
    stream.connection.close()


def test_a_killed_server_leaves_no_process(start: Callable[..., Server]) -> None:
    server = start(graceful_timeout=1).ready()
    stream = Stream(server, "never")

    server.process.kill()

    wait_until(lambda: not lives(server.worker) and not lives(server.engine))
    stream.connection.close()


def test_a_killed_worker_is_replaced_and_the_engine_lives_on(start: Callable[..., Server]) -> None:
    server = start().ready()

    os.kill(server.worker, signal.SIGKILL)
    wait_until(lambda: not lives(server.worker))

    wait_until(lambda: answers(server))
    assert "healthy" in server.get("/engine")
    server.process.terminate()
    status, out, _ = server.end()
    assert (status, out) == (0, "stopped\n"), "on_ready and on_stop are called once"


def test_a_killed_engine_is_started_again(start: Callable[..., Server]) -> None:
    server = start().ready()
    assert "healthy" in server.get("/engine")

    os.kill(server.engine, signal.SIGKILL)

    wait_until(lambda: "healthy" in server.get("/engine"))
    server.process.terminate()
    status, out, _ = server.end()
    assert (status, out) == (0, "stopped\n")


def test_a_port_in_use_is_one_line_and_status_one(start: Callable[..., Server]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start(port=port)
        status, out, err = server.end()

    assert status == 1
    assert out == "stopped\n"
    assert err.count("\n") == 1
    assert f"127.0.0.1:{port}" in err
    assert "PORT" in err
    assert not lives(server.engine)


def test_if_the_application_cannot_be_created_the_server_exits_with_the_reason(start: Callable[..., Server]) -> None:
    server = start(REFUSE="1")

    status, out, err = server.end()

    assert status != 0
    assert out == "stopped\n"
    assert "The table is missing." in err
    assert "Traceback" not in err
    assert not lives(server.engine)


def test_it_writes_no_file_outside_its_own_directory(start: Callable[..., Server], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    server = start(HOME=str(home), XDG_RUNTIME_DIR=str(home), TMPDIR=str(home)).ready()
    assert list(home.rglob("*")) == []
    server.process.terminate()
    server.end()


def accepts(port: int) -> bool:
    """Whether the server accepts new requests."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.2) as connection:
            connection.sendall(b"GET /pid HTTP/1.0\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def answers(server: Server) -> bool:
    try:
        return server.get("/pid") != str(server.worker)
    except OSError:
        return False
