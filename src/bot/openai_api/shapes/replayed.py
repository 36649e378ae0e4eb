"""The events of a response that was shown before, with one delta for each text."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from bot.llm.types import Completion, ToolCall, Usage
from bot.openai_api.shapes.answered import ResponseStream, whole

_FINISHED: dict[str | None, Any] = {None: "stop", "max_output_tokens": "length", "content_filter": "content_filter"}


def events_of(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a whole response that completed, or is incomplete."""
    head = response | {"status": "in_progress", "output": [], "usage": None, "completed_at": None}
    head["incomplete_details"] = None
    ended = response["completed_at"] or response["created_at"]
    yield from whole(ResponseStream(head), _completion(response), datetime.fromtimestamp(ended, UTC))


def _completion(response: dict[str, Any]) -> Completion:
    texts: dict[str, list[str]] = {"reasoning_text": [], "output_text": [], "refusal": []}
    calls = []
    for item in response["output"]:
        for part in item.get("content", ()):
            texts[part["type"]].append(part.get("text") or part.get("refusal") or "")
        if item["type"] == "function_call":
            calls.append(ToolCall(item["call_id"], item["name"], item["arguments"]))
    reason = (response["incomplete_details"] or {}).get("reason")
    usage = response["usage"]
    return Completion(
        text="".join(texts["output_text"]),
        tool_calls=tuple(calls),
        finish_reason=_FINISHED[reason],
        response_id=None,
        model=response["model"],
        usage=Usage(usage["input_tokens"], usage["output_tokens"]),
        refusal="".join(texts["refusal"]) or None,
        reasoning="".join(texts["reasoning_text"]) or None,
    )
