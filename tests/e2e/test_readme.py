"""The README: what it tells a newcomer to type has the results that it shows."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from models.table import connection
from models.table.connection import TableSettings
from tests.e2e.bot_server import BotServer, environment
from tests.factories import new_email
from tests.processes import ROOT

README = (ROOT / "README.md").read_text()


def block(language: str, with_text: str) -> str:
    """Return the one code block of the README in `language` that holds `with_text`."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [each for each in blocks if with_text in each]
    return str(found)


def in_bash(script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not find_spec("xllamacpp"), reason="there is no wheel of the embedded model for this platform")
@pytest.mark.timeout(400)
def test_the_curl_session_gives_real_answers_and_reads_back_whole_after_a_restart(tmp_path: Path) -> None:
    env = environment(tmp_path / "data")
    with BotServer("--local", env=env, log=tmp_path / "log") as server:
        key = json.loads((tmp_path / "data" / "local.json").read_text())["api_key"]
        session = block("bash", "AGENT=$(api")
        session = session.replace("http://127.0.0.1:8000", server.url).replace("tt_...", key)
        assert key in session
        # The marks separate the outputs of the commands.
        lines = [
            line.replace("api ", "echo; echo ===; api ", 1) if line.startswith("api /") else line
            for line in session.splitlines()
        ]
        first, second, streamed, read_back = in_bash("\n".join([*lines, "echo; echo $CONVERSATION"])).split("===\n")[1:]
        conversation = read_back.strip().splitlines()[-1]

    assert [json.loads(each)["turn"]["status"] for each in (first, second)] == ["completed", "completed"]
    assert "Paris" in json.loads(first)["output"][0]["content"]
    assert re.findall(r"^event: (\S+)$", streamed, flags=re.MULTILINE)[-1] == "turn.completed"
    said = json.loads(read_back.strip().splitlines()[0])
    assert [each["sender"] for each in said["data"]] == ["user", "agent"] * 3
    assert said["next_cursor"] is None

    with BotServer("--local", env=env, log=tmp_path / "log") as server:
        again = json.loads(
            in_bash(
                f"curl -sS -H 'Authorization: Bearer {key}' {server.url}/api/v1/conversations/{conversation}/messages"
            )
        )
    assert again == said


def test_the_models_are_used_as_the_readme_shows(table: TableSettings) -> None:
    code = block("python", "create_conversation(").replace("ann@example.com", new_email())
    code, replaced = re.subn(r"TableSettings\(\n.*?\n    \)", "SETTINGS", code, flags=re.DOTALL)
    assert replaced == 1
    names: dict[str, Any] = {"SETTINGS": table}
    try:
        exec(code, names)
    finally:
        connection.configure(table)
    assert [message.content for message in names["opened"].messages] == ["Hello", "Hello, Ann."]
    assert names["opened"].conversation.title == "Capitals"


@pytest.mark.parametrize("owner", ["acting_for(user.user_id)", "user.user_id"])
def test_mypy_accepts_the_readme_and_no_string_as_a_user_id(tmp_path: Path, owner: str) -> None:
    code = block("python", "create_conversation(").replace("acting_for(user.user_id)", owner)
    sample = tmp_path / "sample.py"
    sample.write_text(code)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(sample)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if owner == "user.user_id":
        assert checked.stdout.count('has incompatible type "str"; expected "UserId"') == 4, checked.stdout
    else:
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_file_that_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_make_help_knows_the_targets_that_the_readme_names() -> None:
    helped = in_bash(f"make -C '{ROOT}' help")
    for target in set(re.findall(r"make ([a-z-]+)", README)) - {"help"}:
        assert f"make {target} " in helped, target
