"""Calls of access patterns are identified: for observers, in the logs, and on the command line."""

import logging

import pytest
from click.testing import CliRunner

from bot.cli import cli
from models.access_patterns import AccessPatternFilter, Call, observe, patterns
from models.access_patterns.declare import running
from models.access_patterns.users import get_user
from models.table.connection import configure, settings
from models.table.errors import ItemNotFound
from tests.factories import make_user


@pytest.fixture
def user_id(table: object) -> str:
    return str(make_user().user_id)


def test_observers_see_each_call_with_its_time_and_its_error(user_id: str) -> None:
    seen: list[Call] = []
    stop = observe(seen.append)
    try:
        get_user(user_id)
        with pytest.raises(ItemNotFound):
            get_user("usr_nobody")
    finally:
        stop()
    get_user(user_id)
    assert [call.pattern.id for call in seen] == ["AP-02", "AP-02"]
    assert all(call.seconds > 0 for call in seen)
    assert seen[0].error is None
    assert isinstance(seen[1].error, ItemNotFound)
    assert running.get() is None


def test_each_log_record_names_the_pattern_that_runs(user_id: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.handler.addFilter(AccessPatternFilter())
    for name in ("", "botocore", "models.access", "bot"):
        caplog.set_level(logging.DEBUG, name)
    get_user(user_id)
    logging.getLogger("bot").info("outside")
    named = {record.name: record.access_pattern for record in caplog.records if hasattr(record, "access_pattern")}
    assert named["models.access"] == "AP-02"
    assert named["bot"] == ""
    # Log records of the client during the call name the pattern too.
    assert any(name.startswith("botocore") and pattern == "AP-02" for name, pattern in named.items())


def test_the_command_lists_every_pattern() -> None:
    result = CliRunner().invoke(cli, ["patterns", "list"])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == [pattern.id for pattern in patterns()]


@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: pattern.id)
def test_the_command_shows_each_pattern(pattern: object) -> None:
    result = CliRunner().invoke(cli, ["patterns", "show", pattern.id.lower()])
    assert result.exit_code == 0
    for text in (pattern.id, pattern.title, pattern.question, pattern.budget.basis, *pattern.routes):
        assert text in result.stdout


def test_the_command_rejects_an_unknown_pattern() -> None:
    result = CliRunner().invoke(cli, ["patterns", "show", "AP-00"])
    assert result.exit_code == 2
    assert "There is no AP-00" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--messages", "many"], "must be comma-separated numbers"),
        (["--messages", "1"], "must be at least 10"),
        (["--messages", "10", "--save", "."], "needs --messages 10,100,1000,10000"),
    ],
)
def test_the_command_rejects_invalid_options(arguments: list[str], complaint: str) -> None:
    before = settings()
    try:
        result = CliRunner().invoke(cli, ["patterns", "measure", *arguments])
    finally:
        configure(before)
    assert result.exit_code == 2
    assert complaint in result.stderr
