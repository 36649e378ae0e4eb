"""`bot serve` as a real process, and a client that knows only its HTTP API."""

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx2

from models.table.connection import TableSettings
from tests.processes import ROOT

COMMAND = (sys.executable, "-P", "-c", "from bot.cli import main; main()")
READY = re.compile(r"Turntable is running at (http://127\.0\.0\.1:(\d+))")
TIMEOUT = 60.0


def environment(data_dir: Path, table: TableSettings | None = None, **variables: str) -> dict[str, str]:
    """Return the environment of a `bot` command, with only the given variables."""
    foreign = ("BOT_", "AWS_", "OPENAI_", "HOST", "PORT")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    at_table = {}
    if table:
        at_table = {
            "AWS_ENDPOINT_URL_DYNAMODB": table.endpoint_url or "",
            "BOT_TABLE_NAME": table.name,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        "PYTHONUNBUFFERED": "1",
        "BOT_DATA_DIR": str(data_dir),
        **at_table,
        **variables,
    }


def run_bot(*arguments: str, env: Mapping[str, str], given: str = "", cwd: Path | None = None) -> "Ran":
    """Run a `bot` command to its end."""
    done = subprocess.run(
        [*COMMAND, *arguments], env=env, input=given, capture_output=True, text=True, timeout=TIMEOUT, cwd=cwd
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str


class BotServer:
    """One `bot serve` in its own process group."""

    def __init__(self, *arguments: str, env: Mapping[str, str], log: Path, command: Sequence[str] = COMMAND) -> None:
        self.log = log
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.said: list[str] = []
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [*command, "serve", "--port", "0", *arguments],
                env=env,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                process_group=0,
            )
        threading.Thread(target=self._listen, daemon=True).start()
        self.url = self._wait_for_address()

    def _listen(self) -> None:
        assert self.process.stdout
        with self.process.stdout as said:
            for line in said:
                self._lines.put(line)
        self._lines.put(None)

    def _wait_for_address(self) -> str:
        while (line := self._lines.get(timeout=TIMEOUT)) is not None:
            self.said.append(line)
            if found := READY.search(line):
                return found[1]
        raise AssertionError(f"the server ended with {self.process.wait()}: {self.log.read_text()}")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers."""
        listed = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True
        ).stdout
        return [int(pid) for pid in listed.split()]

    def until(self, text: str) -> str:
        """Return its standard output up to the line that contains this text."""
        while not any(text in line for line in self.said):
            line = self._lines.get(timeout=TIMEOUT)
            assert line is not None, f"it never said {text!r}"
            self.said.append(line)
        return "".join(self.said)

    def rest(self) -> str:
        """Return its whole standard output, after it has exited."""
        while (line := self._lines.get(timeout=TIMEOUT)) is not None:
            self.said.append(line)
        return "".join(self.said)

    def wait(self) -> int:
        """Wait until it exits; return the status."""
        return self.process.wait(timeout=TIMEOUT)

    def stop(self) -> int:
        """Stop it with SIGTERM and wait; return the status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """Kill the master and its workers at once, like a crash."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    id: str
    name: str
    data: dict[str, Any]


class Stream:
    """A streamed answer, read as the specification says: fields, comments, an empty line after each event.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
    """

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.comments = 0
        self._events = self._read()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def next(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Close the connection, like a client that disconnects."""
        self.response.close()

    def _read(self) -> Iterator[Event]:
        last_id, name, data = "", "message", list[str]()
        for line in self.response.iter_lines():
            if not line:
                if data:
                    yield Event(last_id, name, json.loads("\n".join(data)))
                name, data = "message", []
                continue
            if line.startswith(":"):
                self.comments += 1
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match field:
                case "id":
                    last_id = value
                case "event":
                    name = value
                case "data":
                    data.append(value)


class Api:
    """The API with one key; every call is a real HTTP request."""

    def __init__(self, url: str, key: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.http = httpx2.Client(base_url=f"{url}/api/v1", headers=headers, timeout=TIMEOUT, trust_env=False)

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> httpx2.Response:
        return self.http.request(method, path, json=body, params=params or None)

    def get(self, path: str, **params: Any) -> Any:
        """GET a resource that must exist, and return it."""
        response = self.call("GET", path, **params)
        assert response.status_code == 200, response.text
        return response.json()

    def make(self, path: str, **body: Any) -> Any:
        """POST, which must succeed, and return the created resource."""
        response = self.call("POST", path, body)
        assert response.status_code == 201, response.text
        return response.json()

    @contextmanager
    def stream(self, path: str, **body: Any) -> Iterator[Stream]:
        """Open a stream of events, which must start."""
        with self.http.stream("POST", path, json={"stream": True, **body}) as response:
            if response.status_code != 200:
                response.read()
                raise AssertionError(f"{response.status_code}: {response.text}")
            assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
            yield Stream(response)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
