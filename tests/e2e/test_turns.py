"""Turns through a whole server process, with llmock as the model: answers, failures, function calls, settings."""

import json
from typing import Any, NamedTuple

import pytest

from bot.turns.context import NO_ANSWER
from tests.e2e.bot_server import Api, BotServer
from tests.e2e.conftest import PATIENCE
from tests.model_server import DEFAULT_TEXT, ModelServer

FUNCTIONS = [
    {
        "name": "get_weather",
        "description": "The weather in a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
    {"name": "now", "parameters": {"type": "object", "properties": {}}},
]


def ask(api: Api, conversation: str, **body: Any) -> Any:
    return api.make(f"{conversation}/messages", **body)


def told(model_server: ModelServer, request: int = -1) -> list[tuple[str, Any]]:
    """Return the roles and contents of the messages in a request to the model."""
    body = model_server.requests()[request].body
    return [(message["role"], message["content"]) for message in body["messages"]]


def test_a_message_is_answered_by_the_model_and_both_are_stored(
    api: Api, conversation: str, model_server: ModelServer
) -> None:
    model_server.script("text", text="Paris, of course.")
    done = ask(api, conversation, content="What is the capital of France?")
    assert (done["turn"]["status"], done["turn"]["finish_reason"]) == ("completed", "stop")
    assert done["output"][0]["content"] == "Paris, of course."
    assert done["output"][0]["llm_response_id"]
    assert done["turn"]["usage"]["output_tokens"] > 0
    assert api.get(conversation)["messages"] == [*done["input"], *done["output"]]
    assert told(model_server) == [("user", "What is the capital of France?")]


def test_a_stream_forwards_the_answer_while_the_model_is_still_generating(
    api: Api, conversation: str, model_server: ModelServer
) -> None:
    model_server.script("text", text="One two three four five six seven eight nine ten eleven twelve.").pace(200)
    with api.stream(f"{conversation}/messages", content="Count.") as stream:
        started, first = stream.next(), stream.next()
        assert model_server.in_flight() == 1, "the model is not done, and its first words are here"
        events = [started, first, *stream]
    assert [event.id for event in events] == [str(number + 1) for number in range(len(events))]
    assert [event.data["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert [started.name, *{event.name for event in events[1:-1]}, events[-1].name] == [
        "turn.started",
        "message.delta",
        "turn.completed",
    ]
    pieces = [event.data["text"] for event in events[1:-1]]
    assert len(pieces) > 2
    assert "".join(pieces) == events[-1].data["output"][0]["content"] == api.get(conversation)["messages"][1]["content"]


def test_an_announced_turn_can_be_read_by_others_at_once(
    server: BotServer, api: Api, conversation: str, model_server: ModelServer
) -> None:
    model_server.script("slow_start", seconds=1.0)
    with Api(server.url) as other, api.stream(f"{conversation}/messages", content="Hello") as stream:
        other.http.headers["Authorization"] = api.http.headers["Authorization"]
        started = stream.next()
        opened = other.get(conversation)
        assert opened["messages"] == started.data["input"]
        assert opened["active_turn_id"] == started.data["turn_id"], "the model has said nothing yet"
        *_, completed = stream
        opened = other.get(conversation)
        assert opened["messages"][-1:] == completed.data["output"]
        assert other.get(f"/turns/{started.data['turn_id']}") == completed.data["turn"]
        assert opened["active_turn_id"] is None


class Failure(NamedTuple):
    """How the model fails, and what the caller gets."""

    scenario: str
    options: dict[str, Any]
    status: int
    code: str
    detail: str
    partial: bool = False


FAILURES = [
    Failure("rate_limit", {"retry_after": 7}, 503, "provider_rate_limited", "429"),
    Failure("error", {"status": 500, "message": "It is on fire"}, 502, "provider_error", "It is on fire"),
    Failure("error", {"status": 401, "message": "No such key"}, 502, "provider_auth_failed", "No such key"),
    Failure("error", {"status": 404, "message": "No such model"}, 502, "provider_rejected", "No such model"),
    Failure("stall", {}, 504, "provider_timeout", f"silent for {PATIENCE} seconds", partial=True),
    Failure("disconnect", {}, 502, "provider_incomplete", "cut the connection", partial=True),
    Failure("truncate", {}, 502, "provider_incomplete", "before the answer was complete", partial=True),
    Failure("malformed", {}, 502, "provider_incomplete", "not JSON", partial=True),
]


def assert_only_the_question_is_left(api: Api, conversation: str, turn: Any, failure: Failure) -> None:
    assert (turn["status"], turn["error"]["code"]) == ("failed", failure.code)
    assert failure.detail in turn["error"]["detail"]
    assert (turn["provider"], turn["model"]) == ("openai", "gpt-test")
    assert api.get(f"/turns/{turn['id']}") == turn
    if failure.partial:
        assert turn["partial_text"]
        assert DEFAULT_TEXT.startswith(turn["partial_text"])
    else:
        assert turn["partial_text"] is None
    opened = api.get(conversation)
    assert [each["content"] for each in opened["messages"]] == ["Hello"]
    assert opened["active_turn_id"] is None


def assert_the_next_turn_works(api: Api, conversation: str, model_server: ModelServer) -> None:
    model_server.reset()
    model_server.script("text", text="Here I am.")
    assert ask(api, conversation, content="Are you there?")["output"][0]["content"] == "Here I am."
    assert told(model_server) == [("user", f"Hello\n\n{NO_ANSWER}\n\nAre you there?")]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: f"{failure.scenario}-{failure.code}")
def test_a_model_that_fails_is_a_clear_problem_and_leaves_the_question(
    api: Api, conversation: str, model_server: ModelServer, failure: Failure
) -> None:
    model_server.script(failure.scenario, **failure.options)

    answer = api.call("POST", f"{conversation}/messages", {"content": "Hello"})

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (failure.status, failure.code)
    assert answer.headers["content-type"] == "application/problem+json; charset=utf-8"
    assert failure.detail in problem["detail"]
    assert problem["provider"] == "openai"
    assert answer.headers.get("retry-after") == ("7" if failure.scenario == "rate_limit" else None)
    assert_only_the_question_is_left(api, conversation, problem["turn"], failure)
    assert_the_next_turn_works(api, conversation, model_server)


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: f"{failure.scenario}-{failure.code}")
def test_a_stream_whose_model_fails_ends_with_the_same_problem(
    api: Api, conversation: str, model_server: ModelServer, failure: Failure
) -> None:
    model_server.script(failure.scenario, **failure.options)

    with api.stream(f"{conversation}/messages", content="Hello") as stream:
        events = list(stream)

    assert [event.id for event in events] == [str(number + 1) for number in range(len(events))]
    assert (events[0].name, events[-1].name) == ("turn.started", "turn.failed")
    ended = events[-1].data
    assert (ended["problem"]["status"], ended["problem"]["code"]) == (failure.status, failure.code)
    assert failure.detail in ended["problem"]["detail"]
    assert ended["problem"].get("retry_after") == (7 if failure.scenario == "rate_limit" else None)
    assert ended["output"] == []
    assert ended["input"] == events[0].data["input"]
    said = "".join(event.data["text"] for event in events if event.name == "message.delta")
    assert (ended["turn"]["partial_text"] or "") == said
    assert_only_the_question_is_left(api, conversation, ended["turn"], failure)
    assert_the_next_turn_works(api, conversation, model_server)


def test_after_a_failure_the_turn_can_be_run_again_without_saying_it_twice(
    api: Api, conversation: str, model_server: ModelServer
) -> None:
    model_server.script("error", status=500)
    assert api.call("POST", f"{conversation}/messages", {"content": "Hello"}).status_code == 502
    model_server.script("text", text="Now I can.")
    done = api.make(f"{conversation}/turns")
    assert (done["input"], done["output"][0]["content"]) == ([], "Now I can.")
    assert [each["content"] for each in api.get(conversation)["messages"]] == ["Hello", "Now I can."]
    assert told(model_server) == [("user", "Hello")]


@pytest.fixture
def with_functions(api: Api, model_server: ModelServer) -> str:
    """The path of a conversation with an agent that has functions."""
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test", functions=FUNCTIONS)
    return f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"


def test_a_function_call_is_a_message_and_its_result_continues_the_turn(
    api: Api, with_functions: str, model_server: ModelServer
) -> None:
    model_server.script("tool_call", name="get_weather", arguments={"place": "Paris"})

    asked = ask(api, with_functions, content="What is the weather in Paris?")

    (call,) = asked["output"]
    assert (call["sender"], call["type"], json.loads(call["content"])) == ("agent", "function_call", {"place": "Paris"})
    assert call["attributes"]["is_function_call"] is True
    assert call["attributes"]["function_name"] == "get_weather"
    assert asked["turn"]["finish_reason"] == "tool_calls"
    assert api.get(with_functions)["messages"][-1] == call

    call_id = call["attributes"]["call_id"]
    model_server.script("text", text="It is sunny.")
    done = ask(api, with_functions, results=[{"call_id": call_id, "content": '{"sky": "clear"}'}])

    (result,) = done["input"]
    assert (result["sender"], result["type"], result["content"]) == ("tool", "function_result", '{"sky": "clear"}')
    assert result["attributes"] == {"call_id": call_id, "function_name": "get_weather"}
    assert done["output"][0]["content"] == "It is sunny."
    first, second = (request.body for request in model_server.requests())
    assert [tool["function"]["name"] for tool in first["tools"]] == ["get_weather", "now"]
    assert first["tools"][0]["function"]["parameters"] == FUNCTIONS[0]["parameters"]
    question, calling, answering = second["messages"]
    assert question == {"role": "user", "content": "What is the weather in Paris?"}
    assert [each["id"] for each in calling["tool_calls"]] == [call_id]
    assert json.loads(calling["tool_calls"][0]["function"]["arguments"]) == {"place": "Paris"}
    assert answering == {"role": "tool", "tool_call_id": call_id, "content": '{"sky": "clear"}'}


def test_several_calls_in_one_step_are_answered_together_in_any_order(
    api: Api, with_functions: str, model_server: ModelServer
) -> None:
    model_server.script("tool_calls", calls=[("get_weather", {"place": "Paris"}), ("now", {})])
    with api.stream(f"{with_functions}/messages", content="Well?") as stream:
        *_, completed = stream
    calls = completed.data["output"]
    assert [each["attributes"]["function_name"] for each in calls] == ["get_weather", "now"]
    first, second = (each["attributes"]["call_id"] for each in calls)

    wrong: list[list[str]] = [[first], [second], [first, second, "call_x"], [first, first], ["call_x"]]
    for call_ids in wrong:
        body = {"results": [{"call_id": call_id, "content": "?"} for call_id in call_ids]}
        answer = api.call("POST", f"{with_functions}/messages", body)
        assert (answer.status_code, answer.json()["code"]) == (409, "tool_results_expected")
        assert answer.json()["expected_call_ids"] == [first, second]
    assert len(model_server.requests()) == 1, "the model is not asked in vain"
    assert api.get(with_functions)["messages"][1:] == calls

    results = [{"call_id": second, "content": "noon"}, {"call_id": first, "content": "sunny"}]
    with api.stream(f"{with_functions}/messages", results=results) as stream:
        *_, completed = stream
    assert [each["content"] for each in completed.data["input"]] == ["sunny", "noon"]
    assert [role for role, _ in told(model_server)] == ["user", "assistant", "tool", "tool"]


def test_results_that_come_too_late_are_a_conflict(api: Api, with_functions: str, model_server: ModelServer) -> None:
    model_server.script("tool_call", name="now")
    call = ask(api, with_functions, content="What time is it?")["output"][0]
    ask(api, with_functions, content="Never mind.")
    body = {"results": [{"call_id": call["attributes"]["call_id"], "content": "noon"}]}
    answer = api.call("POST", f"{with_functions}/messages", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "tool_results_expected")
    assert [role for role, _ in told(model_server)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ], "the call has its pair"


def test_results_survive_a_model_that_fails_and_are_not_sent_twice(
    api: Api, with_functions: str, model_server: ModelServer
) -> None:
    model_server.script("tool_call", name="now")
    call_id = ask(api, with_functions, content="What time is it?")["output"][0]["attributes"]["call_id"]
    model_server.script("error", status=500)
    body = {"results": [{"call_id": call_id, "content": "noon"}]}
    assert api.call("POST", f"{with_functions}/messages", body).status_code == 502
    model_server.script("text", text="It is noon.")
    assert api.make(f"{with_functions}/turns")["output"][0]["content"] == "It is noon."
    assert [role for role, _ in told(model_server)][:3] == ["user", "assistant", "tool"]


def test_the_agents_settings_reach_the_model_as_they_were_set(api: Api, model_server: ModelServer) -> None:
    settings = {
        "temperature": 0.25,
        "top_p": 0.5,
        "max_tokens": 77,
        "stop": ["END", "\n\n"],
        "presence_penalty": -1.5,
        "frequency_penalty": 0,
        "seed": 42,
        "tool_choice": "auto",
        "parallel_tool_calls": False,
    }
    agent = api.make(
        "/agents",
        name="Ada",
        provider="openai",
        model="gpt-other",
        system_message="You are Ada. 🙂",
        functions=FUNCTIONS,
        settings=settings,
    )
    conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"

    assert ask(api, conversation, content="Hello")["turn"]["model"] == "gpt-other"

    (request,) = model_server.requests()
    assert {name: request.body[name] for name in settings} == settings
    assert request.body["model"] == "gpt-other"
    assert request.body["messages"][0] == {"role": "system", "content": "You are Ada. 🙂"}
    assert model_server.headers()[0]["authorization"] == "Bearer sk-test-0123456789abcdef"

    api.call("PATCH", f"/agents/{agent['id']}", {"settings": {"temperature": None, "max_tokens": 5}})
    ask(api, conversation, content="Again")
    body = model_server.requests()[-1].body
    assert ("temperature" in body, body["max_tokens"], body["seed"]) == (False, 5, 42)


def test_unset_settings_are_left_to_the_model(api: Api, conversation: str, model_server: ModelServer) -> None:
    ask(api, conversation, content="Hello")
    assert set(model_server.requests()[0].body) == {"model", "messages", "stream", "stream_options"}


def test_the_model_sees_at_most_the_window_of_a_long_conversation(api: Api, model_server: ModelServer) -> None:
    for window, expected in ((None, 20), (10, 10), (40, 31)):
        settings = {"window": window} if window else {}
        agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test", settings=settings)
        conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"
        for number in range(30):
            ask(api, conversation, content=str(number), reply=False)
        ask(api, conversation, content="now")
        contents = [str(number) for number in range(31 - expected, 30)] + ["now"]
        assert told(model_server) == [("user", "\n\n".join(contents))]


def test_a_users_own_key_goes_to_the_users_own_server(api: Api, model_server: ModelServer) -> None:
    details = {"openai": {"api_key": "sk-of-my-own-0123456789", "base_url": model_server.base_url}}
    assert api.call("PATCH", "/users/me", {"api_integration_details": details}).status_code == 200
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test", credentials="own")
    conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"
    ask(api, conversation, content="Hello")
    assert model_server.headers()[0]["authorization"] == "Bearer sk-of-my-own-0123456789"


def test_no_secret_is_in_the_servers_log(server: BotServer, api: Api, model_server: ModelServer) -> None:
    agent = api.make("/agents", name="Ada", provider="openai", model="gpt-test")
    conversation = f"/conversations/{api.make('/conversations', agent_id=agent['id'])['id']}"
    model_server.script("error", status=401, message="Incorrect key: sk-test-0123456789abcdef")
    answer = api.call("POST", f"{conversation}/messages", {"content": "a very private thing"})
    assert "sk-test-0123456789abcdef" not in answer.text
    log = server.log.read_text()
    for secret in ("sk-test-0123456789abcdef", api.http.headers["Authorization"].partition(" ")[2], "private"):
        assert secret not in log
