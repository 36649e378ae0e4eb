"""Fixtures of all tests: a real DynamoDB engine with separate tables, and a fake clock."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import botocore.session
import hypothesis
import pytest

from bot.local.engine import EmbeddedEngine
from models import schema
from models.table import clock as models_clock
from models.table.connection import TableSettings, client, configure, settings
from tests.contract_watch import (  # noqa: F401 - fixtures that watch every test
    _contract_watch,
    building_blocks,
    contract,
    past_the_models,
)
from tests.fake_clock import FakeClock
from tests.raw import wipe
from tests.which_engine import engine_name

pytest_plugins = ["tests.engine_neutral", "tests.engines", "tests.chaos.run"]

# On a busy machine, an example may take any time.
hypothesis.settings.register_profile("turntable", deadline=None)
hypothesis.settings.load_profile("turntable")

# botocore parses its service descriptions, megabytes of JSON, for each session, and tests create hundreds of sessions.
botocore.session.create_loader = cache(botocore.session.create_loader)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a DynamoDB engine: `TEST_DYNAMODB_ENDPOINT`, or an embedded one for each xdist worker."""
    given = os.environ.get("TEST_DYNAMODB_ENDPOINT")
    if given:
        yield given
        return
    with EmbeddedEngine(tmp_path_factory.mktemp("engine")) as embedded:
        yield embedded.endpoint_url


@contextmanager
def new_table(engine: str) -> Iterator[TableSettings]:
    """Create a table with a unique name, point the items at it, and drop it at the end."""
    before = settings()
    configure(
        TableSettings(
            name=f"test-{uuid.uuid4()}",
            endpoint_url=engine,
            access_key_id="test",
            secret_access_key="test",
        )
    )
    try:
        schema.create_table()
        made = settings()
        _without_a_stream(made)
        yield made
        configure(made)  # a test may have pointed the items elsewhere
        schema.delete_table()
    finally:
        configure(before)


def _without_a_stream(table: TableSettings) -> None:
    """Disable a table's stream on an engine where it makes each write slower than the previous one.

    DynamoDB Local keeps the stream records of all tables, even deleted ones, in one SQLite table and scans them for
    each write. The tests of the stream create their own tables.
    """
    if engine_name() in ("localstack", "dynamodb-local"):
        with past_the_models():
            client().update_table(TableName=table.name, StreamSpecification={"StreamEnabled": False})


@pytest.fixture(scope="module")
def table(engine: str) -> Iterator[TableSettings]:
    """A table for the tests of a module, isolated from each other by new users and conversations."""
    with new_table(engine) as made:
        yield made


@pytest.fixture
def empty_table(table: TableSettings) -> TableSettings:
    """The module's table, emptied, for a test that reads all of it."""
    wipe()
    return table


@pytest.fixture
def fake_clock() -> Iterator[FakeClock]:
    """The data layer's clock, which only the test advances."""
    fake = FakeClock()
    before = models_clock.set_clock(fake)
    yield fake
    models_clock.set_clock(before)
