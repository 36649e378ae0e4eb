"""The form that all model servers take: whatever was said, no rule is broken, and nothing that was said is lost."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bot.llm.calls_in_words import EMPTY_RESULT, NO_RESULT, as_object
from bot.llm.content import sent_content
from bot.llm.dialects import Dialect
from bot.llm.history_form import HistoryForm
from bot.llm.normal_form import BEGINNING, BLANK, EMPTY_ANSWER, GO_ON, RESULTS_READ, normal_form
from bot.llm.types import ChatMessage, ModelRequest, ToolCall
from bot.llm.wire import request_params
from tests.strict_server import LEARNT, RULES

TOOLS = ({"name": "look"}, {"name": "find"})
FUNCTIONS = ("look", "find")
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}

texts = st.sampled_from(["", " ", "\n\t ", "Hi", "  padded  ", "half \ud800", "ümlaut", "long " * 300])
ids = st.sampled_from(["c1", "c2", "", "functions.look:0", "call_" + "x" * 90, "with space", "abcDEF123"])
names = st.sampled_from(["look", "find", "gone", "", "with space"])
arguments = st.sampled_from(
    ["{}", "", " ", '{"a":1}', "{", "[1]", '"x"', "null", '{"a":NaN}', "[" * 5000, '{"a":"\\ud800"}', "9" * 5000]
)
parts = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, texts),
    st.sampled_from([IMAGE, {"type": "image_url"}, {"type": "file", "file": {}}, {"type": "new"}, {}, {"text": 3}]),
)
contents = st.one_of(texts, st.lists(parts, max_size=4), st.none())
calls = st.builds(ToolCall, ids, names, arguments)
chat = st.lists(
    st.one_of(
        st.builds(ChatMessage, st.sampled_from(["system", "user", "user", "assistant"]), contents),
        st.builds(ChatMessage, st.just("assistant"), contents, st.lists(calls, min_size=1, max_size=3).map(tuple)),
        st.builds(lambda content, call_id: ChatMessage("tool", content, tool_call_id=call_id), contents, ids),
    ),
    max_size=12,
)


def body_of(messages: tuple[ChatMessage, ...], tools: tuple[dict[str, object], ...], form: HistoryForm) -> Any:
    return request_params(ModelRequest("m", messages, tools=tools), Dialect("max_tokens", history=form))


def broken(body: Any, rules: dict[str, Any] = RULES) -> dict[str, str]:
    return {name: refusal for name, rule in rules.items() if (refusal := rule(body)) is not None}


@given(chat, st.sampled_from([TOOLS, TOOLS[:1], ()]), st.booleans())
@settings(max_examples=500, suppress_health_check=[HealthCheck.too_slow])
@example([], (), True)
@example([ChatMessage("assistant", None, (ToolCall("c1", "look", "{"), ToolCall("c1", "look", "[]")))], TOOLS, True)
def test_every_history_has_a_form_that_all_servers_accept(
    messages: list[ChatMessage], tools: tuple[dict[str, object], ...], shown: bool
) -> None:
    functions = [str(tool["name"]) for tool in tools]
    form = normal_form(messages, functions=functions, shown=None if shown else ())
    assert broken(body_of(form, tools, HistoryForm())) == {}
    assert normal_form(form, functions=functions, shown=None if shown else ()) == form, "it is in that form already"
    if not shown:
        assert not LEARNT["no_images"](body_of(form, tools, HistoryForm()))


@given(chat, st.sampled_from([TOOLS, ()]), st.sets(st.sampled_from(sorted(HistoryForm.__dataclass_fields__))))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_the_forms_of_single_servers_keep_the_common_rules_and_their_own(
    messages: list[ChatMessage], tools: tuple[dict[str, object], ...], wanted: set[str]
) -> None:
    form = HistoryForm(**{name: name != "past_images" for name in wanted})
    body = body_of(normal_form(messages, functions=[str(tool["name"]) for tool in tools]), tools, form)
    kept = {"short_ids": ["nine"], "calls_apart": ["single"], "system_in_user": ["no_system"]}
    kept |= {"calls_in_words": ["no_tool_role", "thoughts"], "past_images": ["no_images"]}
    assert broken(body, RULES | {name: LEARNT[name] for each in wanted for name in kept[each]}) == {}


@given(st.lists(st.sampled_from(["user", "assistant", "system", "tool"]), max_size=12))
def test_every_text_is_kept_in_order(roles: list[Any]) -> None:
    messages = [ChatMessage(role, f"<{number}>", tool_call_id="c9") for number, role in enumerate(roles)]
    form = normal_form(messages, functions=FUNCTIONS)
    told = "\n".join(str(sent_content(message)) for message in form)
    spoken = [number for number, role in enumerate(roles) if role != "system"]
    instructions = [number for number, role in enumerate(roles) if role == "system"]
    places = [told.index(f"<{number}>") for number in [*instructions, *spoken]]
    assert places == sorted(places)


def told(*messages: ChatMessage, functions: tuple[str, ...] = FUNCTIONS) -> list[tuple[str, Any]]:
    return [(each.role, sent_content(each)) for each in normal_form(messages, functions=functions)]


USER, ANSWER = ChatMessage("user", "q"), ChatMessage("assistant", "a")


def test_a_valid_context_is_unchanged() -> None:
    messages = (
        ChatMessage("system", "Be Ada."),
        USER,
        ChatMessage("assistant", "Let me see.", (ToolCall("c1", "look", '{ "a": 1 }'), ToolCall("c2", "find", "{}"))),
        ChatMessage("tool", "one", tool_call_id="c1"),
        ChatMessage("tool", "two", tool_call_id="c2"),
        ANSWER,
        ChatMessage("user", [{"type": "text", "text": "and"}, IMAGE]),
    )
    assert normal_form(messages, functions=FUNCTIONS) == messages


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([], [("user", GO_ON)]),
        ([USER, ANSWER], [("user", "q"), ("assistant", "a"), ("user", GO_ON)]),
        ([ANSWER, USER], [("user", BEGINNING), ("assistant", "a"), ("user", "q")]),
        ([USER, USER], [("user", "q\n\nq")]),
        ([USER, ANSWER, ANSWER, USER], [("user", "q"), ("assistant", "a\n\na"), ("user", "q")]),
        ([USER, ChatMessage("assistant", " "), USER], [("user", f"q\n\n{EMPTY_ANSWER}\n\nq")]),
        ([ChatMessage("user", " \n")], [("user", BLANK)]),
        ([ChatMessage("user", [{"type": "text", "text": " "}])], [("user", BLANK)]),
        ([ChatMessage("system", " "), USER], [("user", "q")]),
        (
            [ChatMessage("system", "Be Ada."), USER, ANSWER, ChatMessage("system", "In French."), USER],
            [("system", "Be Ada.\n\nIn French."), ("user", "q"), ("assistant", "a"), ("user", "q")],
        ),
        ([ChatMessage("tool", "42", tool_call_id="c"), USER], [("user", "[A function returned: 42]\n\nq")]),
    ],
)
def test_each_rule(messages: list[ChatMessage], expected: list[tuple[str, Any]]) -> None:
    assert told(*messages) == expected


def test_calls_and_results() -> None:
    calling = ChatMessage("assistant", " ", (ToolCall("c1", "look", "{"), ToolCall("c1", "look", "")))
    first, second = ChatMessage("tool", "", tool_call_id="c1"), ChatMessage("tool", "2", tool_call_id="c9")
    form = normal_form([USER, calling, first, second, USER], functions=FUNCTIONS)
    assert [(each.role, sent_content(each)) for each in form] == [
        ("user", "q"),
        ("assistant", None),
        ("tool", EMPTY_RESULT),
        ("tool", NO_RESULT),
        ("assistant", RESULTS_READ),
        ("user", "[A function returned: 2]\n\nq"),
    ]
    made = form[1].tool_calls
    assert [json.loads(call.arguments) for call in made] == [{"invalid_arguments": "{"}, {}]
    assert made[0].id == "c1" != made[1].id
    assert [each.tool_call_id for each in form[2:4]] == [call.id for call in made]


def test_calls_of_undeclared_functions_become_text_in_place() -> None:
    calling = ChatMessage("assistant", "Wait.", (ToolCall("c1", "look", "{"), ToolCall("c2", "gone", "{}")))
    assert told(USER, calling, ChatMessage("tool", "1", tool_call_id="c1"), ANSWER, USER) == [
        ("user", "q"),
        ("assistant", "Wait."),
        (
            "user",
            (
                "[The function look was called with { and returned: 1]\n\n"
                "[The function gone was called with {} and gave no result]"
            ),
        ),
        ("assistant", "a"),
        ("user", "q"),
    ]


@given(arguments | st.text())
def test_arguments_become_an_object_and_an_object_stays(text: str) -> None:
    value = json.loads(as_object(text))
    assert isinstance(value, dict)
    assert as_object(as_object(text)) == as_object(text)


def test_each_part_keeps_the_message_that_it_came_from() -> None:
    first = ChatMessage("user", [{"type": "text", "text": "a"}, IMAGE], sources=("m1", "m1"))
    second, third = ChatMessage("user", "b", sources=("m2",)), ChatMessage("user", [IMAGE], sources=("m3",))
    (form,) = normal_form([first, second, third], functions=())
    assert form.sources == ("m1", "m1", "m2", "m3")
    (form,) = normal_form([first, second, third], functions=(), shown=["m3"])
    assert isinstance(form.content, list)
    assert [part["type"] for part in form.content] == ["text", "text", "text", "image_url"]


def test_an_image_in_words_is_its_address_and_never_its_bytes() -> None:
    data = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    assert told(ChatMessage("assistant", [data]), USER)[1] == (
        "assistant",
        "[An image that you cannot look at: data:image/png;base64]",
    )
