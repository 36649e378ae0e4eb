"""The official `openai` client's responses against a whole server process, with llmock as the model."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import FunctionToolParam, ResponseInputParam
from pydantic import BaseModel

from tests.e2e.bot_server import Api, BotServer
from tests.model_server import DEFAULT_TEXT, ModelServer

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    "strict": False,
}


@pytest.fixture
def client(server: BotServer, api: Api, model_server: ModelServer) -> Iterator[openai.OpenAI]:
    """The client of a new user, who has an agent called "Travel guide"."""
    api.make("/agents", name="Travel guide", provider="openai", model="gpt-test", system_message="Be brief.")
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    with openai.OpenAI(
        base_url=f"{server.url}/v1", api_key=key, http_client=openai.DefaultHttpxClient(trust_env=False), max_retries=0
    ) as made:
        yield made


def test_a_conversation_of_two_turns_that_the_client_keeps(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("text", text="Paris.").script("text", text="Rome.")
    asked: ResponseInputParam = [{"role": "user", "content": "Capital of France?"}]
    first = client.responses.create(model="travel-guide", input=asked)
    assert (first.output_text, first.status) == ("Paris.", "completed")
    asked += [*first.output, {"role": "user", "content": "And of Italy?"}]  # type: ignore[list-item]
    second = client.responses.create(model="travel-guide", input=asked, instructions="In one word.")
    assert second.output_text == "Rome."
    sent = model_server.requests()[-1].body["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[2]["content"] == "Paris."


def test_a_stream_comes_while_the_model_is_still_generating(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("text", text=DEFAULT_TEXT).pace(200)
    with client.responses.create(model="travel-guide", input="Hello", stream=True) as stream:
        events = [next(stream) for _ in range(5)]
        assert events[-1].type == "response.output_text.delta"
        assert model_server.in_flight() == 1
        events += stream
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == DEFAULT_TEXT
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == DEFAULT_TEXT


def test_the_clients_own_helper_assembles_a_stream(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("tool_call", name="get_weather", arguments={"place": "Lisbon"})
    with client.responses.stream(model="travel-guide", input="Hello", tools=[WEATHER]) as stream:
        final = stream.get_final_response()
    (call,) = (item for item in final.output if item.type == "function_call")
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"place": "Lisbon"})


def test_a_function_is_called_and_its_result_is_answered(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("tool_call", name="get_weather", arguments={"place": "Lisbon"}).script("text", text="Sunny.")
    given: list[Any] = [{"role": "user", "content": "The weather in Lisbon?"}]
    first = client.responses.create(model="travel-guide", input=given, tools=[WEATHER])
    given += first.output
    (call,) = (item for item in first.output if item.type == "function_call")
    given.append({"type": "function_call_output", "call_id": call.call_id, "output": '{"sky": "clear"}'})
    assert client.responses.create(model="travel-guide", input=given, tools=[WEATHER]).output_text == "Sunny."
    sent = model_server.requests()[-1].body["messages"]
    assert sent[2]["tool_calls"][0]["id"] == sent[3]["tool_call_id"] == call.call_id


class City(BaseModel):
    """The form of an answer."""

    name: str
    people: int


def test_an_answer_is_parsed_by_a_schema(client: openai.OpenAI, model_server: ModelServer) -> None:
    model_server.script("text", text='{"name": "Lisbon", "people": 550000}')
    parsed = client.responses.parse(model="travel-guide", input="Hello", text_format=City)
    assert parsed.output_parsed == City(name="Lisbon", people=550_000)
    assert model_server.requests()[0].body["response_format"]["json_schema"]["name"] == "City"


def test_input_tokens_are_counted(client: openai.OpenAI, model_server: ModelServer) -> None:
    counted = client.responses.input_tokens.count(model="travel-guide", input="Hello")
    assert counted.input_tokens > 0
    assert model_server.requests() == []


def test_each_error_is_the_clients_own(client: openai.OpenAI, model_server: ModelServer) -> None:
    create = client.responses.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="gpt-4o", input="Hello")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as stored:
        create(model="travel-guide", input="Hello", store=True)
    assert (stored.value.code, stored.value.param) == ("unsupported_parameter", "store")
    model_server.script("rate_limit", retry_after=1.0)
    with pytest.raises(openai.RateLimitError):
        create(model="travel-guide", input="Hello")
    model_server.script("disconnect", after_chunks=3)
    events = list(create(model="travel-guide", input="Hello", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.code == "server_error"
