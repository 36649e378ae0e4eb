"""`bot table browse`: one item collection at a time, by its key, in pages, and safe for the terminal."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from models.table import connection
from models.table.connection import TableSettings
from tests.contract_watch import past_the_models
from tests.factories import make_agent, make_conversation, make_user, say

Browse = Callable[..., Result]


@pytest.fixture
def run(table: TableSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browse]:
    """Run the command on the tests' table."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", str(table.endpoint_url))
    monkeypatch.setenv("BOT_TABLE_NAME", table.name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with past_the_models():
        yield lambda *arguments: CliRunner().invoke(cli, ["table", "browse", *arguments])
    # The command has configured the models with its own settings.
    connection.configure(table)


def test_without_options_it_shows_the_users_from_their_index(run: Browse) -> None:
    user = make_user(name="Ada")

    shown = run("--limit", "1000")

    assert shown.exit_code == 0, shown.output
    assert user.email in shown.stdout
    assert f"User  USER#{user.user_id}  PROFILE" in shown.stdout


def test_a_conversation_is_shown_with_its_messages_in_order(run: Browse) -> None:
    conversation = make_conversation()
    say(conversation, "one", "two")

    lines = run("--pk", f"CONV#{conversation.conversation_id}").stdout.splitlines()

    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["Message", "Message", "Conversation"]
    assert [line.split()[-1] for line in lines if line.startswith("    content")] == ["one", "two"]


def test_newest_starts_at_the_end(run: Browse) -> None:
    conversation = make_conversation()
    say(conversation, "one", "two")

    shown = run("--pk", f"CONV#{conversation.conversation_id}", "--prefix", "MSG#", "--newest", "--limit", "1")

    assert "two" in shown.stdout
    assert "one" not in shown.stdout


def test_a_page_says_where_to_continue(run: Browse) -> None:
    conversation = make_conversation()
    say(conversation, "one", "two", "three")
    arguments = ("--pk", f"CONV#{conversation.conversation_id}", "--prefix", "MSG#", "--limit", "2")

    first = run(*arguments)
    place = first.stderr.partition("--after '")[2].partition("'")[0]
    second = run(*arguments, "--after", place)

    assert "two" in first.stdout
    assert "three" in second.stdout
    assert "--after" not in second.stderr


def test_an_email_selects_the_users_collection(run: Browse) -> None:
    user = make_user()
    agent = make_agent(user)

    shown = run("--email", user.email)

    assert f"AGENT#{agent.agent_id}" in shown.stdout


def test_an_index_can_be_looked_into(run: Browse) -> None:
    conversation = make_conversation(title="Here")

    shown = run("--index", "conversations_by_user", "--key", conversation.user_id, "--prefix", "active#")

    assert f"Conversation  CONV#{conversation.conversation_id}  THREAD" in shown.stdout
    assert "Here" in shown.stdout


def test_control_characters_are_escaped(run: Browse) -> None:
    conversation = make_conversation()
    say(conversation, "a\x1b[2Jb\nc\u202ed")

    shown = run("--pk", f"CONV#{conversation.conversation_id}", "--prefix", "MSG#")

    assert r"a\u001b[2Jb\u000ac\u202ed" in shown.stdout


def test_there_are_no_colours_without_a_terminal(run: Browse) -> None:
    make_user()

    assert "\x1b" not in run().output


def test_json_gives_items_as_they_are(run: Browse) -> None:
    conversation = make_conversation()

    (line,) = run("--pk", f"CONV#{conversation.conversation_id}", "--json").stdout.splitlines()

    assert json.loads(line)["SK"] == {"S": "THREAD"}


def test_a_long_value_is_truncated_by_default(run: Browse) -> None:
    conversation = make_conversation()
    say(conversation, "x" * 500)
    arguments = ("--pk", f"CONV#{conversation.conversation_id}", "--prefix", "MSG#")

    assert "(500 characters)" in run(*arguments).stdout
    assert "x" * 500 in run(*arguments, "--full").stdout


def test_a_page_is_one_query_and_never_a_scan(run: Browse, monkeypatch: pytest.MonkeyPatch) -> None:
    conversation = make_conversation()
    module, sent = import_module("bot.cli.browse"), list[str]()

    def watched() -> Any:
        client = connection.client()
        client.meta.events.register("before-call.dynamodb", lambda model, **_: sent.append(model.name))
        return client

    monkeypatch.setattr(module, "client", watched)
    shown = run("--pk", f"CONV#{conversation.conversation_id}")

    assert sent == ["Query"]
    assert "1 items, 1 read units" in shown.stderr


@pytest.mark.parametrize("arguments", [("--pk", "A", "--email", "b"), ("--key", "x"), ("--after", "no place")])
def test_options_that_contradict_each_other_are_refused(run: Browse, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
