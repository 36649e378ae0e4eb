"""Responses as clients get them: whole, and as the events of a stream."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from bot.http.types import View
from bot.llm.types import Completion, ModelRequest, ReasoningDelta, TextDelta, Usage
from bot.openai_api.shapes.responses import ResponseCreate

Event = dict[str, Any]

# The clients know only these codes, and some for files and images.
_FAILED = {"rate_limit_error": "rate_limit_exceeded", "invalid_request_error": "invalid_prompt"}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class InputTokensDetails(View):
    """What is not known is 0."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputTokensDetails(View):
    """What is not known is 0."""

    reasoning_tokens: int = 0


class ResponseUsage(View):
    """The tokens, as the model server counted them; without its count, Turntable's."""

    input_tokens: int
    input_tokens_details: InputTokensDetails
    output_tokens: int
    output_tokens_details: OutputTokensDetails
    total_tokens: int


class ResponseView(View):
    """A response. Parameters that were not sent have the values that were used."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    completed_at: int | None
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    background: bool
    error: dict[str, Any] | None
    incomplete_details: dict[str, Any] | None
    instructions: str | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    model: str = Field(description="The `model` of the request.")
    output: list[dict[str, Any]] = Field(description="Items: `reasoning`, `message`, `function_call`.")
    parallel_tool_calls: bool
    previous_response_id: str | None
    prompt_cache_key: str | None
    reasoning: dict[str, Any] | None
    safety_identifier: str | None
    service_tier: str
    store: bool
    temperature: float
    text: dict[str, Any]
    tool_choice: str | dict[str, Any]
    tools: list[dict[str, Any]] = Field(description="The functions that the model was offered.")
    top_logprobs: int
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    truncation: Literal["auto", "disabled"]
    usage: ResponseUsage | None
    user: str | None
    metadata: dict[str, str]


def response_head(response_id: str, started_at: datetime, body: ResponseCreate, request: ModelRequest) -> Event:
    """Return a response that has begun: no output yet, and all parameters as they are used."""
    choice = body.tool_choice if body.tool_choice is not None else request.tool_choice
    return {
        "id": response_id,
        "object": "response",
        "created_at": int(started_at.timestamp()),
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.instructions,
        "max_output_tokens": request.max_tokens,
        "max_tool_calls": None,
        "model": body.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": False,
        "temperature": _number(request.temperature, 1.0),
        "text": {"format": _format(body)},
        "tool_choice": _choice(choice),
        "tools": [_tool(tool) for tool in request.tools],
        "top_logprobs": 0,
        "top_p": _number(request.top_p, 1.0),
        "presence_penalty": _number(request.presence_penalty, 0.0),
        "frequency_penalty": _number(request.frequency_penalty, 0.0),
        "truncation": "disabled",
        "usage": None,
        "user": body.user,
        "metadata": body.metadata or {},
    }


def _number(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _choice(choice: Any) -> Any:
    if choice is None or isinstance(choice, str):
        return choice or "auto"
    given = choice if isinstance(choice, dict) else choice.model_dump()
    return {"type": "function", "name": given.get("name") or given["function"]["name"]}


def _format(body: ResponseCreate) -> dict[str, Any]:
    given = body.text.format if body.text else None
    if given is None:
        return {"type": "text"}
    return given.model_dump(by_alias=True) | ({"strict": bool(given.strict)} if given.type == "json_schema" else {})


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "function",
        "name": tool["name"],
        "description": tool.get("description"),
        "parameters": tool.get("parameters"),
        "strict": tool.get("strict", False),
    }


class ResponseStream:
    """Turns a model's answer into the events of a response; `response` is the response as it is after them.

    Each event has the next `sequence_number`, from 0. Reasoning, texts and refusals are items of their own; each ends
    when another begins.
    """

    def __init__(self, head: Event) -> None:
        """Take the response as it has begun."""
        self.response = head
        self._suffix = str(head["id"]).partition("_")[2]
        self._sequence = 0
        self._items: list[dict[str, Any]] = []
        self._open: tuple[str, list[str]] | None = None

    def start(self) -> Iterator[Event]:
        """Yield the events before the model says anything."""
        yield self._event("response.created", response=self._now())
        yield self._event("response.in_progress", response=self._now())

    def delta(self, event: TextDelta | ReasoningDelta) -> Iterator[Event]:
        """Yield the events of a delta."""
        kind = "reasoning_text" if isinstance(event, ReasoningDelta) else "output_text"
        yield from self._said(kind, event.text)

    def end(self, completion: Completion, now: datetime) -> Iterator[Event]:
        """Yield the events after the last delta."""
        if completion.refusal is not None:
            yield from self._said("refusal", completion.refusal)
        elif not self._items and not completion.tool_calls:
            yield from self._said("output_text", completion.text)
        reason = _INCOMPLETE.get(completion.finish_reason)
        yield from self._close("incomplete" if reason else "completed")
        for number, call in enumerate(completion.tool_calls):
            cut = reason is not None and number == len(completion.tool_calls) - 1
            yield from self._called(call.id, call.name, call.arguments, "incomplete" if cut else "completed")
        status = "incomplete" if reason else "completed"
        self.response = self.response | {
            "status": status,
            "completed_at": None if reason else int(now.timestamp()),
            "incomplete_details": {"reason": reason} if reason else None,
            "usage": _usage(completion.usage),
        }
        yield self._event(f"response.{status}", response=self._now())

    def fail(self, kind: str, message: str) -> Iterator[Event]:
        """Yield the events of an answer that broke off, with an error of this type."""
        yield from self._close("incomplete")
        code = _FAILED.get(kind, "server_error")
        self.response = self.response | {"status": "failed", "error": {"code": code, "message": message}}
        yield self._event("response.failed", response=self._now())

    def _said(self, kind: str, text: str) -> Iterator[Event]:
        if self._open is None or self._open[0] != kind:
            yield from self._close("completed")
            yield from self._begin(kind)
        assert self._open is not None
        if text:
            self._open[1].append(text)
            more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
            yield self._event(f"response.{kind}.delta", **self._part(), delta=text, **more)

    def _begin(self, kind: str) -> Iterator[Event]:
        self._open = (kind, [])
        if kind == "reasoning_text":
            item: dict[str, Any] = {"id": self._id("rs"), "type": "reasoning", "summary": []}
        else:
            item = {"id": self._id("msg"), "type": "message", "role": "assistant"}
        self._items.append(item | {"status": "in_progress", "content": []})
        yield self._item("added")
        yield self._event("response.content_part.added", **self._part(), part=_part_of(kind, ""))

    def _close(self, status: str) -> Iterator[Event]:
        """End the item that is open, if one is."""
        if self._open is None:
            return
        kind, pieces = self._open
        text, part = "".join(pieces), _part_of(kind, "".join(pieces))
        said = {"refusal": text} if kind == "refusal" else {"text": text}
        more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        yield self._event(f"response.{kind}.done", **self._part(), **said, **more)
        yield self._event("response.content_part.done", **self._part(), part=part)
        self._items[-1] = self._items[-1] | {"status": status, "content": [part]}
        self._open = None
        yield self._item("done")

    def _called(self, call_id: str, name: str, arguments: str, status: str) -> Iterator[Event]:
        call = {"id": self._id("fc"), "type": "function_call", "call_id": call_id, "name": name}
        self._items.append(call | {"arguments": "", "status": "in_progress"})
        place = {"item_id": call["id"], "output_index": len(self._items) - 1}
        yield self._item("added")
        yield self._event("response.function_call_arguments.delta", **place, delta=arguments)
        yield self._event("response.function_call_arguments.done", **place, name=name, arguments=arguments)
        self._items[-1] = call | {"arguments": arguments, "status": status}
        yield self._item("done")

    def _now(self) -> Event:
        """Return the response as it is now."""
        self.response = self.response | {"output": [dict(item) for item in self._items]}
        return self.response

    def _item(self, what: str) -> Event:
        index = len(self._items) - 1
        return self._event(f"response.output_item.{what}", output_index=index, item=dict(self._items[-1]))

    def _part(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1, "content_index": 0}

    def _id(self, prefix: str) -> str:
        """Return the id of the next item: the response's own, numbered from the second item on."""
        number = len(self._items)
        return f"{prefix}_{self._suffix}{number or ''}"

    def _event(self, kind: str, **fields: Any) -> Event:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event


def _part_of(kind: str, text: str) -> dict[str, Any]:
    match kind:
        case "output_text":
            return {"type": kind, "text": text, "annotations": [], "logprobs": []}
        case "refusal":
            return {"type": kind, "refusal": text}
        case _:
            return {"type": kind, "text": text}


def show_response(head: Event, completion: Completion, now: datetime) -> Event:
    """Return a whole response, which has the same items as a stream of it that has one delta of each kind."""
    stream = ResponseStream(head)
    list(whole(stream, completion, now))
    return stream.response


def whole(stream: ResponseStream, completion: Completion, now: datetime) -> Iterator[Event]:
    """Yield the events of an answer that came at once."""
    yield from stream.start()
    if completion.reasoning:
        yield from stream.delta(ReasoningDelta(completion.reasoning))
    if completion.text:
        yield from stream.delta(TextDelta(completion.text))
    yield from stream.end(completion, now)


def _usage(usage: Usage | None) -> dict[str, Any]:
    counted = usage or Usage(0, 0)
    return {
        "input_tokens": counted.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": counted.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }
