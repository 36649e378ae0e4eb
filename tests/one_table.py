"""Fixtures for the conftest of a folder whose tests share one table, isolated by new users."""

from collections.abc import Iterator

import pytest

from models.table.connection import TableSettings, configure, settings
from tests.conftest import new_table


@pytest.fixture(scope="session")
def table(engine: str) -> Iterator[TableSettings]:
    """One table for all tests of the folder, and all processes that they start."""
    with new_table(engine) as made:
        yield made


@pytest.fixture(autouse=True)
def _at_the_table(request: pytest.FixtureRequest) -> None:
    """Point the models at it again, because tests of another folder may have pointed them elsewhere."""
    if "table" in request.fixturenames:
        table: TableSettings = request.getfixturevalue("table")
        if settings() != table:
            configure(table)
