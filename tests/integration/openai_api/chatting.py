"""Chat completions for tests: how they are asked for, and what every answer must look like."""

from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk

from tests.integration.api.caller import Caller
from tests.integration.openai_api.conftest import v1

HELLO = [{"role": "user", "content": "Hello"}]
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


def complete(caller: Caller, agent: str, messages: Any = HELLO, **more: Any) -> ChatCompletion:
    """Return an answer, which must be in OpenAI's form."""
    answer = v1(caller, "POST", "/chat/completions", {"model": agent, "messages": messages, **more})
    assert answer.status_code == 200, answer.text
    return ChatCompletion.model_validate(answer.get_json(), strict=True)


def events(text: str) -> list[str]:
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


def stream(caller: Caller, agent: str, messages: Any = HELLO, **more: Any) -> list[ChatCompletionChunk]:
    """Return the chunks of a stream, which must be in OpenAI's form and end with `[DONE]`."""
    body = {"model": agent, "messages": messages, "stream": True, **more}
    answer = v1(caller, "POST", "/chat/completions", body)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream"), answer.text
    *chunks, done = events(answer.text)
    assert done == "[DONE]"
    return [ChatCompletionChunk.model_validate_json(chunk, strict=True) for chunk in chunks]


def usage(caller: Caller) -> tuple[int, int, int]:
    days = caller.get("/usage")["data"]
    return tuple(sum(day[name] for day in days) for name in ("turns", "input_tokens", "output_tokens"))  # type: ignore[return-value]
