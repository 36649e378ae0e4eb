"""Function calls of the agent, which the caller runs: calls and their results are messages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from bot.errors import FieldError, ProviderError, ProviderIncomplete, ToolResultsExpected
from bot.llm.types import Completion, ToolCall
from models.access_patterns.messages import Draft
from models.message import Message

# An answer is stored in one transaction, and so are the results; DynamoDB allows 100 items in one.
MAX_CALLS = 64


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a function call."""

    call_id: str
    content: str


def check_calls(completion: Completion) -> None:
    """Check that the function calls of an answer can be stored and run.

    Raises:
        ProviderError: there are too many.
        ProviderIncomplete: the answer was cut off by `max_tokens` within a call.
    """
    calls = completion.tool_calls
    if len(calls) > MAX_CALLS:
        raise ProviderError(f"The model made {len(calls)} function calls at once; at most {MAX_CALLS} can be answered.")
    if calls and completion.finish_reason == "length" and not _is_json(calls[-1].arguments):
        raise ProviderIncomplete("The model's answer was cut off by max_tokens within a function call.")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def call_draft(call: ToolCall, llm_response_id: str | None) -> Draft:
    """Return the message that stores a function call of the agent."""
    return Draft(
        "agent",
        call.arguments,
        type="function_call",
        attributes={"is_function_call": True, "call_id": call.id, "function_name": call.name},
        llm_response_id=llm_response_id,
    )


def call_of(message: Message) -> ToolCall:
    """Return the function call that a message stores; a field that is missing or unavailable is empty."""
    attributes = message.attributes or {}
    return ToolCall(
        str(attributes.get("call_id") or ""),
        str(attributes.get("function_name") or ""),
        "" if message.unavailable is not None else message.content or "",
    )


def pending_calls(messages: Sequence[Message]) -> dict[str, ToolCall]:
    """Return the pending calls, which are those at the end of the conversation, by id.

    A call is no longer pending if the user continued the conversation without its result.
    """
    pending: dict[str, ToolCall] = {}
    for message in reversed(messages):
        if message.type != "function_call":
            break
        call = call_of(message)
        pending[call.id] = call
    return dict(reversed(pending.items()))


def result_drafts(messages: Sequence[Message], results: Sequence[ToolResult]) -> list[Draft]:
    """Return the messages for the results of all pending calls, in the order of the calls.

    Raises:
        ToolResultsExpected: no call is pending, one has no result, or a result is not for a pending call.
    """
    pending = pending_calls(messages)
    given = {result.call_id: result for result in results}
    if not pending:
        raise ToolResultsExpected(
            "No function call of the agent is waiting for a result.",
            fields=(FieldError("results", "only after a message of type function_call"),),
        )
    if set(given) != set(pending) or len(given) != len(results):
        raise ToolResultsExpected(
            "Send exactly one result for each pending function call.",
            fields=(FieldError("results", f"one for each of: {', '.join(pending)}"),),
            extra={"expected_call_ids": list(pending)},
        )
    return [
        Draft(
            "tool",
            given[call_id].content,
            type="function_result",
            attributes={"call_id": call_id, "function_name": call.name},
        )
        for call_id, call in pending.items()
    ]
