"""Streams and the process: a busy conversation, a client that disconnects, a server that is stopped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from tests.e2e.bot_server import Api, BotServer, environment
from tests.factories import make_user
from tests.model_server import DEFAULT_TEXT, ModelServer
from tests.processes import lives, wait_until


def conversation_of(api: Api) -> str:
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test")
    return f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"


def test_a_busy_conversation_says_when_to_retry_and_others_are_not_busy(
    api: Api, conversation: str, model_server: ModelServer
) -> None:
    other = conversation_of(api)
    model_server.script("text", text="One two three four five six seven eight nine ten eleven twelve.").pace(300)
    with api.stream(f"{conversation}/messages", content="Take your time.") as stream:
        started = stream.next()
        for path, body in (("messages", {"content": "Me too"}), ("turns", {"stream": True})):
            answer = api.call("POST", f"{conversation}/{path}", body)
            assert (answer.status_code, answer.json()["code"]) == (409, "conversation_busy")
            assert 1 <= int(answer.headers["retry-after"]) <= 5
        assert api.get(conversation)["active_turn_id"] == started.data["turn_id"]
        assert api.make(f"{other}/messages", content="Hello")["turn"]["status"] == "completed"
        *_, completed = stream
    assert completed.name == "turn.completed"
    assert api.get(conversation)["message_count"] == 2, "what was refused was not stored"
    model_server.pace(0)
    assert api.make(f"{conversation}/messages", content="Now me")["turn"]["status"] == "completed"


def ended(api: Api, turn_id: str) -> Any:
    """Poll a turn's record until it has ended, and return it."""
    wait_until(lambda: api.get(f"/turns/{turn_id}")["status"] != "running")
    return api.get(f"/turns/{turn_id}")


def test_a_disconnected_client_does_not_stop_the_turn(api: Api, conversation: str, model_server: ModelServer) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        started, _ = stream.next(), stream.next()
        stream.close()
    assert ended(api, started.data["turn_id"])["status"] == "completed"
    assert [each["content"] for each in api.get(conversation)["messages"]] == ["Count.", DEFAULT_TEXT]
    assert all(request.completed for request in model_server.requests()), "the model was heard to its end"


def test_a_client_disconnected_before_the_first_word_does_not_stop_the_turn(
    api: Api, conversation: str, model_server: ModelServer
) -> None:
    model_server.script("slow_start", seconds=1.0)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        started = stream.next()
        stream.close()
    assert ended(api, started.data["turn_id"])["status"] == "completed"
    assert api.get(conversation)["messages"][1]["content"] == DEFAULT_TEXT


@pytest.fixture
def own_server(table: TableSettings, tmp_path: Path, model_server: ModelServer) -> Iterator[BotServer]:
    """A server for one test, which may stop it."""
    env = environment(tmp_path / "data", table, OPENAI_BASE_URL=model_server.base_url, BOT_GRACEFUL_TIMEOUT="30")
    with BotServer(env=env, log=tmp_path / "log") as running:
        yield running


@pytest.fixture
def own_api(own_server: BotServer) -> Iterator[Api]:
    key, _ = issue_key(make_user())
    with Api(own_server.url, key) as client:
        yield client


def test_a_server_that_is_stopped_lets_its_streams_end(
    own_server: BotServer, own_api: Api, server: BotServer, model_server: ModelServer
) -> None:
    conversation = conversation_of(own_api)
    model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with own_api.stream(f"{conversation}/messages", content="Count.") as stream:
        started, _ = stream.next(), stream.next()
        own_server.process.terminate()
        *_, completed = stream
    assert completed.name == "turn.completed"
    assert completed.data["output"][0]["content"] == DEFAULT_TEXT
    assert own_server.wait() == 0
    assert not lives(own_server.process.pid)
    with Api(server.url) as elsewhere:
        elsewhere.http.headers["Authorization"] = own_api.http.headers["Authorization"]
        assert elsewhere.get(f"/turns/{started.data['turn_id']}")["status"] == "completed"
        opened = elsewhere.get(conversation)
        assert opened["active_turn_id"] is None
        assert opened["messages"] == [*started.data["input"], *completed.data["output"]]
        assert elsewhere.make(f"{conversation}/messages", content="And here?")["turn"]["status"] == "completed"


def test_a_server_that_is_stopped_also_lets_turns_without_clients_end(
    own_server: BotServer, own_api: Api, server: BotServer, model_server: ModelServer
) -> None:
    conversation = conversation_of(own_api)
    model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with own_api.stream(f"{conversation}/messages", content="Count.") as stream:
        started = stream.next()
        stream.close()
    own_server.process.terminate()
    assert own_server.wait() == 0
    with Api(server.url) as elsewhere:
        elsewhere.http.headers["Authorization"] = own_api.http.headers["Authorization"]
        assert elsewhere.get(f"/turns/{started.data['turn_id']}")["status"] == "completed"
        assert elsewhere.get(conversation)["messages"][1]["content"] == DEFAULT_TEXT
