"""The echo answers like a model: deltas, then one completion."""

import pytest

from bot.llm.echo import EchoProvider
from bot.llm.tokens import count_tokens
from bot.llm.types import ChatMessage, Completion, ModelRequest, TextDelta


def stream(*messages):
    return list(EchoProvider().stream(ModelRequest("echo", messages)))


@pytest.mark.parametrize("said", ["Hi", "Hello  there,\n you ", " leading", "\n\n", "äöü 😀 " * 50])
def test_deltas_make_the_completion(said):
    *deltas, completion = stream(ChatMessage("user", said))
    assert all(isinstance(delta, TextDelta) and delta.text for delta in deltas)
    assert len(deltas) > 1
    assert isinstance(completion, Completion)
    assert "".join(delta.text for delta in deltas) == completion.text == f"You said: {said}"
    assert (completion.finish_reason, completion.model, completion.tool_calls) == ("stop", "echo", ())


def test_the_last_user_message_counts():
    completion = stream(
        ChatMessage("system", "Be brief"),
        ChatMessage("user", "one"),
        ChatMessage("user", "two"),
        ChatMessage("assistant", "x"),
    )[-1]
    assert completion.text == "You said: two"


def test_parts_are_read():
    parts = [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "https://x.test"}}]
    assert stream(ChatMessage("user", parts))[-1].text == "You said: See [image]"


def test_an_empty_request_is_echoed_as_nothing():
    assert stream()[-1].text == "You said: nothing"


def test_tokens_are_counted():
    usage = stream(ChatMessage("user", "Hello there"))[-1].usage
    assert usage.output_tokens == count_tokens("You said: Hello there")
    assert usage.input_tokens > count_tokens("Hello there")


def test_each_response_has_an_id_of_its_own():
    assert stream()[-1].response_id != stream()[-1].response_id
