"""Tokens are counted as OpenAI counts them, offline, and in time for any text."""

from types import SimpleNamespace

import pytest

from bot.llm import tokens
from bot.llm.tokens import count_message, count_tokens, count_tools
from bot.llm.types import ChatMessage, ToolCall


def test_known_counts():
    # From OpenAI's cookbook, "How to count tokens with tiktoken".
    assert count_tokens("antidisestablishmentarianism", "gpt-4o") == 6
    assert count_tokens("2 + 2 = 4", "gpt-4o") == 7
    assert count_tokens("お誕生日おめでとう", "gpt-4o") == 8
    assert count_tokens("お誕生日おめでとう", "gpt-4") == 9
    assert count_tokens("") == 0


def test_the_cookbooks_example_of_a_conversation():
    pattern = {"role": "system", "name": "example_user"}, {"role": "system", "name": "example_assistant"}
    messages = (
        ChatMessage(
            "system",
            "You are a helpful, pattern-following assistant that translates corporate jargon into plain English.",
        ),
        ChatMessage(**pattern[0], content="New synergies will help drive top-line growth."),
        ChatMessage(**pattern[1], content="Things working well together will increase revenue."),
        ChatMessage(
            **pattern[0],
            content="Let's circle back when we have more bandwidth to touch base on opportunities for increased"
            " leverage.",
        ),
        ChatMessage(**pattern[1], content="Let's talk later when we're less busy about how to do better."),
        ChatMessage("user", "This late pivot means we don't have time to boil the ocean for the client deliverable."),
    )
    assert sum(count_message(message, "gpt-4o") for message in messages) + tokens.REPLY_PRIMING == 124
    assert sum(count_message(message, "gpt-4") for message in messages) + tokens.REPLY_PRIMING == 129


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("", "o200k_base"),
        ("gpt-4o-2024-08-06", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
        ("gpt-6-luna", "o200k_base"),
        ("llama3", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
    ],
)
def test_models_have_their_vocabulary(model, encoding):
    assert tokens._encoding_name(model) == encoding


@pytest.mark.parametrize("text", ["a", " ", "-", "=", "1", "\n", "中", "😀", "<|endoftext|>"])
@pytest.mark.timeout(20)
def test_a_long_text_of_one_thing_is_counted_in_time(text):
    long = text * (400_000 // len(text))
    assert 0 < count_tokens(long) <= len(long.encode())


def test_a_text_of_many_pieces_is_counted_nearly_as_one():
    text = "The quick brown fox jumps over the lazy dog. " * 4000
    pieces = len(text) // tokens._PIECE + 1
    assert (
        abs(count_tokens(text) - 4000 * count_tokens("The quick brown fox jumps over the lazy dog. ")) <= 4000 + pieces
    )
    assert count_tokens(text) >= 4000 * 9


def test_what_has_no_utf8_is_counted_too():
    assert count_tokens("a\ud800b") > 0


def test_markers_are_plain_text():
    assert count_tokens("<|endoftext|>") > 1


def test_a_message_is_more_than_its_text():
    plain = count_message(ChatMessage("user", "Hi"))
    assert plain == count_tokens("Hi") + 4
    assert count_message(ChatMessage("user", "Hi", name="ann")) > plain
    assert count_message(ChatMessage("user", [{"type": "text", "text": "Hi"}])) == plain
    assert count_message(ChatMessage("assistant", None)) == 4


def test_calls_count():
    call = ToolCall("call_1", "get_weather", '{"city": "Paris"}')
    counted = count_message(ChatMessage("assistant", None, tool_calls=(call,)))
    assert counted > count_tokens("get_weather") + count_tokens('{"city": "Paris"}')


def test_an_image_is_worth_its_tiles_and_not_its_base64():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 400_000}}
    low = {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}}
    assert count_message(ChatMessage("user", [image])) == 4 + 1105
    assert count_message(ChatMessage("user", [low])) == 4 + 85
    assert (
        0 < count_message(ChatMessage("user", [{"type": "input_audio", "input_audio": {"data": "A" * 400_000}}])) < 2000
    )


def test_declarations_count():
    tool = {"name": "f", "description": "Says what the weather is", "parameters": {"type": "object"}}
    assert count_tools(()) == 0
    assert count_tools((tool, tool)) == 2 * count_tools((tool,)) > 10


@pytest.mark.filterwarnings("ignore:open_binary is deprecated:DeprecationWarning")
def test_an_unexpected_package_layout_falls_back_to_a_normal_import(monkeypatch):
    monkeypatch.setattr(tokens, "PathFinder", SimpleNamespace(find_spec=lambda *_: None))
    uncached = tokens._tokenizer.__wrapped__
    assert uncached("o200k_base").count("hello world") == 2
