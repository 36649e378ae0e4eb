"""Function calls: which are pending, and which results match them."""

import pytest

from bot.errors import ProviderError, ProviderIncomplete, ToolResultsExpected
from bot.llm.types import Completion, FinishReason, ToolCall
from bot.turns.tools import MAX_CALLS, ToolResult, call_draft, call_of, check_calls, pending_calls, result_drafts
from models.access_patterns.messages import MAX_APPEND
from tests.unit.bot.said import agent, call, result, user

WAITING = [user("q", "t1"), call("c1", "t1", "look", '{"a": 1}'), call("c2", "t1", "find")]


def test_a_call_is_a_message_that_leads_back_to_the_call() -> None:
    draft = call_draft(ToolCall("c1", "look", '{"a":1}'), "resp_1")
    assert (draft.sender, draft.type, draft.content, draft.llm_response_id) == (
        "agent",
        "function_call",
        '{"a":1}',
        "resp_1",
    )
    assert draft.attributes == {"is_function_call": True, "call_id": "c1", "function_name": "look"}
    assert call_of(call("c1", "t1", "look", '{"a":1}')) == ToolCall("c1", "look", '{"a":1}')


def test_the_calls_at_the_end_are_pending_in_their_order() -> None:
    assert list(pending_calls(WAITING).items()) == [
        ("c1", ToolCall("c1", "look", '{"a": 1}')),
        ("c2", ToolCall("c2", "find", "{}")),
    ]


@pytest.mark.parametrize("after", [user("never mind"), result("c1", "t2"), agent("a", "t2")])
def test_ignored_calls_are_no_longer_pending(after: object) -> None:
    assert pending_calls([*WAITING, after]) == {}  # type: ignore[list-item]
    assert pending_calls([]) == {}


def test_results_become_messages_in_the_order_of_the_calls() -> None:
    drafts = result_drafts(WAITING, [ToolResult("c2", "two"), ToolResult("c1", "")])
    assert [(each.sender, each.type, each.content) for each in drafts] == [
        ("tool", "function_result", ""),
        ("tool", "function_result", "two"),
    ]
    assert [each.attributes for each in drafts] == [
        {"call_id": "c1", "function_name": "look"},
        {"call_id": "c2", "function_name": "find"},
    ]


@pytest.mark.parametrize(
    "given", [["c1"], ["c2"], ["c1", "c2", "c3"], ["c1", "c3"], ["c1", "c1"], ["c1", "c2", "c2"], ["C1", "c2"]]
)
def test_results_that_do_not_fit_the_calls_are_refused_with_the_ids_that_do(given: list[str]) -> None:
    with pytest.raises(ToolResultsExpected) as refused:
        result_drafts(WAITING, [ToolResult(call_id, "r") for call_id in given])
    assert refused.value.extra == {"expected_call_ids": ["c1", "c2"]}
    assert refused.value.fields[0].field == "results"


def test_results_without_pending_calls_are_refused() -> None:
    with pytest.raises(ToolResultsExpected, match="No function call"):
        result_drafts([*WAITING, user("never mind")], [ToolResult("c1", "r"), ToolResult("c2", "r")])


def completion(*arguments: str, finish_reason: FinishReason = "tool_calls") -> Completion:
    calls = tuple(ToolCall(f"c{number}", "look", each) for number, each in enumerate(arguments))
    return Completion("", calls, finish_reason, "resp_1", "gpt-test", None)


def test_more_calls_than_can_be_stored_and_answered_together_fail_the_turn() -> None:
    check_calls(completion(*["{}"] * MAX_CALLS))
    with pytest.raises(ProviderError, match="65 function calls"):
        check_calls(completion(*["{}"] * (MAX_CALLS + 1)))
    assert MAX_CALLS < MAX_APPEND, "text and calls of an answer are stored in one transaction"


def test_a_call_that_was_cut_off_by_max_tokens_fails_the_turn() -> None:
    with pytest.raises(ProviderIncomplete, match="max_tokens"):
        check_calls(completion("{}", '{"place": "Lis', finish_reason="length"))
    check_calls(completion("{}", '{"place": "Lisbon"}', finish_reason="length"))


def test_arguments_that_are_not_json_are_left_to_the_caller() -> None:
    check_calls(completion("{broken"))
    check_calls(completion(finish_reason="length"))
