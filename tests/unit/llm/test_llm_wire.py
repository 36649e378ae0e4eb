"""A request says what was asked for and nothing else, in the form that the server takes."""

import pytest

from bot.errors import ProviderRejected
from bot.llm.dialects import Dialect, Dialects, first_guess
from bot.llm.history_form import HistoryForm
from bot.llm.types import ChatMessage, ModelRequest, ToolCall
from bot.llm.wire import request_params

PLAIN = Dialect("max_tokens")
TOOL = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True, "x-own": 1}
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}


def request(*messages, **settings):
    return ModelRequest("m", messages or (ChatMessage("user", "Hi"),), **settings)


def test_what_was_not_asked_for_is_not_sent():
    assert request_params(request(), PLAIN) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_what_was_asked_for_is_sent_zeros_included():
    settings = {"temperature": 0.0, "top_p": 0.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": 0}
    params = request_params(request(**settings, stop=("\n",), user="u", response_format={"type": "json_object"}), PLAIN)
    assert params.items() >= settings.items()
    assert params["stop"] == ["\n"]
    assert params["user"] == "u"
    assert params["response_format"] == {"type": "json_object"}


def test_functions_and_what_belongs_to_them():
    params = request_params(request(tools=(TOOL,), tool_choice="required", parallel_tool_calls=False), PLAIN)
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert params["tools"] == [{"type": "function", "function": function}]
    assert params["tool_choice"] == "required"
    assert params["parallel_tool_calls"] is False


def test_a_choice_among_no_functions_is_not_sent():
    params = request_params(request(tool_choice="auto", parallel_tool_calls=True), PLAIN)
    assert params.keys() == {"model", "messages"}


def test_a_choice_of_one_function_takes_both_forms():
    nested = {"type": "function", "function": {"name": "f"}}
    for form in (nested, {"type": "function", "name": "f"}):
        assert request_params(request(tools=(TOOL,), tool_choice=form), PLAIN)["tool_choice"] == nested


def test_calls_and_results_of_the_past():
    messages = request_params(
        request(
            ChatMessage("assistant", None, tool_calls=(ToolCall("a", "f", "{}"),)),
            ChatMessage("tool", "21 C", tool_call_id="a"),
            ChatMessage("assistant", None),
            ChatMessage("user", [{"type": "text", "text": "and?"}, IMAGE], name="ann"),
        ),
        PLAIN,
    )["messages"]
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert messages == [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "21 C", "tool_call_id": "a"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": [{"type": "text", "text": "and?"}, IMAGE], "name": "ann"},
    ]


def test_a_model_without_functions_reads_the_past_as_text():
    params = request_params(
        request(
            ChatMessage("user", [{"type": "text", "text": "See"}, IMAGE]),
            ChatMessage("assistant", "Wait", tool_calls=(ToolCall("a", "f", '{"x":1}'),)),
            ChatMessage("tool", "21 C", tool_call_id="a"),
            ChatMessage("assistant", None, tool_calls=(ToolCall("b", "f", "{}"),)),
            ChatMessage("tool", "22 C", tool_call_id="b"),
            ChatMessage("user", "So?"),
            tools=(TOOL,),
            tool_choice="auto",
        ),
        PLAIN,
        plain_text=True,
    )
    assert params["messages"] == [
        {"role": "user", "content": "See\n\n[An image that you cannot look at: https://x.test/a.png]"},
        {"role": "assistant", "content": "Wait"},
        {
            "role": "user",
            "content": '[The function f was called with {"x":1} and returned: 21 C]\n\n'
            "[The function f was called with {} and returned: 22 C]\n\nSo?",
        },
    ]
    assert "tools" not in params


def test_a_model_without_functions_says_so_when_a_function_must_be_called():
    with pytest.raises(ProviderRejected, match="no functions"):
        request_params(request(tools=(TOOL,), tool_choice="required"), PLAIN, plain_text=True)


def test_a_text_only_model_refuses_an_image():
    with pytest.raises(ProviderRejected, match="image"):
        request_params(request(ChatMessage("user", [IMAGE])), PLAIN, plain_text=True)


@pytest.mark.parametrize(
    ("base_url", "field"),
    [
        ("https://api.openai.com/v1", "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://ours.openai.azure.com/openai/v1/", "max_completion_tokens"),
        ("https://ours.services.ai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1", "max_completion_tokens"),
        ("https://bedrock-mantle.us-east-1.api.aws/v1", "max_completion_tokens"),
        ("http://localhost:11434/v1", "max_tokens"),
        ("http://vllm-123.us-east-1.elb.amazonaws.com/v1", "max_tokens"),
        ("https://openai.com.example.net/v1", "max_tokens"),
        ("https://notopenai.com/v1", "max_tokens"),
        ("https://openrouter.ai/api/v1", "max_tokens"),
    ],
)
def test_the_token_limit_has_the_name_that_the_server_reads(base_url, field):
    params = request_params(request(max_tokens=5), first_guess(base_url))
    assert params[field] == 5
    assert len(params.keys() & {"max_tokens", "max_completion_tokens"}) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "Unrecognized request argument supplied: max_tokens",
        "[{'loc': ('body', 'max_tokens'), 'msg': 'Extra inputs are not permitted'}]",
    ],
)
def test_a_refused_parameter_name_is_replaced_by_the_other(message):
    other = Dialect("max_tokens").after_refusal(request(max_tokens=5), message)
    assert other == Dialect("max_completion_tokens")


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        "This model's maximum context length is 8192 tokens",
        "Unsupported value: 'temperature' does not support 0.7 with this model",
    ],
)
def test_a_refused_value_does_not_change_the_parameter_name(message):
    assert Dialect("max_tokens").after_refusal(request(max_tokens=5), message) is None


def test_functions_turn_off_reasoning_where_the_model_requires_it():
    message = (
        "Function tools with reasoning_effort are not supported for gpt-6-luna in /v1/chat/completions. To use function"
        " tools, use /v1/responses or set reasoning_effort to 'none'."
    )
    dialect = Dialect("max_completion_tokens").after_refusal(request(tools=(TOOL,)), message)
    assert dialect is not None
    assert request_params(request(tools=(TOOL,)), dialect)["reasoning_effort"] == "none"
    assert "reasoning_effort" not in request_params(request(), dialect)
    assert dialect.after_refusal(request(tools=(TOOL,)), message) is None
    assert Dialect("max_tokens").after_refusal(request(), message) is None


MISSING = "Missing `reasoning_content` field in the assistant message at message index 2"
PASSED_BACK = "The `reasoning_content` in the thinking mode must be passed back to the API."
SPACED = "The reasoning content in the thinking mode must be passed back to the API."
EXTRA = "messages.1.reasoning_content: Extra inputs are not permitted"
CALLED = ChatMessage("assistant", None, (ToolCall("a", "f", "{}"),), sources=("m2",))
CALLS = (
    ChatMessage("user", "Hi", sources=("m1",)),
    CALLED,
    ChatMessage("tool", "21 C", tool_call_id="a", sources=("m3",)),
    ChatMessage("assistant", "Mild.", sources=("m4", "m5", "m4")),
    ChatMessage("user", "So?", sources=("m6",)),
)
BACK = Dialect("max_tokens", reasoning_back=True)


def reasoning_sent(*messages, dialect=BACK, **settings):
    sent = request_params(request(*messages, **settings), dialect)["messages"]
    return [message.get("reasoning_content") for message in sent]


def test_reasoning_is_sent_only_to_a_server_that_requires_it():
    def unread():
        raise AssertionError("nobody wants it")

    stored = {"m1": "the user's", "m2": "hm", "m4": "well", "m5": "so"}
    assert reasoning_sent(*CALLS, reasoning=lambda: stored) == [None, "hm", None, "well\n\nso", None]
    assert stored.keys() == {"m1", "m2", "m4", "m5"}, "what was read stays as it is"
    assert reasoning_sent(*CALLS, dialect=PLAIN, reasoning=unread) == [None] * 5
    request_params(request(*CALLS, reasoning=unread), BACK, plain_text=True)


@pytest.mark.parametrize("reasoning", [None, dict, lambda: {"m2": "", "m5": " "}])
def test_a_message_without_reasoning_has_a_text_that_is_not_empty(reasoning):
    assert reasoning_sent(*CALLS, reasoning=reasoning) == [None, " ", None, " ", None]


def test_no_reasoning_is_sent_twice_where_a_message_becomes_two():
    apart = Dialect("max_tokens", reasoning_back=True, history=HistoryForm(calls_apart=True))
    both = ChatMessage("assistant", None, (ToolCall("a", "f", "{}"), ToolCall("b", "f", "{}")), sources=("m2",))
    results = [ChatMessage("tool", "21 C", tool_call_id=call_id) for call_id in "ab"]
    sent = reasoning_sent(
        CALLS[0], both, *results, CALLS[-1], dialect=apart, tools=(TOOL,), reasoning={"m2": "hm"}.copy
    )
    assert sent == [None, "hm", None, " ", None, " ", None]


@pytest.mark.parametrize("message", [MISSING, PASSED_BACK, SPACED])
def test_a_server_that_requires_reasoning_gets_it(message):
    assert PLAIN.after_refusal(request(*CALLS), message) == BACK
    assert PLAIN.after_refusal(request(), message) is None, "the model has said nothing yet"


def test_a_server_that_refuses_reasoning_gets_none():
    assert BACK.after_refusal(request(*CALLS), EXTRA) == PLAIN


@pytest.mark.parametrize("message", [MISSING, EXTRA])
def test_calls_become_text_for_a_server_that_refuses_both_with_and_without_reasoning(message):
    other = BACK.after_refusal(request(*CALLS, tools=(TOOL,)), message, {PLAIN, BACK})
    assert other == Dialect("max_tokens", history=HistoryForm(calls_in_words=True))
    assert BACK.after_refusal(request(CALLS[0]), message, {PLAIN, BACK}) is None


def test_what_else_is_refused_does_not_end_the_reasoning():
    other = BACK.after_refusal(request(*CALLS, max_tokens=5), "Unsupported parameter: 'max_tokens'")
    assert other == Dialect("max_completion_tokens", reasoning_back=True)
    other = BACK.after_refusal(request(*CALLS), "This tool call id is too long")
    assert other == Dialect("max_tokens", reasoning_back=True, history=HistoryForm(short_ids=True))


def test_a_learned_dialect_is_kept_per_server_and_model_within_bounds():
    dialects, learnt = Dialects(capacity=2), Dialect("max_completion_tokens", tools_without_reasoning=True)
    dialects.learn("http://a.test", "m", learnt)
    assert dialects.get("http://a.test", "m") == learnt
    assert dialects.get("http://a.test", "other") == dialects.get("http://b.test", "m") == Dialect("max_tokens")
    dialects.learn("http://a.test", "n", learnt)
    dialects.learn("http://a.test", "o", learnt)
    assert dialects.get("http://a.test", "m") == Dialect("max_tokens")
