"""A provider that escapes half a surrogate pair, which no table stores and no connection carries."""

import pytest

from bot.errors import ProviderError, ProviderIncomplete, ProviderRejected
from bot.llm.types import ChatMessage, Completion, ModelRequest, ReasoningDelta, TextDelta, ToolCall
from tests.integration.llm.raw_server import raw_server

QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))
HIGH, LOW = "\ud83d", "\ude00"


def arguments(fragment, **call):
    return {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": fragment}, **call}]}


def answer(provider, script):
    """Return what a server's events come to: the deltas, and the whole."""

    def serve(exchange):
        exchange.begin()
        for event in script:
            exchange.event(**event)
        exchange.end()

    with raw_server(serve) as server:
        *deltas, done = provider(server.base_url).stream(QUESTION)
    assert isinstance(done, Completion)
    for kind, whole in ((TextDelta, done.text), (ReasoningDelta, done.reasoning or "")):
        assert "".join(delta.text for delta in deltas if isinstance(delta, kind)) == whole
    assert all(delta.text.encode() for delta in deltas)
    return deltas, done


def said(text):
    return {"content": text}


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ([said("a" + HIGH), said(LOW + "b")], "a😀b"),
        ([said(HIGH), said(""), said(None), said(LOW)], "😀"),
        ([said(HIGH), {"delta": {"reasoning_content": "hm"}}, said(LOW)], "😀"),
        ([said(HIGH), {"delta": arguments("{}")}, said(LOW)], "😀"),
        ([said(HIGH), said("b")], "\ufffdb"),
        ([said(HIGH), said(HIGH), said(LOW)], "\ufffd😀"),
        ([said(LOW), said("b")], "\ufffdb"),
        ([said("a" + HIGH)], "a\ufffd"),
        ([said("a" + HIGH), {"content": LOW, "finish": "stop"}], "a😀"),
        ([said("a" + HIGH), {"content": "", "finish": "stop"}], "a\ufffd"),
        ([said("b" + HIGH + LOW)], "b😀"),
    ],
)
def test_two_halves_are_a_character_and_a_lone_one_is_replaced(provider, script, text):
    _, done = answer(provider, [*script, {"finish": "stop"}])
    assert done.text == text


def test_text_reasoning_refusal_and_arguments_are_joined_each_by_itself(provider):
    halves = [
        {"content": half, "delta": {"reasoning": half, "refusal": half, **arguments('{"a":"' * first + half)}}
        for first, half in ((True, HIGH), (False, LOW))
    ]
    deltas, done = answer(provider, [*halves, {"delta": arguments('"}'), "finish": "tool_calls"}])
    assert deltas == [ReasoningDelta("😀"), TextDelta("😀")]
    assert (done.text, done.reasoning, done.refusal) == ("😀", "😀", "😀")
    assert done.tool_calls[0].arguments == '{"a":"😀"}'


def test_half_a_character_at_the_end_of_arguments_is_replaced(provider):
    _, done = answer(provider, [{"delta": arguments('{"a": "' + HIGH)}, {"finish": "length"}])
    assert done.tool_calls[0].arguments == '{"a": "\ufffd'


def test_ids_and_names_are_whole(provider):
    call = arguments("{}", id="c" + HIGH)
    _, done = answer(provider, [{"delta": call, "finish": "tool_calls", "id": "r" + LOW, "model": "m" + HIGH}])
    assert (done.response_id, done.model) == ("r\ufffd", "m\ufffd")
    assert done.tool_calls == (ToolCall("c\ufffd", "f", "{}"),)


def test_a_stream_that_is_cut_between_two_halves_leaves_the_text_before_them(provider):
    def serve(exchange):
        exchange.begin().event("a" + HIGH)
        exchange.cut()

    with raw_server(serve) as server:
        stream = provider(server.base_url).stream(QUESTION)
        assert next(stream) == TextDelta("a")
        with pytest.raises(ProviderIncomplete):
            next(stream)


@pytest.mark.parametrize("within", [True, False])
def test_an_error_with_half_a_character_can_be_reported(provider, within):
    error = {"message": "no " + HIGH, "type": "invalid" + HIGH, "param": "p" + LOW}

    def serve(exchange):
        if within:
            exchange.begin().event("a", error=error).end()
        else:
            exchange.answer(400, {"error": error})

    with raw_server(serve) as server, pytest.raises(ProviderError) as caught:
        list(provider(server.base_url).stream(QUESTION))
    assert type(caught.value) is ProviderRejected
    assert "no \ufffd" in caught.value.detail
    assert caught.value.extra["provider_param"] == "p\ufffd"
    assert str(caught.value.extra).encode()
