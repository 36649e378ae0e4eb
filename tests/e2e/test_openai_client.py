"""The official `openai` client against a whole server process, with llmock as the model."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from tests.e2e.bot_server import Api, BotServer
from tests.e2e.conftest import PATIENCE
from tests.model_server import DEFAULT_TEXT, ModelServer

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {"place": {"type": "string"}}}},
}


@pytest.fixture
def key(api: Api) -> str:
    return api.http.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def client(server: BotServer, api: Api, key: str, model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """The client of a new user, who has an agent called "Travel guide"."""
    api.make("/agents", name="Travel guide", provider="openai", model="gpt-test", system_message="Be brief.")
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=key, http_client=openai.DefaultHttpxClient(trust_env=False), max_retries=0
    ) as made:
        yield made


def used(api: Api) -> dict[str, int]:
    days = api.get("/usage")["data"]
    return {name: sum(day[name] for day in days) for name in ("turns", "input_tokens", "output_tokens")}


def test_models_are_the_agents(client: openai.OpenAI) -> None:
    (model,) = client.models.list()
    assert model.id == "travel-guide"
    assert client.models.retrieve("travel-guide").created == model.created
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("gpt-4o")
    assert refused.value.code == "model_not_found"


def test_an_answer(client: openai.OpenAI, api: Api, model_server: ModelServer) -> None:
    model_server.script("text", text="Paris, of course.")
    answer = client.chat.completions.create(model="travel-guide", messages=HELLO, temperature=0.1, user="u")
    assert answer.choices[0].message.content == "Paris, of course."
    assert answer.usage is not None
    assert used(api) == {
        "turns": 1,
        "input_tokens": answer.usage.prompt_tokens,
        "output_tokens": answer.usage.completion_tokens,
    }
    (asked,) = model_server.requests()
    assert [message["role"] for message in asked.body["messages"]] == ["system", "user"]
    assert asked.body["temperature"] == 0.1
    assert "user" not in asked.body


def test_a_stream_comes_while_the_model_is_still_generating(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with client.chat.completions.create(
        model="travel-guide", messages=HELLO, stream=True, stream_options={"include_usage": True}
    ) as stream:
        first, second = next(stream), next(stream)
        assert model_server.in_flight() == 1
        chunks = [first, second, *stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == DEFAULT_TEXT
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_the_clients_own_helper_assembles_a_stream(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("tool_call", name="get_weather", arguments={"place": "Lisbon"})
    with client.chat.completions.stream(model="travel-guide", messages=HELLO, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    (call,) = final.choices[0].message.tool_calls or ()
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"place": "Lisbon"})


def test_a_function_is_called_and_its_result_is_answered(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("tool_call", name="get_weather", arguments={"place": "Lisbon"}).script("text", text="Sunny.")
    messages = list(HELLO)
    asked: dict[str, Any] = {"model": "travel-guide", "messages": messages, "tools": [WEATHER]}
    first = client.chat.completions.create(**asked).choices[0]
    assert first.finish_reason == "tool_calls"
    (call,) = first.message.tool_calls or ()
    messages.append(first.message)  # type: ignore[arg-type]
    messages.append({"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'})
    assert client.chat.completions.create(**asked).choices[0].message.content == "Sunny."
    sent = model_server.requests()[-1].body["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "tool"]
    assert sent[2]["tool_calls"][0]["id"] == sent[3]["tool_call_id"]


class City(BaseModel):
    """The form of an answer."""

    name: str
    people: int


def test_an_answer_is_parsed_by_a_schema(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("text", text='{"name": "Lisbon", "people": 550000}')
    parsed = client.chat.completions.parse(model="travel-guide", messages=HELLO, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Lisbon", people=550_000)
    form = model_server.requests()[0].body["response_format"]
    assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "City")


def test_each_error_is_the_clients_own(client: openai.OpenAI, key: str, api: Api, model_server: ModelServer) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-4o", messages=HELLO)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.request_id
    with pytest.raises(openai.BadRequestError) as unsupported:
        create(model="travel-guide", messages=HELLO, n=2)
    assert (unsupported.value.code, unsupported.value.param) == ("unsupported_parameter", "n")
    with pytest.raises(openai.BadRequestError) as unknown:
        create(model="travel-guide", messages=HELLO, extra_body={"surprise": 1})
    assert (unknown.value.code, unknown.value.param) == ("unknown_parameter", "surprise")
    with pytest.raises(openai.AuthenticationError) as nobody:
        client.with_options(api_key="tt_unknown").chat.completions.create(model="travel-guide", messages=HELLO)
    assert nobody.value.code == "invalid_api_key"
    reader = api.make("/api-keys", scope="read")["key"]
    with pytest.raises(openai.PermissionDeniedError):
        client.with_options(api_key=reader).chat.completions.create(model="travel-guide", messages=HELLO)
    model_server.script("rate_limit", retry_after=1.0)
    with pytest.raises(openai.RateLimitError) as limited:
        create(model="travel-guide", messages=HELLO)
    assert limited.value.code == "provider_rate_limited"
    model_server.script("error", status=500)
    with pytest.raises(openai.InternalServerError) as failed:
        create(model="travel-guide", messages=HELLO)
    assert (failed.value.status_code, failed.value.code) == (502, "provider_error")


def test_an_answer_that_breaks_off_is_an_error_in_the_stream(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("disconnect", after_chunks=3)
    stream = client.chat.completions.create(model="travel-guide", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError) as broken:
        list(stream)
    assert broken.value.code == "provider_incomplete"


def test_the_clients_own_retry_succeeds(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("error", status=500).script("text", text="Hi!")
    answer = client.with_options(max_retries=1).chat.completions.create(model="travel-guide", messages=HELLO)
    assert answer.choices[0].message.content == "Hi!"


def test_a_repeated_key_asks_the_model_once(client: openai.OpenAI, model_server: ModelServer) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (
        client.chat.completions.create(model="travel-guide", messages=HELLO, extra_headers=headers) for _ in range(2)
    )
    assert first == again
    assert len(model_server.requests()) == 1


def until(what: Any, seconds: float = 5) -> bool:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return False


class TestAClientThatDisconnects:
    """The model is stopped within a second, whatever it was doing."""

    def test_in_the_middle_of_a_stream(self, client: openai.OpenAI, api: Api, model_server: ModelServer) -> None:
        model_server.script("text", text="word " * 100).pace(100)
        with client.chat.completions.create(model="travel-guide", messages=HELLO, stream=True) as stream:
            for _ in range(3):
                next(stream)
        assert until(lambda: model_server.in_flight() == 0)
        (asked,) = model_server.requests()
        assert not asked.completed
        assert until(lambda: used(api)["output_tokens"] > 0), "what was received is counted"
        assert used(api)["output_tokens"] < 50

    @pytest.mark.parametrize("streamed", [False, True])
    def test_while_the_model_is_silent(
        self, server: BotServer, client: openai.OpenAI, key: str, model_server: ModelServer, streamed: bool
    ) -> None:
        model_server.script("slow_start", seconds=PATIENCE - 1)
        body = json.dumps({"model": "travel-guide", "messages": HELLO, "stream": streamed})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall((head + body).encode())
            assert until(lambda: model_server.in_flight() == 1)
        assert until(lambda: model_server.in_flight() == 0, 1.5)
        (asked,) = model_server.requests()
        assert not asked.completed

    def test_the_server_serves_on(self, client: openai.OpenAI, model_server: ModelServer) -> None:
        model_server.pace(50)
        for _ in range(5):
            with client.chat.completions.create(model="travel-guide", messages=HELLO, stream=True) as stream:
                next(stream)
        model_server.pace(0)
        assert client.chat.completions.create(model="travel-guide", messages=HELLO).choices[0].message.content
