"""Share links through a real server: opened without a credential, and their tokens are in no log."""

from pathlib import Path

import httpx2
import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import make_user


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_is_in_no_log_whatever_is_done_with_it(table: TableSettings, tmp_path: Path, form: str) -> None:
    log = tmp_path / "log"
    env = environment(
        tmp_path / "data",
        table,
        BOT_SHARE_LINKS="true",
        BOT_LOG_LEVEL="DEBUG",
        BOT_LOG_FORMAT=form,
        # gunicorn's own way to ask for an access log, which would have the path, has no effect.
        GUNICORN_CMD_ARGS="--access-logfile - --log-level debug",
    )
    key = issue_key(make_user())[0]
    with BotServer(env=env, log=log) as server, Api(server.url, key) as api:
        agent = api.make("/agents", name="Ada", provider="echo")
        conversation = api.make("/conversations", agent_id=agent["id"])["id"]
        api.make(f"/conversations/{conversation}/messages", content="Hello")
        made = api.make(f"/conversations/{conversation}/links")
        token, path = made["token"], made["path"]
        with httpx2.Client(base_url=server.url, trust_env=False) as stranger:
            shown = stranger.get(path)
            assert [each["content"] for each in shown.json()["data"]] == ["Hello", "You said: Hello"]
            answers = [
                stranger.get(f"{path}x"),
                stranger.get(f"{path}/x"),
                stranger.get(path, params={"limit": "x"}),
                stranger.get(path, params={"cursor": token}),
                stranger.get(path, params={token: "x"}),
                stranger.post(path, json={}),
                stranger.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"}),
                stranger.get(f"/api/v1/{token}", headers={"X-Request-Id": "req-of-a-stranger"}),
            ]
            assert [each.status_code for each in answers] == [404, 404, 422, 400, 422, 405, 401, 404]
            api.call("DELETE", f"/conversations/{conversation}/links/{made['id']}")
            assert stranger.get(path).status_code == 404
        printed = "".join(server.said)
    written = log.read_text()
    assert "link.created" in written, "there is a log to search"
    secret = token.removeprefix("tts_")
    assert secret not in written
    assert secret not in printed + server.rest()
    assert not [each for each in answers if secret in each.text and token not in str(each.request.url.params)]


def test_it_is_off_by_default(table: TableSettings, tmp_path: Path) -> None:
    key = issue_key(make_user())[0]
    with (
        BotServer(env=environment(tmp_path / "data", table), log=tmp_path / "log") as server,
        Api(server.url, key) as api,
    ):
        agent = api.make("/agents", name="Ada", provider="echo")
        conversation = api.make("/conversations", agent_id=agent["id"])["id"]
        api.make(f"/conversations/{conversation}/messages", content="Hello")
        refused = api.call("POST", f"/conversations/{conversation}/links", {})
        assert (refused.status_code, refused.json()["code"]) == (403, "share_links_disabled")
