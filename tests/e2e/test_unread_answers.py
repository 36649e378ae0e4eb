"""A client that does not read its answer is disconnected, and holds no thread."""

import socket
import sys
from pathlib import Path

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import make_user
from tests.processes import wait_until

# A second instead of a minute.
IMPATIENT = (
    sys.executable,
    "-P",
    "-c",
    "from bot import worker; worker._SEND_SILENCE = 1.0; from bot.cli import main; main()",
)


@pytest.mark.timeout(180)
def test_a_follower_that_stops_reading_gives_its_place_to_another(table: TableSettings, tmp_path: Path) -> None:
    # Half of the threads are one place.
    env = environment(tmp_path / "data", table, BOT_THREADS="3")
    key, _ = issue_key(make_user())
    with BotServer(env=env, log=tmp_path / "log", command=IMPATIENT) as server, Api(server.url, key) as api:
        agent = api.make("/agents", name="Ada", provider="echo")
        path = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"
        with socket.create_connection(("127.0.0.1", server.port)) as unread:
            unread.sendall(
                f"GET /api/v1{path}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
            )
            assert unread.recv(15) == b"HTTP/1.1 200 OK"
            assert api.call("GET", f"{path}/events").status_code == 503
            for _ in range(40):
                api.make(f"{path}/messages", content="x" * 400_000, reply=False)

            def place_is_free() -> bool:
                with api.http.stream("GET", f"{path}/events") as response:
                    return response.status_code == 200

            wait_until(place_is_free)
    assert "Traceback" not in (tmp_path / "log").read_text()
