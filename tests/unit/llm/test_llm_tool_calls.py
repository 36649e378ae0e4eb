"""Function calls come out whole, whatever way a server cuts them up."""

import json

import pytest

from bot.llm.tool_calls import ToolCallJoiner
from bot.llm.types import ToolCall


def delta(index=None, call_id=None, name=None, arguments=None):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    whole = {"index": index, "id": call_id, "type": "function", "function": function}
    return {key: value for key, value in whole.items() if value is not None}


def join(*chunks, salt=""):
    joiner = ToolCallJoiner(salt)
    for chunk in chunks:
        joiner.add(chunk)
    return joiner.calls()


def test_fragments_under_one_index_make_one_call():
    calls = join(
        [delta(0, "call_a", "get_weather", "")],
        [delta(0, arguments='{"city": ')],
        [delta(0, arguments='"Paris"}')],
    )
    assert calls == (ToolCall("call_a", "get_weather", '{"city": "Paris"}'),)


def test_calls_that_are_streamed_at_once_stay_apart():
    calls = join(
        [delta(0, "a", "one", "")],
        [delta(1, "b", "two", "")],
        [delta(1, arguments='{"y"'), delta(0, arguments='{"x"')],
        [delta(0, arguments=":1}"), delta(1, arguments=":2}")],
    )
    assert calls == (ToolCall("a", "one", '{"x":1}'), ToolCall("b", "two", '{"y":2}'))


def test_whole_calls_without_an_index_stay_apart():
    calls = join([delta(None, "a", "f", '{"x":1}'), delta(None, "b", "f", '{"x":2}')])
    assert [call.arguments for call in calls] == ['{"x":1}', '{"x":2}']


def test_fragments_without_an_index_go_to_the_last_call():
    calls = join([delta(None, "a", "f", "")], [delta(arguments='{"x"')], [delta(arguments=":1}")])
    assert calls == (ToolCall("a", "f", '{"x":1}'),)


def test_fragments_without_an_index_go_to_the_call_whose_id_they_carry():
    calls = join(
        [delta(None, "a", "f", "{"), delta(None, "b", "g", "{")],
        [delta(None, "a", None, "}"), delta(None, "b", None, '"k":1}')],
    )
    assert [call.arguments for call in calls] == ["{}", '{"k":1}']


def test_whole_calls_that_all_have_index_0_stay_apart():
    calls = join([delta(0, "a", "f", "{}")], [delta(0, "b", "g", "{}")])
    assert [(call.id, call.name) for call in calls] == [("a", "f"), ("b", "g")]


def test_whole_calls_with_index_0_and_no_id_stay_apart():
    calls = join([delta(0, None, "f", '{"x":1}')], [delta(0, None, "f", '{"x":2}')])
    assert [call.arguments for call in calls] == ['{"x":1}', '{"x":2}']


def test_an_id_that_changes_with_each_fragment_is_one_call():
    calls = join([delta(0, "id1", "f", "")], [delta(0, "id2", None, '{"x"')], [delta(0, "id3", None, ":1}")])
    assert calls == (ToolCall("id1", "f", '{"x":1}'),)


def test_a_name_that_is_repeated_with_each_fragment_is_one_call():
    calls = join([delta(0, "a", "f", '{"x"')], [delta(0, "a", "f", ":1}")])
    assert calls == (ToolCall("a", "f", '{"x":1}'),)
    calls = join([delta(0, None, "f", '{"x"')], [delta(0, None, "f", ":1}")])
    assert [(call.name, call.arguments) for call in calls] == [("f", '{"x":1}')]


def test_missing_ids_are_made_up_the_same_way_each_time_and_never_twice():
    chunks = ([delta(0, None, "f", "{}")], [delta(1, None, "f", "{}")])
    first, second = join(*chunks), join(*chunks)
    assert first == second
    assert first[0].id != first[1].id
    assert all(call.id.startswith("call_") for call in first)
    assert {call.id for call in first}.isdisjoint(call.id for call in join(*chunks, salt="7"))


def test_an_id_that_two_calls_share_is_given_to_the_first_only():
    calls = join([delta(0, "same", "f", "{}")], [delta(1, "same", "g", "{}")])
    assert calls[0].id == "same"
    assert calls[1].id != "same"


def test_no_arguments_are_an_empty_object():
    assert join([delta(0, "a", "f", "")])[0].arguments == "{}"
    assert join([delta(0, "a", "f")])[0].arguments == "{}"


def test_arguments_that_come_as_an_object_become_json():
    assert json.loads(join([delta(0, "a", "f", {"x": [1]})])[0].arguments) == {"x": [1]}


def test_a_character_in_two_fragments_is_one_and_calls_do_not_share_halves():
    calls = join(
        [delta(0, "a", "f", '{"x":"\ud83d'), delta(1, "b", "g", '{"y":"\ud83d')],
        [delta(0, arguments=""), delta(1, arguments='z"}')],
        [delta(0, arguments='\ude00"}')],
    )
    assert [call.arguments for call in calls] == ['{"x":"😀"}', '{"y":"\ufffdz"}']


def test_arguments_that_end_in_half_a_character_are_whole_each_time_they_are_read():
    joiner = ToolCallJoiner()
    joiner.add([delta(0, None, "f", '{"x":"\ud83d')])
    assert joiner.calls() == joiner.calls()
    assert joiner.calls()[0].arguments == '{"x":"\ufffd'


def test_broken_arguments_are_kept_as_the_model_wrote_them():
    assert join([delta(0, "a", "f", '{"x": ')])[0].arguments == '{"x": '


@pytest.mark.parametrize("garbage", [None, "text", {}, [None], ["x"], [{"index": "0"}], [{"function": "f"}], 5])
def test_garbage_is_ignored(garbage):
    joiner = ToolCallJoiner()
    joiner.add(garbage)
    joiner.add([delta(0, "a", "f", "{}")])
    assert joiner.calls()[-1].name == "f"
