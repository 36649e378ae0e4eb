"""Responses for tests: how they are asked for, and what every answer and every event must look like."""

import json
from typing import Any

import openresponses_types as specification
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.integration.api.caller import Caller
from tests.integration.openai_api.conftest import v1

_OF_THE_SDK: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
_NAMED = {
    kind.__name__: kind
    for kind in vars(specification).values()
    if isinstance(kind, type) and kind.__name__.endswith("StreamingEvent")
}
LAST = ("response.completed", "response.incomplete", "response.failed")
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def respond(caller: Caller, agent: str, given: Any = "Hello", **more: Any) -> dict[str, Any]:
    """Return a response, which must be in OpenAI's form and in that of the Open Responses specification."""
    answer = v1(caller, "POST", "/responses", {"model": agent, "input": given, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    check(found)
    return found


def check(response: dict[str, Any]) -> None:
    Response.model_validate(response)
    form = response["text"]["format"]
    # The specification's own type allows no schema in it.
    text = {"format": {**form, "schema": None} if "schema" in form else form}
    specification.ResponseResource.model_validate({**response, "text": text})
    for name in (
        "tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "temperature", "top_p",
        "presence_penalty", "frequency_penalty", "top_logprobs", "store", "background", "service_tier", "metadata",
    ):  # fmt: skip
        assert response[name] is not None, name
    for item in response["output"]:
        assert item["id"]
        assert item["status"]


def stream(caller: Caller, agent: str, given: Any = "Hello", **more: Any) -> list[dict[str, Any]]:
    """Return the events of a stream, each of which must be in both forms, in an order that fits together."""
    body = {"model": agent, "input": given, "stream": True, **more}
    answer = v1(caller, "POST", "/responses", body)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream"), answer.text
    return checked(answer.text)


def checked(text: str) -> list[dict[str, Any]]:
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            event = json.loads(lines["data"])
            assert lines["event"] == event["type"]
            events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        _OF_THE_SDK.validate_python(event)
        _specified(event)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert [event["type"] for event in events if event["type"] in LAST] == [events[-1]["type"]]
    check(events[-1]["response"])
    _fit_together(events)
    return events


def _specified(event: dict[str, Any]) -> None:
    words = event["type"].replace("response.", "response_").replace(".", "_").split("_")
    name = "".join(word.capitalize() for word in words) + "StreamingEvent"
    # The specification has another name for the deltas of a reasoning text than OpenAI.
    if "reasoning_text" not in event["type"]:
        _NAMED[name].model_validate(event)  # type: ignore[attr-defined]


def _fit_together(events: list[dict[str, Any]]) -> None:
    """Check that each item's deltas make up its text, and that the last response has exactly the items that ended."""
    items: dict[int, dict[str, Any]] = {}
    texts: dict[int, str] = {}
    for event in events:
        match event["type"].split(".")[1:]:
            case ["output_item", "added"]:
                assert event["output_index"] == len(items)
                assert event["item"]["status"] == "in_progress"
                items[event["output_index"]] = event["item"]
            case [_, "delta"]:
                assert event["item_id"] == items[event["output_index"]]["id"]
                texts[event["output_index"]] = texts.get(event["output_index"], "") + event["delta"]
            case [_, "done"] if "part" not in event and "item" not in event:
                done = event.get("text", event.get("refusal", event.get("arguments")))
                assert done == texts.get(event["output_index"], "")
            case ["output_item", "done"]:
                items[event["output_index"]] = event["item"]
    assert events[-1]["response"]["output"] == list(items.values())


def text_of(response: dict[str, Any]) -> str:
    return "".join(
        part.get("text", "") for item in response["output"] if item["type"] == "message" for part in item["content"]
    )
