"""A model request as the body of a Chat Completions request."""

from collections.abc import Iterable, Iterator
from typing import Any

from bot.errors import ProviderRejected

from .content import images_of, sent_content
from .dialects import Dialect
from .normal_form import normal_form
from .refusals import image_refused
from .types import ChatMessage, ModelRequest

# A server that requires reasoning requires it with each of the model's messages, even if none is stored. Kimi K2.6 and
# DeepSeek V4 refuse an empty text.
_NO_REASONING = " "


def request_params(request: ModelRequest, dialect: Dialect, *, plain_text: bool = False) -> dict[str, Any]:
    """Return the body of the HTTP request; what is None in `request` is left out.

    Args:
        request: The request.
        dialect: The form in which the server accepts requests.
        plain_text: The model reads text only and calls no functions: declarations are left out, and text replaces past
            function calls and images.

    Raises:
        ProviderRejected: With `plain_text`, the request requires a function call or asks about an image.
    """
    sent = sent_messages(request, dialect, plain_text=plain_text)
    back = dialect.reasoning_back and not plain_text
    messages = list(_with_reasoning(sent, request)) if back else [_message(message) for message in sent]
    params: dict[str, Any] = {
        "model": request.model,
        "messages": messages,
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
    # OpenAI answers 400 to a tool choice without tools.
    if request.tools and not plain_text:
        params["tools"] = [_tool(tool) for tool in request.tools]
        params["tool_choice"] = _tool_choice(request.tool_choice)
        params["parallel_tool_calls"] = request.parallel_tool_calls
        params["reasoning_effort"] = "none" if dialect.tools_without_reasoning else None
    return {name: value for name, value in params.items() if value is not None}


def sent_messages(request: ModelRequest, dialect: Dialect, *, plain_text: bool = False) -> tuple[ChatMessage, ...]:
    """Return the messages that are sent, in their order; for the parameters and errors see `request_params`."""
    return _plain_messages(request) if plain_text else dialect.history.apply(request)


def _message(message: ChatMessage) -> dict[str, Any]:
    # `content` is always there: several servers refuse an assistant's message without the key.
    wire: dict[str, Any] = {"role": message.role, "content": sent_content(message)}
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


def _with_reasoning(messages: Iterable[ChatMessage], request: ModelRequest) -> Iterator[dict[str, Any]]:
    """Yield the messages as they are sent, each of the model's with its reasoning. No reasoning is sent twice."""
    stored = dict(request.reasoning()) if request.reasoning else {}
    for message in messages:
        wire = _message(message)
        if message.role == "assistant":
            found = [stored.pop(source, "") for source in message.sources]
            wire["reasoning_content"] = "\n\n".join(text for text in found if text.strip()) or _NO_REASONING
        yield wire


def _tool(declaration: dict[str, object]) -> dict[str, Any]:
    known = ("name", "description", "parameters", "strict")
    return {
        "type": "function",
        "function": {key: declaration[key] for key in known if declaration.get(key) is not None},
    }


def _tool_choice(choice: str | dict[str, object] | None) -> str | dict[str, object] | None:
    # The Responses API has the same choice without nesting.
    if isinstance(choice, dict) and choice.get("type") == "function" and "name" in choice:
        return {"type": "function", "function": {"name": choice["name"]}}
    return choice


def _plain_messages(request: ModelRequest) -> tuple[ChatMessage, ...]:
    if request.tools and request.tool_choice not in (None, "auto", "none"):
        raise ProviderRejected("This model calls no functions, so `tool_choice` cannot ask for one.")
    shown = [piece for message in request.messages for piece in images_of(message) if piece.source in request.asked]
    if shown or (not request.asked and request.messages and images_of(request.messages[-1])):
        raise image_refused("This model accepts text only.", shown)
    return normal_form(request.messages, functions=(), shown=())
