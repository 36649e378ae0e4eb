"""The model's context: the system message, and as many whole turns as fit."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.llm.calls_in_words import NO_RESULT
from bot.llm.content import sent_content
from bot.llm.normal_form import BEGINNING, GO_ON, RESULTS_READ
from bot.llm.tokens import count_message
from bot.llm.types import ChatMessage, ToolCall
from bot.turns.chat_messages import LOST
from bot.turns.context import NO_ANSWER, asked_of, build_context
from models.message import Message
from models.table.errors import ContentUnavailable
from tests.unit.bot.said import agent, call, instruction, parts, result, user

UNLIMITED = 1_000_000


def context(
    earlier: Sequence[Message],
    *current: Message,
    system: str | None = None,
    window: int = 200,
    budget: int = UNLIMITED,
    cut: bool = False,
    functions: Sequence[str] = ("look",),
    shown: Sequence[str] | None = None,
) -> tuple[ChatMessage, ...]:
    limits: dict[str, Any] = {"window": window, "budget": budget, "cut": cut}
    return build_context(system, earlier, current, model="gpt-test", functions=functions, shown=shown, **limits)


def seen(messages: Sequence[ChatMessage]) -> list[Any]:
    """Return the context in a form that is readable in a failure."""
    return [
        f"{message.role} calls {','.join(each.id for each in message.tool_calls)}"
        if message.tool_calls
        else f"{message.role}: {sent_content(message)}"
        for message in messages
    ]


def talk(turns: int) -> list[Message]:
    return [
        message
        for number in range(turns)
        for message in (user(f"q{number}", f"turn_{number}"), agent(f"a{number}", f"turn_{number}"))
    ]


def tokens(*messages: ChatMessage) -> int:
    return sum(count_message(message, "gpt-test") for message in messages)


def test_the_context_is_in_order_with_the_system_message_first() -> None:
    found = context(talk(2), user("q2", "turn_2"), system="You are Ada.")
    assert seen(found) == ["system: You are Ada.", "user: q0", "assistant: a0", "user: q1", "assistant: a1", "user: q2"]


def test_without_a_system_message_there_is_none() -> None:
    assert seen(context([], user("q"))) == ["user: q"]
    assert seen(context([], user("q"), system="")) == ["user: q"]


def test_the_oldest_turns_are_left_out_first_and_only_as_a_whole() -> None:
    system, newest = ChatMessage("system", "You are Ada."), ChatMessage("user", "q3")
    question, answer = ChatMessage("user", "q2"), ChatMessage("assistant", "a2")
    two_messages = tokens(system, newest, question, answer)

    def told(budget: int) -> list[Any]:
        return seen(context(talk(3), user("q3"), system="You are Ada.", budget=budget))[1:]

    assert told(two_messages) == ["user: q2", "assistant: a2", "user: q3"]
    assert told(two_messages - 1) == ["user: q3"]
    assert told(two_messages + tokens(question, answer) - 1) == ["user: q2", "assistant: a2", "user: q3"]
    assert told(two_messages + tokens(question, answer)) == [
        "user: q1",
        "assistant: a1",
        "user: q2",
        "assistant: a2",
        "user: q3",
    ]


def test_a_turn_that_is_too_long_ends_the_context_though_older_ones_would_fit() -> None:
    earlier = [
        *talk(1),
        user("long " * 500, "turn_x"),
        agent("yes", "turn_x"),
        *talk(1)[:0],
        user("q", "t"),
        agent("a", "t"),
    ]
    assert seen(context(earlier, user("now"), budget=100)) == ["user: q", "assistant: a", "user: now"]


def test_the_system_message_and_the_question_are_always_included() -> None:
    found = context(talk(3), user("long " * 500), system="system " * 500, budget=10)
    assert [message.role for message in found] == ["system", "user"]


@pytest.mark.parametrize(("window", "expected"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3), (200, 3)])
def test_the_window_also_holds_whole_turns_only(window: int, expected: int) -> None:
    found = context(talk(3), user("now"), window=window)
    assert len(found) == 2 * expected + 1
    assert len(found) <= max(window, 1)


def test_an_unanswered_question_is_followed_by_a_note() -> None:
    earlier = [user("q0", "turn_0"), *talk(1)[:0], user("q1", "turn_1"), agent("a1", "turn_1")]
    assert seen(context(earlier, user("q2"))) == [f"user: q0\n\n{NO_ANSWER}\n\nq1", "assistant: a1", "user: q2"]


def test_the_note_counts_towards_the_budget() -> None:
    earlier = [user("q0", "turn_0")]
    whole = tokens(ChatMessage("user", f"q0\n\n{NO_ANSWER}\n\nq1"))
    assert seen(context(earlier, user("q1"), budget=whole)) == [f"user: q0\n\n{NO_ANSWER}\n\nq1"]
    assert seen(context(earlier, user("q1"), budget=whole - 1)) == ["user: q1"]


def test_unanswered_results_are_followed_by_the_note() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), result("c1", "t2")]
    assert seen(context(earlier, user("And now?"))) == [
        "user: q",
        "assistant calls c1",
        "tool: 42",
        f"assistant: {RESULTS_READ}",
        f"user: {NO_ANSWER}\n\nAnd now?",
    ]


def test_a_message_stored_without_a_reply_gets_no_note() -> None:
    assert seen(context([user("for the record"), agent("noted")], user("q"))) == [
        "user: for the record",
        "assistant: noted",
        "user: q",
    ]


def test_a_retry_sends_the_question_once_and_unchanged() -> None:
    earlier = [*talk(1), user("q1", "turn_1")]
    assert context(earlier) == context(talk(1), user("q1"))
    assert seen(context([user("q0", "turn_0"), user("q1", "turn_1")])) == [f"user: q0\n\n{NO_ANSWER}\n\nq1"]


def test_a_retry_sends_unanswered_results_unchanged() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), result("c1", "t2")]
    assert seen(context(earlier)) == ["user: q", "assistant calls c1", "tool: 42"]


def test_if_everything_is_answered_the_model_is_asked_to_continue() -> None:
    assert seen(context(talk(1))) == ["user: q0", "assistant: a0", f"user: {GO_ON}"]


@pytest.mark.parametrize("rest", [[agent("a0", "turn_0")], [result("c", "turn_0"), agent("a0", "turn_0")]])
def test_the_rest_of_a_turn_without_its_beginning_is_left_out(rest: list[Message]) -> None:
    earlier = [*rest, user("q1", "turn_1"), agent("a1", "turn_1")]
    assert seen(context(earlier, user("q2"), cut=True)) == ["user: q1", "assistant: a1", "user: q2"]


def test_a_complete_first_turn_stays_if_older_ones_were_not_read() -> None:
    assert seen(context(talk(1), user("q1"), cut=True)) == ["user: q0", "assistant: a0", "user: q1"]
    assert seen(context([agent("stored")], user("q1"), cut=True)) == [
        f"user: {BEGINNING}",
        "assistant: stored",
        "user: q1",
    ]


def test_a_stored_file_is_not_sent_since_a_model_that_reads_none_would_refuse_every_later_turn() -> None:
    file = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}}
    (message,) = context([], parts({"type": "text", "text": "Read!"}, file))
    assert "JVBERi0" not in str(message.content)
    assert "'file'" in str(message.content)


def test_parts_are_sent_as_parts() -> None:
    given = ({"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "https://a"}})
    (message,) = context([], parts(*given))
    assert message == ChatMessage("user", list(given))


def test_calls_made_together_are_one_message_and_their_results_follow() -> None:
    earlier = [user("q", "t1"), call("c1", "t1", "look", '{"a":1}'), call("c2", "t1")]
    found = context(earlier, result("c1", "t2", "one"), result("c2", "t2", "two"))
    assert found == (
        ChatMessage("user", "q"),
        ChatMessage("assistant", None, (ToolCall("c1", "look", '{"a":1}'), ToolCall("c2", "look", "{}"))),
        ChatMessage("tool", "one", tool_call_id="c1"),
        ChatMessage("tool", "two", tool_call_id="c2"),
    )


def test_text_before_a_call_is_in_the_message_of_the_call() -> None:
    found = context([user("q", "t1"), agent("Let me see.", "t1"), call("c1", "t1")], result("c1", "t2"))
    assert found[1] == ChatMessage("assistant", "Let me see.", (ToolCall("c1", "look", "{}"),))


def test_a_call_that_the_user_ignored_gets_a_placeholder_result() -> None:
    found = context([user("q", "t1"), call("c1", "t1"), call("c2", "t1")], user("Never mind."))
    assert seen(found) == [
        "user: q",
        "assistant calls c1,c2",
        f"tool: {NO_RESULT}",
        f"tool: {NO_RESULT}",
        f"assistant: {RESULTS_READ}",
        "user: Never mind.",
    ]
    assert [message.tool_call_id for message in found[2:4]] == ["c1", "c2"]


def test_a_call_at_the_end_gets_a_placeholder_result_too() -> None:
    assert seen(context([user("q", "t1"), call("c1", "t1")])) == ["user: q", "assistant calls c1", f"tool: {NO_RESULT}"]


def test_a_call_whose_result_was_deleted_gets_a_placeholder() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), call("c2", "t1"), result("c2", "t2", "two"), agent("a", "t2")]
    assert seen(context(earlier, user("next"))) == [
        "user: q",
        "assistant calls c1,c2",
        f"tool: {NO_RESULT}",
        "tool: two",
        "assistant: a",
        "user: next",
    ]


def test_a_result_whose_call_was_deleted_becomes_text() -> None:
    earlier = [user("q", "t1"), result("c9", "t2"), agent("a", "t2")]
    assert seen(context(earlier, user("next"))) == [
        f"user: q\n\n{NO_ANSWER}\n\n[A function returned: 42]",
        "assistant: a",
        "user: next",
    ]


def test_calls_of_a_function_that_the_agent_no_longer_has_become_text() -> None:
    earlier = [user("q", "t1"), call("c1", "t1", "look", '{"a":1}'), result("c1", "t2"), agent("a", "t2")]
    assert seen(context(earlier, user("next"), functions=())) == [
        'user: q\n\n[The function look was called with {"a":1} and returned: 42]',
        "assistant: a",
        "user: next",
    ]


@pytest.mark.parametrize("limits", [{"budget": 1}, {"window": 1}, {"budget": 1, "cut": True}])
def test_results_are_always_sent_with_the_turn_of_their_calls(limits: dict[str, Any]) -> None:
    earlier = [*talk(2), user("long " * 100, "t1"), call("c1", "t1")]
    assert seen(context(earlier, result("c1", "t2"), **limits))[1:] == ["assistant calls c1", "tool: 42"]
    assert len(context(earlier, result("c1", "t2"), **limits)) == 3


def test_a_question_with_calls_being_answered_gets_no_note() -> None:
    found = context([user("q", "t1"), call("c1", "t1")], result("c1", "t2"), user("and be quick"))
    assert seen(found) == [
        "user: q",
        "assistant calls c1",
        "tool: 42",
        f"assistant: {RESULTS_READ}",
        "user: and be quick",
    ]


def test_a_chain_of_calls_is_sent_from_its_first_question_on() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), result("c1", "t2"), call("c2", "t2")]
    assert seen(context(earlier, result("c2", "t3", "two"))) == [
        "user: q",
        "assistant calls c1",
        "tool: 42",
        "assistant calls c2",
        "tool: two",
    ]


def test_the_messages_that_a_turn_answers() -> None:
    first, second = user("q0", "t0"), user("q1", "t1")
    assert asked_of([first], [second]) == {second.message_id}
    assert asked_of([first, second], []) == {second.message_id}
    assert asked_of([*talk(1)], []) == frozenset()
    assert asked_of([], []) == frozenset()


def test_earlier_images_become_text_if_only_current_ones_are_shown() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://a.test/cat.png"}}
    old, new = parts(image, turn="t1"), parts({"type": "text", "text": "And this?"}, image)
    (message,) = context([old], new, shown=[new.message_id])
    assert message.sources == (old.message_id, "", new.message_id, new.message_id)
    assert message.content == [
        {"type": "text", "text": "[An image that you cannot look at: https://a.test/cat.png]"},
        {"type": "text", "text": NO_ANSWER},
        {"type": "text", "text": "And this?"},
        image,
    ]


def test_a_lost_text_becomes_a_note_and_an_unreachable_one_is_an_error() -> None:
    lost = user("gone", "t1")
    lost.unavailable = ContentUnavailable("it is missing from the bucket", lasting=True)
    assert seen(context([lost, agent("a", "t1")], user("next"))) == [f"user: {LOST}", "assistant: a", "user: next"]
    lost.unavailable = ContentUnavailable("S3 does not answer")
    with pytest.raises(ContentUnavailable):
        context([lost, agent("a", "t1")], user("next"))


ODD: list[dict[str, Any]] = [
    {"type": "function_call", "content": None, "attributes": None},
    {"type": "function_call", "content": None, "attributes": {"call_id": "c1", "function_name": "look"}},
    {"type": "function_call", "content": "{", "attributes": {"call_id": None, "function_name": 7}},
    {"type": "function_result", "content": None, "attributes": None},
    {"type": "parts", "content": "no JSON"},
    {"type": "parts", "content": None},
    {"type": "parts", "content": "[]"},
    {"type": "parts", "content": '[{"type":"image_url"},{"type":"image_url","image_url":{"url":7}},{"a":1},{}]'},
    {"type": "parts", "content": '["text", 3]'},
    {"type": "parts", "content": r'[{"type":"text","text":"half \ud800"}]'},
    {"type": "from tomorrow", "content": None},
    {"role": "from tomorrow", "content": " "},
    {"role": "developer", "sender": "system", "content": "Be brief."},
]


@pytest.mark.parametrize("odd", ODD, ids=str)
def test_an_odd_item_in_the_table_is_no_error(odd: dict[str, Any]) -> None:
    for turn in (None, "t1"):
        message = user("x", turn)
        for name, value in odd.items():
            setattr(message, name, value)
        for found in (context([message], user("next")), context([*talk(1), message]), context([], message)):
            json.dumps([sent_content(each) for each in found], ensure_ascii=False).encode()
            assert found[-1].role in ("user", "tool")
            assert all(sent_content(each) or each.tool_calls for each in found)


turns = st.sampled_from(
    [
        [("user", "q"), ("agent", "a")],
        [("user", "long " * 60), ("agent", "a " * 40)],
        [("user", "q")],
        [("agent", "stored")],
        [("system", "be brief")],
        [("user", "q"), ("agent", " ")],
        [("user", "q"), ("call", "c1"), ("result", "c1"), ("agent", "a")],
        [("user", "q"), ("call", "c1")],
        [("result", "c1")],
    ]
)


def stored(number: int, steps: list[tuple[str, str]]) -> list[Message]:
    made = {"user": user, "agent": agent, "call": call, "result": result, "system": instruction}
    return [made[kind](text, f"turn_{number}") for kind, text in steps]


@given(st.lists(turns, max_size=12), st.integers(0, 500) | st.integers(0, 2000), st.booleans())
@settings(max_examples=200)
def test_the_budget_holds_what_is_sent_and_no_turn_more_would_fit(
    given_turns: list[list[tuple[str, str]]], budget: int, declared: bool
) -> None:
    every = [stored(number, steps) for number, steps in enumerate(given_turns)]
    functions = ["look"] if declared else []

    def of(number: int, limit: int = UNLIMITED) -> tuple[ChatMessage, ...]:
        earlier = [message for turn in every[len(every) - number :] for message in turn]
        return context(earlier, now, system="Be Ada.", functions=functions, budget=limit)

    now = user("And now?", "turn_now")
    fitting = [number for number in range(len(every) + 1) if tokens(*of(number)) <= budget]
    found = of(len(every), budget)
    assert found in [of(number) for number in (fitting or [0])]
    assert tokens(*found) <= budget or found == of(0)
    # One more turn adds tokens, but a context that begins with the user needs no note about its beginning.
    most = max(number for number in range(len(every) + 1) if number == 0 or tokens(*of(number)) <= budget - 10)
    assert len(str(found)) >= len(str(of(most)))
