"""The application in this process, on a real engine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask_openapi import OpenAPI

from bot.app import create_app
from bot.erasures import Erasures
from bot.settings import Settings
from bot.turns import conversation_follower
from models.table.connection import TableSettings, configure
from tests.integration.api.caller import Caller
from tests.integration.api.scripted import LOOK, Scripted, scripted_model
from tests.one_table import _at_the_table, table

__all__ = ["_at_the_table", "table"]

SECRET = "a secret of the tests, which is long enough"


def make_app(table: TableSettings, data_dir: Path, **options: object) -> OpenAPI:
    """Return an application on a table, isolated from the environment.

    Each removal is complete when its request ends, however slow the machine, so that none runs into the next test.
    """
    given: dict[str, object] = {"secret_key": SECRET, "data_dir": data_dir, "share_links": True}
    given |= {"openai_api_key": None, "openai_base_url": None, **options}
    app = create_app(Settings(table_name=table.name, endpoint_url=table.endpoint_url, **given))  # type: ignore[arg-type]
    configure(table)
    object.__setattr__(app.extensions["bot"], "erasures", Erasures(300, within_request=100, background=False))
    return app


@contextmanager
def serving(table: TableSettings, data_dir: Path, **options: object) -> Iterator[OpenAPI]:
    """Make an application as `make_app` does, and close its clients at the end."""
    app = make_app(table, data_dir, **options)
    try:
        yield app
    finally:
        app.extensions["bot"].providers.close()


@pytest.fixture(scope="session")
def app(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAPI]:
    with serving(table, tmp_path_factory.mktemp("data")) as made:
        yield made


@pytest.fixture
def new_caller(app: OpenAPI) -> Callable[..., Caller]:
    """Make a caller with a new user."""
    return lambda **profile: Caller(app, **profile)


@pytest.fixture
def ann(app: OpenAPI) -> Caller:
    """A user."""
    return Caller(app)


@pytest.fixture
def bob(app: OpenAPI) -> Caller:
    """Another user, whose data Ann must not see."""
    return Caller(app)


@pytest.fixture
def admin(app: OpenAPI) -> Caller:
    """An administrator."""
    return Caller(app, role="admin")


@pytest.fixture
def model(app: OpenAPI, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The model of all `openai` agents."""
    return scripted_model(app, monkeypatch)


@pytest.fixture
def conversation(ann: Caller, model: Scripted) -> str:
    """The path of a new conversation of Ann's, whose agent asks `model`."""
    return f"/conversations/{ann.conversation(ann.agent(provider='openai', model='gpt-test', functions=LOOK))}"


@pytest.fixture
def streams_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams without an end of their own end after what they can say at once, as when the server stops."""
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(conversation_follower, "stopping", stopped)
