"""`--help`: every command and every option has a description."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from bot.cli import COMMANDS, cli


def walk(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below
            yield from walk(below, *path, name)


ALL = dict(walk(cli))


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself(path: tuple[str, ...], option: str) -> None:
    said = CliRunner().invoke(cli, [*path, option])
    assert (said.exit_code, said.stderr) == (0, "")
    assert said.stdout.startswith("Usage: ")
    assert ALL[path].help, "it says what it does"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    options = [each for each in ALL[path].params if isinstance(each, click.Option)]
    assert [each.name for each in options if not each.help and not each.hidden] == []


def test_every_listed_command_exists() -> None:
    assert {path[0] for path in ALL if path} == set(COMMANDS)
    assert {("table", "create"), ("users", "create"), ("keys", "create"), ("chat",), ("serve",)} <= ALL.keys()


def test_an_unknown_command_is_named_in_the_error() -> None:
    said = CliRunner().invoke(cli, ["dance"])
    assert said.exit_code == 2
    assert "dance" in said.stderr
