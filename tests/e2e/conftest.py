"""Server processes for many tests, with llmock as their agents' model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import make_user
from tests.model_server import ModelServer, _model_server, model_server
from tests.one_table import _at_the_table, table

__all__ = ["_at_the_table", "_model_server", "model_server", "table"]

# How long the provider may be silent, in seconds: long enough for a busy machine, short enough to wait for.
PATIENCE = 4
# How long a worker of `another` process holds its conversations after its death, in seconds.
LEASE = 2


@pytest.fixture(scope="session")
def server(
    table: TableSettings, _model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[BotServer]:
    """A server on a real engine, whose `openai` agents use llmock; provider calls are not retried."""
    folder = tmp_path_factory.mktemp("server")
    env = environment(
        folder / "data",
        table,
        OPENAI_BASE_URL=_model_server.base_url,
        OPENAI_API_KEY="sk-test-0123456789abcdef",
        BOT_PROVIDER_TIMEOUT=str(PATIENCE),
        BOT_PROVIDER_RETRIES="0",
        BOT_ALLOW_PRIVATE_BASE_URLS="true",
    )
    with BotServer(env=env, log=folder / "log") as running:
        yield running


@pytest.fixture
def api(server: BotServer) -> Iterator[Api]:
    """The API for a new user."""
    key, _ = issue_key(make_user())
    with Api(server.url, key) as client:
        yield client


@pytest.fixture(scope="session")
def another(table: TableSettings, _model_server: ModelServer) -> Callable[[Path], BotServer]:
    """Start another process on the same table, with its files in a folder; the caller stops it."""

    def start(folder: Path) -> BotServer:
        env = environment(
            folder / "data",
            table,
            OPENAI_BASE_URL=_model_server.base_url,
            OPENAI_API_KEY="sk-test-0123456789abcdef",
            BOT_PROVIDER_RETRIES="0",
            BOT_LEASE_SECONDS=str(LEASE),
        )
        return BotServer(env=env, log=folder / "log")

    return start


@pytest.fixture(scope="session")
def second(another: Callable[[Path], BotServer], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BotServer]:
    """Another process on the same table."""
    with another(tmp_path_factory.mktemp("second")) as running:
        yield running


@pytest.fixture
def elsewhere(api: Api, second: BotServer) -> Iterator[Api]:
    """The same caller, at the other process."""
    with Api(second.url) as client:
        client.http.headers["Authorization"] = api.http.headers["Authorization"]
        yield client


@pytest.fixture
def conversation(api: Api, model_server: ModelServer) -> str:
    """The path of a new conversation with an agent that uses llmock."""
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test")
    return f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a server's standard error goes."""
    return tmp_path / "log"
