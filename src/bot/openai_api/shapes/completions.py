"""Chat completions as clients get them: whole, and in chunks."""

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field

from bot.http.types import View
from bot.llm.types import Completion, ReasoningDelta, TextDelta, ToolCall, Usage


class ChatFunctionView(View):
    """A function to call, and its arguments as JSON, as the model wrote them."""

    name: str
    arguments: str


class ChatToolCallView(View):
    """A function call, which the client runs."""

    id: str
    type: Literal["function"] = "function"
    function: ChatFunctionView


class ChatMessageView(View):
    """The agent's message."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None
    annotations: list[dict[str, Any]]
    tool_calls: list[ChatToolCallView] | None = Field(None, description="Only if the model calls functions.")
    reasoning_content: str | None = Field(None, description="What the model reasoned before, if it gave that.")


class ChatChoiceView(View):
    """The one choice."""

    index: Literal[0] = 0
    message: ChatMessageView
    finish_reason: Literal["stop", "length", "tool_calls", "content_filter"]
    logprobs: None = None


class ChatUsageView(View):
    """The tokens, as the model server counted them; without its count, Turntable's."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatCompletionView(View):
    """An answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str = Field(description="The `model` of the request.")
    choices: list[ChatChoiceView]
    usage: ChatUsageView
    service_tier: Literal["default"] = "default"
    system_fingerprint: None = None


def show_completion(head: dict[str, Any], completion: Completion) -> dict[str, Any]:
    """Return a whole answer; `head` has its id, its time and its model."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.text or None, "refusal": completion.refusal}
    message["annotations"] = []
    if completion.tool_calls:
        message["tool_calls"] = [_call(call) for call in completion.tool_calls]
    elif completion.refusal is None:
        message["content"] = completion.text
    if completion.reasoning is not None:
        message["reasoning_content"] = completion.reasoning
    choice = {"index": 0, "message": message, "finish_reason": completion.finish_reason, "logprobs": None}
    return {
        "id": head["id"],
        "object": "chat.completion",
        "created": head["created"],
        "model": head["model"],
        "choices": [choice],
        "usage": _usage(completion.usage),
        "service_tier": "default",
        "system_fingerprint": None,
    }


class Chunks:
    """The chunks of one streamed answer."""

    def __init__(self, head: dict[str, Any], *, include_usage: bool) -> None:
        """Take its id, its time and its model, and whether the tokens are in one more chunk."""
        self._head = {
            "id": head["id"],
            "object": "chat.completion.chunk",
            "created": head["created"],
            "model": head["model"],
            "service_tier": "default",
            "system_fingerprint": None,
        }
        self._include_usage = include_usage

    def start(self) -> dict[str, Any]:
        """Return the first chunk."""
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def delta(self, event: TextDelta | ReasoningDelta) -> dict[str, Any]:
        """Return the chunk of a delta."""
        return self._chunk({"content" if isinstance(event, TextDelta) else "reasoning_content": event.text})

    def end(self, completion: Completion) -> Iterator[dict[str, Any]]:
        """Yield the chunks after the last delta."""
        if completion.refusal is not None:
            yield self._chunk({"refusal": completion.refusal})
        for index, call in enumerate(completion.tool_calls):
            yield self._chunk({"tool_calls": [{"index": index, **_call(call)}]})
        yield self._chunk({}, completion.finish_reason)
        if self._include_usage:
            yield {**self._head, "choices": [], "usage": _usage(completion.usage)}

    def of(self, answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the chunks of a whole answer that was shown before."""
        (choice,) = answer["choices"]
        message = choice["message"]
        yield self.start()
        for name in ("reasoning_content", "content", "refusal"):
            if message.get(name):
                yield self._chunk({name: message[name]})
        for index, call in enumerate(message.get("tool_calls", ())):
            yield self._chunk({"tool_calls": [{"index": index, **call}]})
        yield self._chunk({}, choice["finish_reason"])
        if self._include_usage:
            yield {**self._head, "choices": [], "usage": answer["usage"]}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head, "choices": [choice], **({"usage": None} if self._include_usage else {})}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _usage(usage: Usage | None) -> dict[str, int]:
    counted = usage or Usage(0, 0)
    return {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }
