"""Reasoning comes from a model under every name, and goes back to a server that wants it."""

import pytest

from bot.errors import ProviderRejected
from bot.llm.types import ChatMessage, Completion, ModelRequest, ReasoningDelta, TextDelta, ToolCall
from tests.integration.llm.raw_server import raw_server
from tests.strict_server import strict_server

QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))
CALLS = (
    ChatMessage("user", "Hi", sources=("m1",)),
    ChatMessage("assistant", None, (ToolCall("a", "look", "{}"),), sources=("m2",)),
    ChatMessage("tool", "21 C", tool_call_id="a", sources=("m3",)),
)


def asking(read, messages=CALLS):
    return ModelRequest("m", messages, tools=({"name": "look"},), reasoning=read)


def test_reasoning_deltas_precede_text_deltas(provider):
    def answer(exchange):
        exchange.begin()
        exchange.event(delta={"reasoning_content": "Let me "}).event(delta={"reasoning": "see."})
        exchange.event("Yes", delta={"reasoning_content": " Yes.", "reasoning": " Yes."}).event(finish="stop").end()

    with raw_server(answer) as server:
        *deltas, done = provider(server.base_url).stream(QUESTION)
    assert deltas == [ReasoningDelta("Let me "), ReasoningDelta("see."), ReasoningDelta(" Yes."), TextDelta("Yes")]
    assert isinstance(done, Completion)
    assert (done.reasoning, done.text) == ("Let me see. Yes.", "Yes")


def test_a_server_that_wants_reasoning_refuses_once_and_it_is_read_once_a_request(provider):
    reads = []

    def read():
        reads.append(True)
        return {"m2": "It asks for the weather."}

    with strict_server(["reasoning_back", "nine", "short"]) as server:
        asked = provider(server.base_url)
        assert list(asked.stream(asking(read)))[-1].text == "Fine."
        assert (len(server.refusals), len(reads)) == (2, 1)
        assert server.bodies[-1]["messages"][1]["reasoning_content"] == "It asks for the weather."
        assert server.bodies[-1]["messages"][1]["tool_calls"]
        list(asked.stream(asking(read)))
        assert (len(server.refusals), len(reads)) == (2, 2), "what was learnt is known"


def test_a_server_that_does_not_want_it_causes_no_read(provider):
    def read():
        raise AssertionError

    with strict_server([]) as server:
        assert list(provider(server.base_url).stream(asking(read)))[-1].text == "Fine."


def test_a_server_that_changes_its_dialect_is_followed(provider):
    def wants(exchange):
        exchange.answer(400, {"error": {"message": "Missing `reasoning_content` field in the assistant message"}})

    def refuses(exchange):
        exchange.answer(400, {"error": {"message": "property 'reasoning_content' is unsupported"}})

    with raw_server(wants, lambda exchange: exchange.whole(), refuses, lambda exchange: exchange.whole()) as server:
        asked = provider(server.base_url)
        list(asked.stream(asking(dict)))
        list(asked.stream(asking(dict)))
        sent = ["reasoning_content" in received.body["messages"][1] for received in server.requests]
    assert sent == [False, True, True, False]


def test_calls_become_text_for_a_gateway_that_refuses_what_its_server_requires(provider):
    def answer(exchange):
        if any("reasoning_content" in message for message in exchange.body["messages"]):
            exchange.answer(400, {"error": {"message": "messages.1.reasoning_content: Extra inputs are not permitted"}})
        elif any(message["role"] == "assistant" for message in exchange.body["messages"]):
            exchange.answer(400, {"error": {"message": "Missing `reasoning_content` field in the assistant message"}})
        else:
            exchange.whole()

    with raw_server(answer) as server:
        assert list(provider(server.base_url).stream(asking(None)))[-1].text == "Hi"
        assert len(server.requests) == 3


def test_a_server_that_refuses_every_form_is_an_error(provider):
    def answer(exchange):
        exchange.answer(400, {"error": {"message": "Missing `reasoning_content` field in the assistant message"}})

    with raw_server(answer) as server:
        with pytest.raises(ProviderRejected, match="reasoning_content"):
            list(provider(server.base_url).stream(asking(None)))
        assert len(server.requests) <= 4
