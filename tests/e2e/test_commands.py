"""The `bot` command as operators and users type it: real processes, on a real engine."""

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bot.access.keys import issue_key
from bot.cli import cli
from models.access_patterns.audit import record_event
from models.access_patterns.audit_records import Actor
from models.access_patterns.conversations import create_conversation
from models.access_patterns.messages import Draft
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turns import end_turn
from models.table.connection import TableSettings, configure
from models.table.errors import ItemNotFound
from models.table.tenancy import acting_for
from tests.e2e.bot_server import Api, BotServer, environment, run_bot
from tests.factories import make_agent, make_user, new_email
from tests.model_server import ModelServer
from tests.processes import free_port


@pytest.fixture
def env(table: TableSettings, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of an operator of the table."""
    yield environment(tmp_path / "data", table)
    configure(table)  # a command that ran in this process has configured the models with its own settings


def test_from_an_empty_account_to_a_key_that_works(engine: str, tmp_path: Path) -> None:
    table = TableSettings(name=f"test-{uuid.uuid4()}", endpoint_url=engine)
    env = environment(tmp_path / "data", table)
    missing = run_bot("users", "create", "--email", "ann@example.com", env=env)
    assert (missing.status, missing.out) == (1, "")
    assert missing.err == (
        "Error: The table does not exist. Create it with `bot table create`; BOT_TABLE_NAME is its name.\n"
    )

    assert run_bot("table", "create", env=env).out == f"Created the table {table.name}.\n"
    made = run_bot("users", "create", "--email", "Ann@example.com", "--name", "Ann", "--admin", env=env)
    assert made.status == 0, made.err
    assert made.out.startswith("usr_")
    issued = run_bot("keys", "create", "--email", "ann@example.com", env=env)
    assert issued.err == ""
    key = issued.out.removesuffix("\n")
    assert key.startswith("tt_")
    assert key.split() == [key], "the key stands alone on standard output"

    with BotServer(env=env, log=tmp_path / "log") as server, Api(server.url, key) as api:
        assert api.get("/users/me")["role"] == "admin"
        assert api.get("/users/me")["id"] == made.out.strip()
    described = run_bot("table", "describe", env=env)
    assert described.out.startswith(f"{table.name}  (active")
    for said in ("PK (partition), SK (sort)", "on demand", "TTL       on expires_at", "conversations_by_user"):
        assert said in described.out


@pytest.fixture
def bot(env: dict[str, str]) -> Callable[..., str]:
    """Run a command in this process, which must succeed; return what it prints."""

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(cli, arguments, env=env, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_usage_in_the_terminal_equals_that_of_the_api(bot: Callable[..., str], server: BotServer) -> None:
    user = make_user()
    key, _ = issue_key(user)
    with Api(server.url, key) as api:
        agent = api.make("/agents", name="Ada", provider="echo")
        conversation = api.make("/conversations", agent_id=agent["id"])["id"]
        for _ in range(2):
            api.make(f"/conversations/{conversation}/messages", content="Hello")
        found = api.get("/usage")
    assert found["turns"] == 2
    for who in (user.email, user.user_id):
        assert json.loads(bot("usage", who, "--json")) == found
    lines = bot("usage", user.email, "--month", found["since"][:7]).splitlines()
    numbers = [str(found[name]) for name in ("turns", "input_tokens", "output_tokens")]
    assert lines[0].startswith(f"{found['since']} to ")
    assert lines[1].split() == ["day", "agent", "model", "turns", "input", "tokens", "output", "tokens"]
    assert lines[2].split() == [found["data"][0]["day"], agent["id"], "echo", *numbers]
    assert lines[3].split() == ["total", *numbers]
    assert len({len(line) for line in lines[1:]}) == 1, "the numbers stand below each other"
    assert bot("usage", user.email, "--month", "2024-02").startswith("2024-02-01 to 2024-02-29 (UTC)\n")


def test_roles_from_the_operators_side(bot: Callable[..., str], server: BotServer) -> None:
    user = make_user()
    said = [bot("users", "role", "--email", user.email, role) for role in ("admin", "admin")]
    assert said == [f"{user.user_id} is now admin.\n", f"{user.user_id} is already admin.\n"]
    key = bot("keys", "create", "--email", user.email).strip()
    with Api(server.url, key) as api:
        assert api.call("GET", "/users").status_code == 200
        bot("users", "role", "--email", user.email, "user")
        assert api.call("GET", "/users").status_code == 403, "at once, and in another process"
    trail = bot("audit", "--email", user.email)
    assert trail.count("role.changed  operator") == 2


def test_without_credentials_the_error_says_what_to_do(tmp_path: Path) -> None:
    nowhere = {name: str(tmp_path / "none") for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
    env = environment(tmp_path / "data", AWS_EC2_METADATA_DISABLED="true", **nowhere)
    done = run_bot("usage", "ann@example.com", env=env)
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        "Error: No AWS credentials were found. Set them as for any AWS program, or add --local for the table of "
        "`bot serve --local`.\n"
    )


def test_usage_of_an_unknown_user(bot: Callable[..., str]) -> None:
    for nobody in (new_email(), "usr_none"):
        with pytest.raises(ItemNotFound):
            bot("usage", nobody)


def test_limits_from_the_operators_side(bot: Callable[..., str], env: dict[str, str]) -> None:
    email = make_user().email

    def limits(*changes: str) -> dict[str, Any]:
        return json.loads(bot("users", "limits", "--email", email, *changes))  # type: ignore[no-any-return]

    assert limits()["own"] == []
    changed = limits("--set", "tokens_per_day=1000", "--set", "turns_at_once=0")
    assert (changed["own"], changed["tokens_per_day"]["limit"]) == (["tokens_per_day", "turns_at_once"], 1000)
    assert limits("--set", "turns_at_once=none")["own"] == ["tokens_per_day"]
    for wrong in ("tokens_per_day=-1", "tokens_per_day=many", "tokens_per_day", "shoe_size=43"):
        refused = CliRunner().invoke(cli, ["users", "limits", "--email", email, "--set", wrong], env=env)
        assert refused.exit_code == 2
        assert wrong.partition("=")[0] in refused.stderr
    assert limits()["own"] == ["tokens_per_day"]
    assert bot("audit", "--email", email).count("limits.changed") == 2


def test_users_and_keys_from_the_operators_side(
    bot: Callable[..., str], env: dict[str, str], server: BotServer
) -> None:
    email = new_email()
    user_id = bot("users", "create", "--email", email).strip()
    taken = run_bot("users", "create", "--email", email.upper(), env=env)
    assert (taken.status, taken.out) == (1, "")
    assert taken.err == (
        f"Error: Another user has the email {email}. Choose another email; `bot users list` shows who has it.\n"
    )
    key = bot("keys", "create", "--email", email, "--name", "laptop", "--days", "1").strip()

    listed = bot("keys", "list", "--email", email)
    assert f"…{key[-4:]}" in listed
    assert "laptop" in listed
    assert key not in listed
    assert f"{user_id}  {email}  user" in bot("users", "list")

    with Api(server.url, key) as api:
        assert api.get("/users/me")["id"] == user_id
        bot("keys", "revoke", "--email", email, listed.split()[0])
        assert api.call("GET", "/users/me").status_code == 401
    assert bot("users", "delete", "--email", email, "--yes") == f"Deleted {user_id}.\n"
    gone = run_bot("keys", "create", "--email", email, env=env)
    assert (gone.status, gone.out, gone.err) == (1, "", "Error: There is no such user.\n")


def test_chat_sends_one_message_and_prints_only_the_answer(
    env: dict[str, str], server: BotServer, model_server: ModelServer
) -> None:
    key, _ = issue_key(make_user())
    model_server.script("text", text="Paris, of course.")
    said = run_bot("chat", "--url", server.url, "What is", "the capital?", env={**env, "BOT_API_KEY": key})
    assert (said.status, said.out, said.err) == (0, "Paris, of course.\n", "")
    messages = model_server.requests()[0].body["messages"]
    assert messages[-1] == {"role": "user", "content": "What is the capital?"}


def test_chat_reads_what_is_piped_to_it_line_by_line_in_one_conversation(
    env: dict[str, str], server: BotServer, model_server: ModelServer
) -> None:
    key, _ = issue_key(make_user())
    for text in ("First.", "Second."):
        model_server.script("text", text=text)
    env = {**env, "BOT_API_KEY": key, "BOT_URL": server.url}
    piped = run_bot("chat", env=env, given="Hello\n\nAgain\n/quit\nunheard\n")
    assert (piped.status, piped.out) == (0, "First.\nSecond.\n")
    told = [
        message["content"] for message in model_server.requests()[-1].body["messages"] if message["role"] != "system"
    ]
    assert told == ["Hello", "First.", "Again"]


def test_chat_prints_no_control_sequence(env: dict[str, str], server: BotServer, model_server: ModelServer) -> None:
    key, _ = issue_key(make_user())
    model_server.script("text", text="\x1b]0;mine\x07 \x1b[2J\x9b31m red\t\u202eesrever \x85 \u2028 \x7f\r\nNext.")
    said = run_bot("chat", "--url", server.url, "Hello", env={**env, "BOT_API_KEY": key})
    assert said.out == (
        "\\u001b]0;mine\\u0007 \\u001b[2J\\u009b31m red\t\\u202eesrever \\u0085 \\u2028 \\u007f\nNext.\n"
    )
    assert (said.status, said.err) == (0, "")


HARMFUL = "\x1b[31m\x9b2J\u202e\r\n\tA"
SHOWN = "\\u001b[31m\\u009b2J\\u202e\\u000d\\u000a\\u0009A"


def test_no_listing_prints_stored_control_sequences(bot: Callable[..., str]) -> None:
    user = make_user(name=HARMFUL)
    agent = make_agent(user, name=HARMFUL, model=HARMFUL)
    bot("keys", "create", "--email", user.email, "--name", HARMFUL)
    whose = acting_for(user.user_id)
    record_event(whose, "agent.published", agent.agent_id, actor=Actor("operator", address=HARMFUL))
    conversation = create_conversation(whose, agent.agent_id)
    said = [Draft("user", "Hello")]
    begun = begin_turn(whose, conversation.conversation_id, lambda _: said, window=20, lease=timedelta(minutes=1))
    end_turn(begun.lease, "completed", [Draft("agent", "Hello")], {"model": HARMFUL, "input_tokens": 1})
    commands = (
        ("users", "list"),
        ("keys", "list", "--email", user.email),
        ("agents", "show", agent.agent_id),
        ("audit", "--email", user.email),
        ("usage", user.email),
    )
    for command in commands:
        shown = bot(*command)
        assert SHOWN in shown, command
        assert not set(shown) & set("\x1b\x9b\u202e\r\t"), command


def test_chat_continues_a_conversation(env: dict[str, str], server: BotServer) -> None:
    key, _ = issue_key(make_user())
    with Api(server.url, key) as api:
        agent = api.make("/agents", name="Ada", provider="echo")
        conversation_id = api.make("/conversations", agent_id=agent["id"])["id"]
        env = {**env, "BOT_API_KEY": key, "BOT_URL": server.url}
        said = run_bot("chat", "--conversation", conversation_id, "Hello", env=env)
        assert said.out == "You said: Hello\n"
        assert api.get(f"/conversations/{conversation_id}")["message_count"] == 2


def test_chat_reports_a_failure_in_one_line(env: dict[str, str], server: BotServer, model_server: ModelServer) -> None:
    key, _ = issue_key(make_user())
    env = {**env, "BOT_URL": server.url}
    wrong = run_bot("chat", "Hello", env={**env, "BOT_API_KEY": "tt_wrong"})
    assert (wrong.status, wrong.out) == (1, "")
    assert wrong.err == "Error: This API key is not valid. (unauthenticated)\n"
    model_server.script("error", status=500, message="The server is on fire")
    failed = run_bot("chat", "Hello", env={**env, "BOT_API_KEY": key})
    assert failed.status == 1
    assert "The server is on fire" in failed.err
    assert "Traceback" not in failed.err
    nowhere = run_bot("chat", "Hello", env={**env, "BOT_API_KEY": key, "BOT_URL": f"http://127.0.0.1:{free_port()}"})
    assert (nowhere.status, nowhere.err.count("\n")) == (1, 1)
    assert "Is the server running?" in nowhere.err
    keyless = run_bot("chat", "Hello", env=env)
    assert keyless.status == 2
    assert "BOT_API_KEY" in keyless.err


@pytest.mark.parametrize(
    ("command", "variables", "said"),
    [
        ("table describe", {"BOT_TABLE_NAME": "a b"}, "BOT_TABLE_NAME"),
        ("chat Hello", {"BOT_SECRET_KEY": "short"}, "BOT_SECRET_KEY"),
        ("serve", {"PORT": "many"}, "PORT"),
        ("serve --port 0", {"OPENAI_BASE_URL": "ftp://nowhere"}, "OPENAI_BASE_URL"),
        ("serve --port 0", {"BOT_DATA_DIR": "/dev/null/data"}, "/dev/null"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    env: dict[str, str], command: str, variables: dict[str, str], said: str
) -> None:
    refused = run_bot(*command.split(), env={**env, **variables})
    assert refused.status in (1, 2)
    assert refused.out == ""
    assert refused.err.startswith("Error: ")
    assert refused.err.count("\n") == 1
    assert said in refused.err


def test_a_port_that_is_taken_is_one_line(env: dict[str, str], server: BotServer) -> None:
    refused = run_bot("serve", "--port", str(server.port), env=env)
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert f"127.0.0.1:{server.port}" in refused.err


def test_port_0_is_any_free_port_and_the_address_that_is_printed_answers(server: BotServer) -> None:
    assert server.port > 0
    with Api(server.url) as api:
        assert api.http.get(f"{server.url}/healthz").json()["status"] == "ok"
        assert api.http.get(f"{server.url}/readyz").json()["status"] == "ok"
