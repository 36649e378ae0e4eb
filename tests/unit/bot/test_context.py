"""What the model sees: the system message, and whole turns, as many as fit."""

from collections.abc import Sequence
from typing import Any

import pytest

from bot.llm.tokens import count_message
from bot.llm.types import ChatMessage, ToolCall
from bot.turns.context import NO_ANSWER, NO_RESULT, build_context
from models.message import Message
from tests.unit.bot.said import agent, call, parts, result, user

UNLIMITED = 1_000_000


def context(
    earlier: Sequence[Message],
    *current: Message,
    system: str | None = None,
    window: int = 200,
    budget: int = UNLIMITED,
    cut: bool = False,
) -> tuple[ChatMessage, ...]:
    return build_context(system, earlier, current, model="gpt-test", window=window, budget=budget, cut=cut)


def seen(messages: Sequence[ChatMessage]) -> list[Any]:
    """Return what is told in a form that reads well in a failure."""
    return [
        f"{message.role} calls {','.join(each.id for each in message.tool_calls)}"
        if message.tool_calls
        else f"{message.role}: {message.content}"
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


def test_the_conversation_is_told_in_order_with_the_system_message_first() -> None:
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


def test_the_system_message_and_the_question_are_told_whatever_they_take() -> None:
    found = context(talk(3), user("long " * 500), system="system " * 500, budget=10)
    assert [message.role for message in found] == ["system", "user"]


@pytest.mark.parametrize(("window", "expected"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 3), (200, 3)])
def test_the_window_holds_whole_turns_too(window: int, expected: int) -> None:
    found = context(talk(3), user("now"), window=window)
    assert len(found) == 2 * expected + 1
    assert len(found) <= max(window, 1)


def test_a_question_that_got_no_answer_is_told_with_a_note() -> None:
    earlier = [user("q0", "turn_0"), *talk(1)[:0], user("q1", "turn_1"), agent("a1", "turn_1")]
    assert seen(context(earlier, user("q2"))) == [
        "user: q0",
        f"system: {NO_ANSWER}",
        "user: q1",
        "assistant: a1",
        "user: q2",
    ]


def test_the_note_counts_towards_the_budget() -> None:
    earlier = [user("q0", "turn_0")]
    whole = tokens(ChatMessage("user", "q0"), ChatMessage("system", NO_ANSWER), ChatMessage("user", "q1"))
    assert len(context(earlier, user("q1"), budget=whole)) == 3
    assert seen(context(earlier, user("q1"), budget=whole - 1)) == ["user: q1"]


def test_a_message_that_was_only_stored_asked_for_no_answer() -> None:
    assert seen(context([user("for the record"), agent("noted")], user("q"))) == [
        "user: for the record",
        "assistant: noted",
        "user: q",
    ]


def test_trying_again_after_a_failure_tells_the_question_once_and_the_failure() -> None:
    assert seen(context([user("q0", "turn_0")])) == ["user: q0", f"system: {NO_ANSWER}"]


@pytest.mark.parametrize("rest", [[agent("a0", "turn_0")], [result("c", "turn_0"), agent("a0", "turn_0")]])
def test_what_is_left_of_a_turn_that_was_read_without_its_beginning_is_left_out(rest: list[Message]) -> None:
    earlier = [*rest, user("q1", "turn_1"), agent("a1", "turn_1")]
    assert seen(context(earlier, user("q2"), cut=True)) == ["user: q1", "assistant: a1", "user: q2"]


def test_a_first_turn_that_is_whole_stays_though_older_ones_were_not_read() -> None:
    assert seen(context(talk(1), user("q1"), cut=True)) == ["user: q0", "assistant: a0", "user: q1"]
    assert seen(context([agent("stored")], user("q1"), cut=True)) == ["assistant: stored", "user: q1"]


def test_parts_are_told_as_parts() -> None:
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


def test_text_before_a_call_stands_in_the_message_that_calls() -> None:
    found = context([user("q", "t1"), agent("Let me see.", "t1"), call("c1", "t1")], result("c1", "t2"))
    assert found[1] == ChatMessage("assistant", "Let me see.", (ToolCall("c1", "look", "{}"),))


def test_a_call_that_the_user_talked_past_gets_a_result_that_says_so() -> None:
    found = context([user("q", "t1"), call("c1", "t1"), call("c2", "t1")], user("Never mind."))
    assert seen(found) == [
        "user: q",
        "assistant calls c1,c2",
        f"tool: {NO_RESULT}",
        f"tool: {NO_RESULT}",
        "user: Never mind.",
    ]
    assert [message.tool_call_id for message in found[2:4]] == ["c1", "c2"]


def test_a_call_at_the_end_gets_one_too() -> None:
    assert seen(context([user("q", "t1"), call("c1", "t1")])) == ["user: q", "assistant calls c1", f"tool: {NO_RESULT}"]


def test_a_call_whose_result_was_deleted_gets_one_and_the_others_keep_theirs() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), call("c2", "t1"), result("c2", "t2", "two"), agent("a", "t2")]
    assert seen(context(earlier, user("next"))) == [
        "user: q",
        "assistant calls c1,c2",
        "tool: two",
        f"tool: {NO_RESULT}",
        "assistant: a",
        "user: next",
    ]


def test_a_result_whose_call_is_not_there_is_left_out() -> None:
    earlier = [user("q", "t1"), result("c9", "t2"), agent("a", "t2")]
    assert "tool" not in [message.role for message in context(earlier, user("next"))]


@pytest.mark.parametrize("limits", [{"budget": 1}, {"window": 1}, {"budget": 1, "cut": True}])
def test_results_are_told_with_the_turn_that_asked_for_them_whatever_it_takes(limits: dict[str, Any]) -> None:
    earlier = [*talk(2), user("long " * 100, "t1"), call("c1", "t1")]
    assert seen(context(earlier, result("c1", "t2"), **limits))[1:] == ["assistant calls c1", "tool: 42"]
    assert len(context(earlier, result("c1", "t2"), **limits)) == 3


def test_a_question_whose_calls_are_being_answered_is_not_said_to_be_unanswered() -> None:
    found = context([user("q", "t1"), call("c1", "t1")], result("c1", "t2"), user("and be quick"))
    assert seen(found) == ["user: q", "assistant calls c1", "tool: 42", "user: and be quick"]


def test_a_chain_of_calls_is_told_from_its_first_question_on() -> None:
    earlier = [user("q", "t1"), call("c1", "t1"), result("c1", "t2"), call("c2", "t2")]
    assert seen(context(earlier, result("c2", "t3", "two"))) == [
        "user: q",
        "assistant calls c1",
        "tool: 42",
        "assistant calls c2",
        "tool: two",
    ]
