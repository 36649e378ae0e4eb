"""A model server for tests: `llmock` on loopback as a real HTTP server, with the scenarios that the tests need by name.

    def test_a_stall(model_server):
        model_server.script("stall", after_chunks=2)
        ...  # point OPENAI_BASE_URL at model_server.base_url, with any key
        assert model_server.requests()[0].body["model"] == "gpt-test"

Each scenario is for the next request (`times=3`: the next three, `times=None`: all until `reset`). A failed
request is sent again before the answer begins, so an error that shall reach the caller needs `times=None`, or
no retries in the provider. A request without a scenario is answered with `Mock response from <model>.`; no function
is called unless it is scripted.
"""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from llmock.chaos import ChaosSettings, StreamChaos
from llmock.journal import RequestRecord
from llmock.scenarios import Behavior, Delay, Fail, Reply, SlowFirstToken, StreamFault, ToolCall
from llmock.simulation import MockResponseSettings
from llmock.testing import LLMockServer

DEFAULT_TEXT = "One two three four five six."
"""Streamed as six chunks of text, after one chunk with the role and before one with the finish reason."""


class ModelServer:
    """One running server."""

    def __init__(self) -> None:
        self._server = LLMockServer(responses=MockResponseSettings(response_style="static", tool_mode="off"))
        self._headers: list[dict[str, str]] = []
        self._lock = threading.Lock()
        self._server.app.add_middleware(_HeaderRecorder, record=self._record)

    def start(self) -> "ModelServer":
        self._server.start()
        if self._server._server is not None:
            # Longer than our clients keep idle connections. At uvicorn's own 5 s, a request that comes at that moment
            # meets a connection that is just being closed, and the tests' servers retry nothing.
            self._server._server.config.timeout_keep_alive = 120
        return self

    def stop(self) -> None:
        # A request that llmock delays would delay the shutdown, too.
        if self._server._server is not None:
            self._server._server.force_exit = True
        self._server.stop()

    @property
    def base_url(self) -> str:
        """The value for `OPENAI_BASE_URL`: `http://127.0.0.1:…/v1`."""
        return str(self._server.base_url("openai"))

    def reset(self) -> None:
        """Forget requests, scenarios and pace."""
        state = self._server.state
        state.reset()
        state.chaos = ChaosSettings()
        state.stream_chaos = StreamChaos()
        with self._lock:
            self._headers.clear()

    def script(self, scenario: str, /, *, times: int | None = 1, **options: Any) -> "ModelServer":
        """Queue a scenario for the next request; calls can be chained.

        text        text=…, finish_reason="stop"            an answer
        tool_call   name=…, arguments={…}, text=None        an answer that calls one function
        tool_calls  calls=[(name, {…}), …], text=None       … or several
        rate_limit  retry_after=1.0                         429
        error       status=500, message=None, code=None     any HTTP error
        delay       seconds=1.0                             nothing at all for a while, then the answer
        slow_start  seconds=1.0                             the head at once, the first chunk later
        stall       after_chunks=3, seconds=30.0            silence within the answer
        disconnect  after_chunks=3                          the connection is cut
        truncate    after_chunks=3                          the stream ends cleanly without a finish reason
        malformed   after_chunks=3                          a chunk that is not JSON

        The last six also take text=…, for the answer that they hold up or break; without it, it is `DEFAULT_TEXT`.
        """
        text = options.pop("text", None)
        behaviours: list[Behavior] = []
        after_chunks = options.pop("after_chunks", 3)
        match scenario:
            case "text":
                behaviours.append(Reply(text=text or DEFAULT_TEXT, times=times, **options))
            case "tool_call":
                call = ToolCall(options.pop("name"), options.pop("arguments", {}))
                behaviours.append(Reply(text=text, tool_calls=(call,), times=times, **options))
            case "tool_calls":
                calls = tuple(ToolCall(*call) for call in options.pop("calls"))
                behaviours.append(Reply(text=text, tool_calls=calls, times=times, **options))
            case "rate_limit":
                behaviours.append(Fail(429, retry_after=options.pop("retry_after", 1.0), times=times, **options))
            case "error":
                behaviours.append(Fail(options.pop("status", 500), times=times, **options))
            case "delay":
                behaviours.append(Delay(options.pop("seconds", 1.0), times=times))
            case "slow_start":
                behaviours.append(SlowFirstToken(options.pop("seconds", 1.0), times=times))
            case "stall":
                seconds = options.pop("seconds", 30.0)
                behaviours.append(StreamFault("stall", after_chunks=after_chunks, stall_seconds=seconds, times=times))
            case "disconnect" | "truncate" | "malformed":
                behaviours.append(StreamFault(scenario, after_chunks=after_chunks, times=times))
            case _:
                raise ValueError(f"There is no scenario {scenario!r}.")
        if not any(isinstance(behaviour, Reply | Fail) for behaviour in behaviours):
            behaviours.append(Reply(text=text or DEFAULT_TEXT, times=times))
        self._server.state.scenarios.add(*behaviours)
        return self

    def pace(self, chunk_delay_ms: int) -> "ModelServer":
        """Set the time between chunks, until `reset`."""
        self._server.state.stream_chaos = StreamChaos(chunk_delay_ms=chunk_delay_ms)
        return self

    def requests(self) -> list[RequestRecord]:
        """Return what was asked, in order: `.body`, `.status`, `.completed`, `.chunks_sent`, `.sdk_retry_count`, ….

        Waits up to two seconds for requests that are still being answered; a client that has gone shows as
        `completed=False` with the chunks that it took.
        """
        return list(self._server.state.journal.records(wait=2.0))

    def in_flight(self) -> int:
        """Return the number of requests in progress."""
        return int(self._server.state.journal.in_flight)

    def headers(self) -> list[dict[str, str]]:
        """Return the headers of each request in order, names in lower case."""
        with self._lock:
            return list(self._headers)

    def _record(self, headers: dict[str, str]) -> None:
        with self._lock:
            self._headers.append(headers)


class _HeaderRecorder:
    """ASGI middleware: llmock's own journal keeps bodies, not headers."""

    def __init__(self, app: Any, record: Any) -> None:
        self._app, self._record = app, record

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/_llmock"):
            self._record({name.decode().lower(): value.decode() for name, value in scope["headers"]})
        await self._app(scope, receive, send)


@pytest.fixture(scope="session")
def _model_server() -> Iterator[ModelServer]:
    server = ModelServer().start()
    yield server
    server.stop()


@pytest.fixture
def model_server(_model_server: ModelServer) -> Iterator[ModelServer]:
    """A clean model server. In a conftest: `from tests.model_server import _model_server, model_server`."""
    _model_server.reset()
    yield _model_server
    _model_server.reset()
