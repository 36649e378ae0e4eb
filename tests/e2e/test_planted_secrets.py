"""Plants secrets, runs a whole session with them, and searches for them everywhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings, client
from tests.contract_watch import past_the_models
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import make_user
from tests.model_server import ModelServer

DEPLOYMENT_KEY = "sk-deployment-PLANTED0123456789abcdef"
OWN_KEY = "sk-own-PLANTED0123456789abcdef"
SECRET_KEY = "a secret of the deployment, PLANTED and long enough"
WRONG_KEY = "tt_PLANTED0123456789abcdefghijklmnopqrstuv"
MARKER = "PLANTED: the vault's code is 4711."
SAID = "PLANTED: what nobody should read in a log."


def everything_on(table: TableSettings) -> str:
    with past_the_models():
        pages: Iterator[Any] = client().get_paginator("scan").paginate(TableName=table.name)
        return "\n".join(str(page["Items"]) for page in pages)


@pytest.mark.parametrize("form", ["text", "json"])
def test_planted_secrets_are_found_nowhere(
    table: TableSettings, model_server: ModelServer, tmp_path: Path, form: str
) -> None:
    log = tmp_path / "log"
    env = environment(
        tmp_path / "data",
        table,
        OPENAI_BASE_URL=model_server.base_url,
        OPENAI_API_KEY=DEPLOYMENT_KEY,
        BOT_SECRET_KEY=SECRET_KEY,
        BOT_LOG_LEVEL="DEBUG",
        BOT_LOG_FORMAT=form,
        BOT_PROVIDER_RETRIES="0",
        BOT_PROVIDER_TIMEOUT="4",
    )
    owner, friend = make_user(), make_user()
    owners_key, friends_key = issue_key(owner)[0], issue_key(friend)[0]
    answers: list[str] = []
    with (
        BotServer(env=env, log=log) as server,
        Api(server.url, owners_key) as api,
        Api(server.url, friends_key) as other,
    ):

        def ask(caller: Api, method: str, path: str, body: Any = None, **params: Any) -> Any:
            response = caller.call(method, path, body, **params)
            answers.append(f"{response.headers}{response.text}")
            return response.json() if response.content else None

        ask(api, "PATCH", "/users/me", {"api_integration_details": {"openai": {"api_key": OWN_KEY}}})
        shown_once = ask(api, "POST", "/api-keys", {})["key"]
        answers.pop()
        agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test", system_message=MARKER)
        ask(api, "POST", f"/agents/{agent['id']}/shares", {"email": friend.email})
        answers.pop()  # its owner sees the system message
        path = f"/conversations/{ask(other, 'POST', '/conversations', {'agent_id': agent['id']})['id']}/messages"
        ask(other, "POST", path, {"content": "Hello"})
        own = api.make("/agents", name="Bea", provider="openai", model="gpt-test", credentials="own")
        mine = f"/conversations/{ask(api, 'POST', '/conversations', {'agent_id': own['id']})['id']}/messages"
        ask(api, "POST", mine, {"content": "Hello"})
        for status in (401, 400, 500):
            model_server.script("error", status=status, message=f"Incorrect API key provided: {DEPLOYMENT_KEY}.")
            ask(other, "POST", path, {"content": "And now?"})
        with other.stream(path, content=SAID) as stream:
            for _ in stream:
                pass
        # Failures: keys in unexpected places, invalid bodies, other users' ids, various errors.
        for header in (f"Bearer {WRONG_KEY}", f"Basic {WRONG_KEY}", WRONG_KEY):
            refused = other.http.get("/users/me", headers={"Authorization": header})
            answers.append(f"{refused.status_code}{refused.headers}{refused.text}")
        ask(other, "GET", "/users/me", api_key="x")
        ask(
            api,
            "PATCH",
            "/users/me",
            {"api_integration_details": {"openai": {"api_key": OWN_KEY, "base_url": "ftp://a"}}},
        )
        broken = other.http.post(
            "/agents", content=f'{{"api_key": "{OWN_KEY}"', headers={"Content-Type": "application/json"}
        )
        answers.append(broken.text)
        ask(other, "GET", f"/agents/{agent['id']}")
        ask(other, "GET", "/shared-agents")
        ask(other, "GET", "/audit")
        ask(api, "GET", "/audit")
        ask(api, "GET", "/api-keys")

    written = log.read_text()
    assert "unknown_key" in written, "there is a log to search, and it tells the refused attempts"
    stored = everything_on(table)
    keys = (DEPLOYMENT_KEY, OWN_KEY, SECRET_KEY, WRONG_KEY, shown_once, owners_key, friends_key)
    for place, text in (("log", written), ("answers", "\n".join(answers)), ("table", stored)):
        for secret in keys:
            assert secret not in text, f"{secret[:12]}… stands in the {place}"
            assert secret[3:] not in text, f"{secret[:12]}… stands in the {place} without its beginning"
    assert MARKER not in written + "\n".join(answers)
    assert SAID not in written
