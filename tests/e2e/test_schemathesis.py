"""schemathesis with the whole OpenAPI document, against a running server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import BotServer, environment
from tests.factories import make_user
from tests.processes import ROOT

HERE = Path(__file__).parent


@pytest.mark.timeout(600)
def test_no_request_finds_a_server_error_or_an_answer_that_is_not_documented(
    table: TableSettings, tmp_path: Path
) -> None:
    key, _ = issue_key(make_user(role="admin"))
    env = environment(tmp_path / "data", table, BOT_SHARE_LINKS="true")
    with BotServer(env=env, log=tmp_path / "log") as server:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
                *("run", f"{server.url}/openapi/openapi.json", "--header", f"Authorization: Bearer {key}"),
                *("--no-color", "--phases", "coverage,fuzzing,stateful"),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks",
                "BOT_TEST_URL": server.url,
                "BOT_TEST_KEY": key,
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 0" not in done.stdout
    assert "Traceback" not in (tmp_path / "log").read_text()
