"""An answer counts as whole only when the provider has said that it is."""

import pytest

from bot.errors import ProviderError, ProviderIncomplete
from bot.llm.answer import Answer
from bot.llm.types import Completion, ReasoningDelta, TextDelta, ToolCall, Usage


def chunk(content=None, finish=None, calls=None, index=0, **fields):
    delta = {"content": content} | ({"tool_calls": calls} if calls else {})
    return {
        "id": "r1",
        "model": "served",
        "choices": [{"index": index, "delta": delta, "finish_reason": finish}],
    } | fields


CALL = [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]


def answer(*chunks):
    collected = Answer("asked")
    texts = ["".join(delta.text for delta in collected.add(one) if isinstance(delta, TextDelta)) for one in chunks]
    return collected, texts


def deltas(*chunks):
    collected = Answer("asked")
    added = [delta for one in chunks for delta in collected.add(one)]
    return collected, [*added, *collected.rest()]


def thinking(*texts):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text} for text in texts]}


def test_an_answer_is_its_chunks():
    collected, texts = answer(
        chunk(""),
        chunk("Hel"),
        chunk("lo"),
        chunk(finish="stop"),
        {"id": "r1", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}},
    )
    assert texts == ["", "Hel", "lo", "", ""]
    assert collected.completion() == Completion("Hello", (), "stop", "r1", "served", Usage(5, 2), None)


def test_without_a_finish_reason_it_is_incomplete():
    collected, _ = answer(chunk("Hel"))
    assert not collected.finished
    with pytest.raises(ProviderIncomplete):
        collected.completion()


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource", "something new"])
def test_a_finish_reason_that_means_cut_is_incomplete(reason):
    collected, _ = answer(chunk("Hel", finish=reason))
    with pytest.raises(ProviderIncomplete, match=reason):
        collected.completion()


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("eos", "stop"),
        ("end_turn", "stop"),
        ("length", "length"),
        ("model_length", "length"),
        ("content_filter", "content_filter"),
    ],
)
def test_finish_reasons_have_one_name_each(said, means):
    collected, _ = answer(chunk("Hi", finish=said))
    assert collected.completion().finish_reason == means


def test_calls_that_end_with_stop_are_calls():
    collected, _ = answer(chunk(calls=CALL), chunk(finish="stop"))
    completion = collected.completion()
    assert completion.finish_reason == "tool_calls"
    assert completion.tool_calls == (ToolCall("a", "f", "{}"),)


def test_calls_that_are_cut_by_the_limit_say_so():
    collected, _ = answer(chunk(calls=CALL), chunk(finish="length"))
    assert collected.completion().finish_reason == "length"


def test_calls_that_were_announced_and_never_came_are_an_error():
    collected, _ = answer(chunk("Let me see"), chunk(finish="tool_calls"))
    with pytest.raises(ProviderError, match="announced"):
        collected.completion()


def test_a_call_without_a_name_is_an_error():
    collected, _ = answer(chunk(calls=[{"index": 0, "id": "a", "function": {"arguments": "{}"}}]), chunk(finish="stop"))
    with pytest.raises(ProviderError, match="name"):
        collected.completion()


def test_other_choices_are_not_mixed_in():
    collected, texts = answer(chunk("a"), chunk("b", index=1), chunk(finish="stop"))
    assert texts == ["a", "", ""]
    assert collected.completion().text == "a"


def test_a_refusal_is_not_text():
    collected, _ = answer({"choices": [{"delta": {"refusal": "I can"}}]}, {"choices": [{"delta": {"refusal": "not."}}]})
    collected.add(chunk(finish="stop"))
    assert (collected.completion().text, collected.completion().refusal) == ("", "I cannot.")


def test_only_text_parts_of_a_list_are_the_answer():
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Yes"}]
    _, texts = answer(chunk(parts))
    assert texts == ["Yes"]


@pytest.mark.parametrize(
    "field",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_content": "", "reasoning": "hm"},
        {"reasoning_content": None, "reasoning": "hm"},
        {"reasoning_content": {"text": "?"}, "reasoning": "hm"},
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.encrypted", "data": "c2VjcmV0"}]},
        {"content": [thinking("h", "m")]},
        {"content": [{"type": "thinking", "thinking": "hm"}]},
    ],
)
def test_reasoning_is_read_under_every_name_and_once(field):
    collected, said = deltas({"choices": [{"delta": field}]}, chunk("Yes", finish="stop"))
    assert said == [ReasoningDelta("hm"), TextDelta("Yes")]
    assert (collected.completion().reasoning, collected.completion().text) == ("hm", "Yes")


def test_reasoning_and_text_of_one_chunk_come_in_this_order():
    _, said = deltas(chunk([{"type": "text", "text": "Yes"}, thinking("hm")], finish="stop"))
    assert said == [ReasoningDelta("hm"), TextDelta("Yes")]


@pytest.mark.parametrize(
    "field", [{"reasoning": ["a"]}, {"reasoning": {"content": "a"}}, {"content": [{"type": "thinking", "thinking": 5}]}]
)
def test_reasoning_of_an_unexpected_type_is_passed_over(field):
    collected, said = deltas({"choices": [{"delta": field}]}, chunk("Yes", finish="stop"))
    assert said == [TextDelta("Yes")]
    assert collected.completion().reasoning is None


def test_a_character_in_two_deltas_is_one_whatever_comes_between():
    collected, said = deltas(
        chunk("a\ud83d"),
        chunk(""),
        {"choices": [{"delta": {"reasoning": "\ud83d"}}]},
        {"choices": [{"delta": {"refusal": "\ud83d"}}]},
        chunk("\ude00b"),
        {"choices": [{"delta": {"reasoning": "\ude00", "refusal": "\ude00"}, "finish_reason": "stop"}]},
    )
    assert said == [TextDelta("a"), TextDelta("😀b"), ReasoningDelta("😀")]
    done = collected.completion()
    assert (done.text, done.reasoning, done.refusal) == ("a😀b", "😀", "😀")


def test_half_a_character_at_the_end_is_a_last_delta():
    collected, said = deltas(chunk("a\ud83d"), {"choices": [{"delta": {"reasoning": "b\ud83d"}}]}, chunk(finish="stop"))
    assert said == [TextDelta("a"), ReasoningDelta("b"), ReasoningDelta("\ufffd"), TextDelta("\ufffd")]
    assert (collected.completion().text, collected.completion().reasoning) == ("a\ufffd", "b\ufffd")


def test_no_other_text_of_a_chunk_has_half_a_character():
    call = {"index": 0, "id": "c\ud83d", "function": {"name": "f\ude00", "arguments": {"a": "\ude00é"}}}
    collected, _ = answer(chunk("a", finish="stop", calls=[call], id="r\ud83d", model="m\ud83d"))
    done = collected.completion()
    assert (done.response_id, done.model) == ("r\ufffd", "m\ufffd")
    assert done.tool_calls == (ToolCall("c\ufffd", "f\ufffd", '{"a": "\ufffdé"}'),)


def test_the_last_token_count_wins():
    usage = [{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2)]
    collected, _ = answer(chunk("a", usage=usage[0]), chunk("b", finish="stop", usage=usage[1]), chunk(usage=None))
    assert collected.completion().usage == Usage(5, 2)


def test_a_path_on_the_server_is_not_a_models_name():
    collected, _ = answer(chunk("a", finish="stop", model="/srv/models/tiny.gguf"))
    assert collected.completion().model == "asked"


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"choices": None},
        {"choices": "x"},
        {"choices": [None]},
        {"choices": [{"delta": []}]},
        {"usage": [1]},
        {"choices": [{"delta": {"content": 5, "tool_calls": 7, "refusal": {}}, "finish_reason": 1}]},
        {"id": 5, "model": 6},
    ],
)
def test_garbage_is_ignored(garbage):
    collected, texts = answer(garbage, chunk("a", finish="stop"))
    assert texts == ["", "a"]
    assert collected.completion().text == "a"
