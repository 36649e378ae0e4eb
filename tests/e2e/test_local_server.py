"""`bot serve --local`: needs only Python, and conversations survive a restart."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.bot_server import Api, BotServer, environment, run_bot
from tests.processes import lives, wait_until


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An environment with only a model URL, so that no embedded model is started."""
    return environment(tmp_path / "data", OPENAI_BASE_URL="http://127.0.0.1:9/v1")


def key_of(server: BotServer) -> str:
    """Return the key that the server has printed."""
    found = re.search(r"API key +(tt_\S+)", server.until("bot chat"))
    assert found
    return found[1]


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(each) for each in listed.split()]


def interrupt(server: BotServer) -> None:
    """Press Ctrl-C, and wait until all of the server's processes have ended."""
    started = children(server.process.pid)
    assert len(started) == 2, "a worker and the engine"
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.wait() == 0
    wait_until(lambda: not any(lives(pid) for pid in started))


def test_messages_survive_a_restart(env: dict[str, str], tmp_path: Path) -> None:
    with BotServer("--local", env=env, log=tmp_path / "log") as server:
        key = key_of(server)
        with Api(server.url, key) as api:
            agent = api.make("/agents", name="Ada", provider="echo")
            conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'], title='Talk')['id']}"
            for number in range(3):
                api.make(f"{conversation}/messages", content=f"Thing {number}")
            with api.stream(f"{conversation}/messages", content="Thing 3") as stream:
                assert [event.name for event in stream][-1] == "turn.completed"
            said = api.get(conversation)
        assert said["message_count"] == 8

        again = run_bot("serve", "--local", "--port", "0", env=env)
        assert (again.status, again.out) == (1, "")
        assert again.err.startswith("Error: ")
        assert again.err.count("\n") == 1
        with Api(server.url, key) as api:
            assert api.get(conversation) == said, "the first server goes on"
        interrupt(server)

    with BotServer("--local", env=env, log=tmp_path / "log") as server:
        assert key_of(server) == key
        with Api(server.url, key) as api:
            assert api.get(conversation) == said
            contents = [each["content"] for each in api.get(f"{conversation}/messages")["data"]]
            assert contents == [text for n in range(4) for text in (f"Thing {n}", f"You said: Thing {n}")]
            api.make(f"{conversation}/messages", content="And on.")
        chatted = run_bot("chat", "--conversation", conversation.rpartition("/")[2], "Hello", env=env)
        assert chatted.out == "You said: Hello\n", "it finds the server and the key by itself"
        interrupt(server)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_nothing_comes_before_the_banner(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with BotServer("--local", env=env, log=log) as server:
        assert server.until("Turntable is running").lstrip().startswith("Turntable is running")
        assert log.read_text() == ""
        with Api(server.url, key_of(server)) as api:
            actions = [each["action"] for each in api.get("/audit")["data"]]
            assert "key.created" in actions, "the trail has it"
            api.make("/api-keys")
        interrupt(server)
    assert log.read_text().count("action=key.created") == 1, "and the log has those that follow"


def test_the_files_are_readable_only_by_their_owner(env: dict[str, str], tmp_path: Path) -> None:
    with BotServer("--local", env=env, log=tmp_path / "log") as server:
        key_of(server)
        data = tmp_path / "data"
        assert data.stat().st_mode & 0o077 == 0
        for name in ("local.json", "secret.key"):
            assert (data / name).stat().st_mode & 0o077 == 0, name
        interrupt(server)
