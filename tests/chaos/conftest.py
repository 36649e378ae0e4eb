"""Two server processes on one table, a model that answers at a set pace, and one user who calls both."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.chaos.run import LONG, chaos
from tests.chaos.talk import LEASE, Talk
from tests.e2e.bot_server import COMMAND, Api, BotServer, environment
from tests.factories import make_user
from tests.model_server import ModelServer, _model_server, model_server
from tests.one_table import _at_the_table, table

__all__ = ["_at_the_table", "_model_server", "chaos", "model_server", "table"]

LAUNCH = (*COMMAND[:-2], str(Path(__file__).with_name("launch.py")))
StartServer = Callable[..., BotServer]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # A generous timeout for a test that hangs; no test asserts how long it takes.
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(4 * 3600 if LONG else 600))


@pytest.fixture(scope="session")
def start_server(
    table: TableSettings, _model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., BotServer]:
    """Start a server on the table, through `endpoint` instead of the engine if given; the caller stops it."""

    def start(name: str, endpoint: str | None = None, **variables: str) -> BotServer:
        folder = tmp_path_factory.mktemp(name)
        env = environment(
            folder / "data",
            table,
            **{
                "OPENAI_BASE_URL": _model_server.base_url,
                "OPENAI_API_KEY": "sk-test-0123456789abcdef",
                "BOT_SECRET_KEY": "the-same-on-all-hosts-0123456789abcdef",
                "BOT_PROVIDER_RETRIES": "0",
                "BOT_LEASE_SECONDS": str(LEASE),
                **({"AWS_ENDPOINT_URL_DYNAMODB": endpoint} if endpoint else {}),
                **variables,
            },
        )
        return BotServer(env=env, log=folder / "log", command=LAUNCH)

    return start


@pytest.fixture(scope="session")
def _servers(start_server: StartServer) -> Iterator[tuple[BotServer, BotServer]]:
    with start_server("first") as first, start_server("second") as second:
        yield first, second


@contextmanager
def talking(*servers: BotServer) -> Iterator[tuple[Talk, ...]]:
    """Give each server's API, all for the same new user."""
    key, _ = issue_key(make_user())
    apis = [Api(server.url, key) for server in servers]
    try:
        yield tuple(map(Talk, apis))
    finally:
        for api in apis:
            api.http.close()


@pytest.fixture
def both(_servers: tuple[BotServer, BotServer]) -> Iterator[tuple[Talk, Talk]]:
    """The same new user, calling two processes."""
    with talking(*_servers) as (first, second):
        yield first, second
