"""A request in the words of the Chat Completions API."""

import json
from typing import Any

from bot.errors import ProviderRejected

from .dialects import Dialect
from .types import ChatMessage, ModelRequest


def request_params(request: ModelRequest, dialect: Dialect, *, plain_text: bool = False) -> dict[str, Any]:
    """Return the body of the HTTP request; what is None in `request` is left out.

    Args:
        request: The request.
        dialect: What the server wants to be told, and how.
        plain_text: The model reads text only and calls no functions: declarations are left out, and results
            of functions and images of the past become text.

    Raises:
        ProviderRejected: With `plain_text`, the request insists on a function call or asks about an image.
    """
    params: dict[str, Any] = {
        "model": request.model,
        "messages": _plain_messages(request) if plain_text else [_message(message) for message in request.messages],
        "temperature": request.temperature,
        "top_p": request.top_p,
        dialect.limit_field: request.max_tokens,
        "stop": list(request.stop) or None,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "seed": request.seed,
        "response_format": request.response_format,
        "user": request.user,
    }
    # OpenAI answers 400 to a choice among no tools.
    if request.tools and not plain_text:
        params["tools"] = [_tool(tool) for tool in request.tools]
        params["tool_choice"] = _tool_choice(request.tool_choice)
        params["parallel_tool_calls"] = request.parallel_tool_calls
        params["reasoning_effort"] = "none" if dialect.tools_without_reasoning else None
    return {name: value for name, value in params.items() if value is not None}


def _message(message: ChatMessage) -> dict[str, Any]:
    # `content` is always there: several servers refuse an assistant's message without the key.
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.content is None and not message.tool_calls:
        wire["content"] = ""
    if message.tool_calls:
        wire["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        wire["name"] = message.name
    return wire


def _tool(declaration: dict[str, object]) -> dict[str, Any]:
    known = ("name", "description", "parameters", "strict")
    return {
        "type": "function",
        "function": {key: declaration[key] for key in known if declaration.get(key) is not None},
    }


def _tool_choice(choice: str | dict[str, object] | None) -> str | dict[str, object] | None:
    # The Responses API writes the same choice flat.
    if isinstance(choice, dict) and choice.get("type") == "function" and "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _plain_messages(request: ModelRequest) -> list[dict[str, Any]]:
    if request.tools and request.tool_choice not in (None, "auto", "none"):
        raise ProviderRejected("This model calls no functions, so `tool_choice` cannot ask for one.")
    if request.messages and _has_image(request.messages[-1]):
        raise ProviderRejected("This model reads text only: it cannot look at an image.")
    # A call is known by its result. Left among the model's own words, it is an example that a small one imitates.
    spoken = [message for message in request.messages if message.content or not message.tool_calls]
    return [_plain_message(message) for message in spoken]


def _plain_message(message: ChatMessage) -> dict[str, Any]:
    text = message.content if isinstance(message.content, str) else "\n".join(map(_plain_part, message.content or ()))
    if message.role == "tool":
        return {"role": "user", "content": f"A function returned: {text}"}
    return {"role": message.role, "content": text}


def _plain_part(part: dict[str, object]) -> str:
    if isinstance(text := part.get("text"), str):
        return text
    return "[image]" if part.get("type") == "image_url" else json.dumps(part)[:200]


def _has_image(message: ChatMessage) -> bool:
    parts = message.content if isinstance(message.content, list) else []
    return any(part.get("type") == "image_url" for part in parts)
