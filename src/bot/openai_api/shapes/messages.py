"""The messages of a chat completion, as clients send them and as an agent's model gets them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from bot.errors import FieldError, TooLarge
from bot.http.images import MAX_IMAGE_BYTES, ImageUrl, image_bytes
from bot.http.types import Body, Json
from bot.llm.types import ChatMessage, ToolCall
from bot.openai_api.parameters import accepted, refused

FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
_CACHING = accepted("a hint for caching that has no effect here")
_SPEAKER = accepted("few model servers accept it, so it is not passed on")


class ChatTextPart(Body):
    """A text part."""

    type: Literal["text"]
    text: str
    prompt_cache_breakpoint: Annotated[Json, _CACHING] = None


class ChatImageUrl(Body):
    """The URL of an image, or the image itself."""

    url: ImageUrl
    detail: Literal["auto", "low", "high"] | None = None


class ChatImagePart(Body):
    """An image part, as far as the agent's model accepts images."""

    type: Literal["image_url"]
    image_url: ChatImageUrl
    prompt_cache_breakpoint: Annotated[Json, _CACHING] = None


class ChatRefusalPart(Body):
    """The text with which the model refused to answer."""

    type: Literal["refusal"]
    refusal: str


_Texts = str | Annotated[list[ChatTextPart], Field(min_length=1)]


class ChatSystemMessage(Body):
    """Instructions of the client, which follow those of the agent."""

    role: Literal["system", "developer"]
    content: _Texts
    name: Annotated[str | None, _SPEAKER] = None


class ChatUserMessage(Body):
    """A message of the user: text, or parts of text and images."""

    role: Literal["user"]
    content: (
        str
        | Annotated[
            list[Annotated[ChatTextPart | ChatImagePart, Field(discriminator="type")]],
            Field(min_length=1),
        ]
    )
    name: Annotated[str | None, _SPEAKER] = None


class ChatCalledFunction(Body):
    """The function of a call, and its arguments as the model wrote them."""

    name: FunctionName
    arguments: str


class ChatToolCall(Body):
    """A function call of the model."""

    id: Annotated[str, Field(min_length=1, max_length=256)]
    type: Literal["function"]
    function: ChatCalledFunction


class ChatAssistantMessage(Body):
    """An earlier answer of the model, as it came."""

    role: Literal["assistant"]
    content: (
        str
        | Annotated[
            list[Annotated[ChatTextPart | ChatRefusalPart, Field(discriminator="type")]],
            Field(min_length=1),
        ]
        | None
    ) = None
    tool_calls: list[ChatToolCall] | None = None
    refusal: str | None = None
    reasoning_content: str | None = Field(None, description="Sent back to model servers that require it.")
    name: Annotated[str | None, _SPEAKER] = None
    annotations: Annotated[list[Json] | None, accepted("clients send it back with answers")] = None
    audio: refused("the agents' models generate text only") = None  # type: ignore[valid-type]
    function_call: refused("use `tool_calls`") = None  # type: ignore[valid-type]


class ChatToolMessage(Body):
    """The result of a function call."""

    role: Literal["tool"]
    content: _Texts
    tool_call_id: Annotated[str, Field(min_length=1, max_length=256)]


AnyMessage = Annotated[
    ChatSystemMessage | ChatUserMessage | ChatAssistantMessage | ChatToolMessage, Field(discriminator="role")
]


def chat_messages(messages: Sequence[AnyMessage]) -> tuple[ChatMessage, ...]:
    """Return the messages for the model; the source of each is its path in the request."""
    return tuple(_chat_message(message, source_of(number)) for number, message in enumerate(messages))


def source_of(number: int) -> str:
    """Return the path of a message in the request, as errors name it."""
    return f"messages[{number}]"


def reasoning_of(messages: Sequence[AnyMessage]) -> dict[str, str]:
    """Return the reasoning that the client sent back, by its message's path."""
    return {
        source_of(number): message.reasoning_content
        for number, message in enumerate(messages)
        if isinstance(message, ChatAssistantMessage) and message.reasoning_content
    }


def images_in(messages: Sequence[AnyMessage]) -> Iterator[str]:
    """Yield the path of each image.

    Raises:
        TooLarge: one has too many bytes.
    """
    for number, message in enumerate(messages):
        for position, part in enumerate(message.content if isinstance(message.content, list) else ()):
            if isinstance(part, ChatImagePart):
                field = f"messages.{number}.content.{position}"
                if (size := image_bytes(part.image_url.url)) > MAX_IMAGE_BYTES:
                    most = f"an image of at most {MAX_IMAGE_BYTES:,} bytes"
                    raise TooLarge(
                        f"{field}: the image has {size:,} bytes; send {most}.",
                        fields=(FieldError(f"{field}.image_url.url", most),),
                    )
                yield field


def _chat_message(message: AnyMessage, source: str) -> ChatMessage:
    match message:
        case ChatSystemMessage():
            return ChatMessage("system", _text_of(message.content), sources=(source,))
        case ChatUserMessage():
            if isinstance(message.content, str):
                return ChatMessage("user", message.content, sources=(source,))
            parts = [_part(part) for part in message.content]
            return ChatMessage("user", parts, sources=(source,) * len(parts))
        case ChatToolMessage():
            text = _text_of(message.content)
            return ChatMessage("tool", text, tool_call_id=message.tool_call_id, sources=(source,))
        case ChatAssistantMessage():
            calls = tuple(
                ToolCall(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()
            )
            text = _text_of(message.content or "") or message.refusal or ""
            return ChatMessage("assistant", text or None, calls, sources=(source,))


def _part(part: ChatTextPart | ChatImagePart) -> dict[str, Any]:
    return part.model_dump(exclude={"prompt_cache_breakpoint"}, exclude_none=True)


def _text_of(content: str | Sequence[ChatTextPart | ChatRefusalPart]) -> str:
    if isinstance(content, str):
        return content
    return "\n\n".join(part.text if isinstance(part, ChatTextPart) else part.refusal for part in content)
