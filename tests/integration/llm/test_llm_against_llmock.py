"""The provider against a real HTTP server that answers and fails as model servers do."""

import pytest

from bot.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderIncomplete,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
)
from bot.llm.types import ChatMessage, Completion, ModelRequest, TextDelta, ToolCall

QUESTION = ModelRequest("gpt-test", (ChatMessage("user", "Count to six"),))
TOOL = {"name": "get_weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}


def texts(stream):
    """Return the texts before the failure, and the failure."""
    seen: list[str] = []
    try:
        seen.extend(item.text for item in stream)
    except ProviderError as error:
        return seen, error
    raise AssertionError(f"the answer was taken for whole: {seen}")


def test_an_answer_comes_in_deltas_and_then_whole(provider, model_server):
    model_server.script("text", text="One two three.")
    *deltas, completion = provider(model_server.base_url).stream(QUESTION)
    assert deltas == [TextDelta("One "), TextDelta("two "), TextDelta("three.")]
    assert isinstance(completion, Completion)
    assert (completion.text, completion.finish_reason, completion.model) == ("One two three.", "stop", "gpt-test")
    assert completion.response_id.startswith("chatcmpl-")
    assert completion.usage.output_tokens > 0


def test_what_was_asked_is_what_arrives(provider, model_server):
    request = ModelRequest("gpt-test", QUESTION.messages, temperature=0.5, max_tokens=9, stop=("x",), seed=3)
    list(provider(model_server.base_url).stream(request))
    assert model_server.requests()[0].body == {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "Count to six"}],
        "temperature": 0.5,
        "max_tokens": 9,
        "stop": ["x"],
        "seed": 3,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert model_server.headers()[0]["authorization"] == "Bearer sk-test-0123456789abcdef"


def test_a_function_call(provider, model_server):
    model_server.script("tool_call", name="get_weather", arguments={"city": "A long enough name to be cut"})
    (completion,) = provider(model_server.base_url).stream(ModelRequest("m", QUESTION.messages, tools=(TOOL,)))
    (call,) = completion.tool_calls
    assert completion.finish_reason == "tool_calls"
    assert (call.name, call.arguments) == ("get_weather", '{"city": "A long enough name to be cut"}')
    assert model_server.requests()[0].body["tools"] == [{"type": "function", "function": TOOL}]


def test_several_function_calls_after_some_text(provider, model_server):
    calls = [("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"}), ("get_time", {})]
    model_server.script("tool_calls", calls=calls, text="Let me see.")
    *deltas, completion = provider(model_server.base_url).stream(ModelRequest("m", QUESTION.messages, tools=(TOOL,)))
    assert "".join(delta.text for delta in deltas) == completion.text == "Let me see."
    assert [(call.name, call.arguments) for call in completion.tool_calls] == [
        ("get_weather", '{"city": "Paris"}'),
        ("get_weather", '{"city": "Rome"}'),
        ("get_time", "{}"),
    ]
    assert len({call.id for call in completion.tool_calls}) == 3


def test_the_round_trip_of_a_function_call(provider, model_server):
    model_server.script("tool_call", name="get_weather", arguments={"city": "Paris"}).script("text", text="Mild.")
    asked = provider(model_server.base_url)
    (first,) = asked.stream(ModelRequest("m", QUESTION.messages, tools=(TOOL,)))
    history = (
        *QUESTION.messages,
        ChatMessage("assistant", None, tool_calls=first.tool_calls),
        ChatMessage("tool", "21 C", tool_call_id=first.tool_calls[0].id),
    )
    *_, second = asked.stream(ModelRequest("m", history, tools=(TOOL,)))
    assert second.text == "Mild."
    assert isinstance(first.tool_calls[0], ToolCall)


def test_an_answer_that_the_limit_ends_is_an_answer(provider, model_server):
    model_server.script("text", finish_reason="length")
    assert list(provider(model_server.base_url).stream(QUESTION))[-1].finish_reason == "length"


def test_a_rate_limit_says_how_long(provider, model_server):
    model_server.script("rate_limit", retry_after=7)
    seen, error = texts(provider(model_server.base_url).stream(QUESTION))
    assert (seen, type(error), error.retry_after) == ([], ProviderRateLimited, 7.0)


def test_a_short_rate_limit_is_waited_for(provider, model_server):
    model_server.script("rate_limit", retry_after=0.05, times=2)
    assert list(provider(model_server.base_url, max_retries=2).stream(QUESTION))[-1].finish_reason == "stop"
    assert [request.status for request in model_server.requests()] == [429, 429, 200]


def test_a_long_rate_limit_is_returned_at_once(provider, model_server):
    model_server.script("rate_limit", retry_after=60, times=None)
    _, error = texts(provider(model_server.base_url, max_retries=2).stream(QUESTION))
    assert (type(error), error.retry_after) == (ProviderRateLimited, 60.0)
    assert len(model_server.requests()) == 1


def test_a_server_error_is_retried_and_then_reported(provider, model_server):
    model_server.script("error", status=500, times=None)
    seen, error = texts(provider(model_server.base_url, max_retries=1).stream(QUESTION))
    assert (seen, type(error)) == ([], ProviderError)
    assert len(model_server.requests()) == 2


@pytest.mark.parametrize(
    ("status", "kind"), [(400, ProviderRejected), (404, ProviderRejected), (422, ProviderRejected)]
)
def test_a_refusal_is_reported_with_its_reason_and_not_retried(provider, model_server, status, kind):
    model_server.script("error", status=status, message="The model does not exist", code="model_not_found", times=None)
    _, error = texts(provider(model_server.base_url, max_retries=2).stream(QUESTION))
    assert type(error) is kind
    assert "The model does not exist" in error.detail
    assert error.extra["provider_code"] == "model_not_found"
    assert len(model_server.requests()) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_not_quoted(provider, model_server, status):
    message = "Incorrect API key provided: sk-test-0123456789abcdef. Find yours at https://x.test"
    model_server.script("error", status=status, message=message)
    _, error = texts(provider(model_server.base_url).stream(QUESTION))
    assert type(error) is ProviderAuthFailed
    assert "0123456789" not in f"{error.detail} {error.extra} {error!r} {error.__cause__} {error.__suppress_context__}"
    assert "Find yours" in error.detail


def test_silence_within_an_answer_is_a_timeout(provider, model_server):
    model_server.script("stall", after_chunks=3)
    seen, error = texts(provider(model_server.base_url, timeout=0.5).stream(QUESTION))
    assert (seen, type(error)) == (["One ", "two "], ProviderTimeout)


@pytest.mark.parametrize("scenario", ["delay", "slow_start"])
def test_silence_before_an_answer_is_a_timeout(provider, model_server, scenario):
    model_server.script(scenario, seconds=30)
    seen, error = texts(provider(model_server.base_url, timeout=0.5).stream(QUESTION))
    assert (seen, type(error)) == ([], ProviderTimeout)


def test_a_slow_answer_that_keeps_coming_is_no_timeout(provider, model_server):
    model_server.pace(150).script("text", text="One two three four five six seven eight.")
    *_, completion = provider(model_server.base_url, timeout=0.75).stream(QUESTION)
    assert completion.text == "One two three four five six seven eight."


@pytest.mark.parametrize("scenario", ["disconnect", "truncate", "malformed"])
def test_a_cut_answer_is_incomplete_and_never_retried(provider, model_server, scenario):
    model_server.script(scenario, after_chunks=3)
    seen, error = texts(provider(model_server.base_url, max_retries=2).stream(QUESTION))
    assert (seen, type(error)) == (["One ", "two "], ProviderIncomplete)
    assert len(model_server.requests()) == 1


@pytest.mark.parametrize("scenario", ["disconnect", "truncate", "malformed"])
def test_a_function_call_that_is_cut_is_incomplete(provider, model_server, scenario):
    model_server.script("tool_call", name="f", arguments={"x": "y" * 100}).script(scenario, after_chunks=4)
    seen, error = texts(provider(model_server.base_url).stream(QUESTION))
    assert (seen, type(error)) == ([], ProviderIncomplete)


def test_closing_the_generator_closes_the_connection(provider, model_server):
    model_server.pace(100).script("text", text="word " * 200)
    stream = provider(model_server.base_url).stream(QUESTION)
    assert next(stream) == TextDelta("word ")
    assert model_server.in_flight() == 1
    stream.close()
    (request,) = model_server.requests()
    assert not request.completed
    assert request.chunks_sent < 100


def test_a_generator_closed_before_its_first_value_sends_nothing(provider, model_server):
    provider(model_server.base_url).stream(QUESTION).close()
    assert model_server.requests() == []
