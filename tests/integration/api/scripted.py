"""A provider that follows a test's script, in place of the one of all `openai` agents."""

from collections.abc import Callable, Generator, Iterable
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.llm.types import Completion, ModelRequest, ReasoningDelta, TextDelta, ToolCall, Usage

Script = Iterable[TextDelta | ReasoningDelta | Completion | Exception | Callable[[], None]]
LOOK = [{"name": "look"}]


class Scripted:
    """A provider that follows a script: it yields items, calls callables and raises errors."""

    name = "openai"
    supports_tools = True

    def __init__(self) -> None:
        self.script: list[Script] = []
        self.asked: list[ModelRequest] = []

    def takes_images(self, model: str) -> bool:
        return True

    def stream(self, request: ModelRequest) -> Generator[TextDelta | ReasoningDelta | Completion, None, None]:
        self.asked.append(request)
        for step in self.script.pop(0):
            if isinstance(step, Exception):
                raise step
            if callable(step):
                step()
            else:
                yield step


def says(text: str, **details: Any) -> list[TextDelta | Completion]:
    """Return the script of a whole answer."""
    given = {"finish_reason": "stop", "response_id": "resp_1", "model": "gpt-test", "usage": Usage(7, 3), **details}
    deltas = [TextDelta(text)] if text else []
    return [*deltas, Completion(text=text, tool_calls=given.pop("tool_calls", ()), **given)]


def calls(number: int, arguments: str = "{}") -> tuple[ToolCall, ...]:
    return tuple(ToolCall(f"call_{each}", "look", arguments) for each in range(number))


def scripted_model(app: OpenAPI, monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Return a provider for all `openai` agents, for the rest of the test."""
    scripted = Scripted()
    providers = app.extensions["bot"].providers
    monkeypatch.setattr(providers, "get", lambda name, credentials=None: scripted)
    monkeypatch.setattr(providers, "names", lambda: ("openai",))
    return scripted
