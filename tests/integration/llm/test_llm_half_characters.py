"""A provider that sends half a surrogate pair, which no table stores and no connection carries."""

from bot.llm.types import ChatMessage, ModelRequest, ToolCall
from tests.integration.llm.raw_server import raw_server

QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))


def test_half_a_character_becomes_a_question_mark_and_a_whole_one_stays(provider):
    def answer(exchange):
        call = {"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a": "\udc00"}'}}
        exchange.begin().event("a\ud83d").event("b\ud83d\ude00", delta={"tool_calls": [call]}).event(
            finish="stop"
        ).end()

    with raw_server(answer) as server:
        *deltas, done = provider(server.base_url).stream(QUESTION)

    assert [delta.text for delta in deltas] == ["a?", "b😀"]
    assert done.text == "a?b😀"
    assert done.tool_calls == (ToolCall("c1", "f", '{"a": "?"}'),)
