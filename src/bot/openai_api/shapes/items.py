"""The items of a response's input, as clients send them and as an agent's model gets them."""

import base64
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag

from bot.errors import FieldError, TooLarge
from bot.http.images import MAX_IMAGE_BYTES, ImageUrl, image_bytes
from bot.http.types import Body, Json
from bot.llm.types import ChatMessage, ToolCall
from bot.openai_api.parameters import accepted, refused
from bot.openai_api.shapes.messages import FunctionName

_SENT_BACK = accepted("clients send items back as they came")
_NOT_STORED = "files are not stored"
_FILE = re.compile(r"data:[a-z0-9.+-]+/[a-z0-9.+-]+;base64")
ItemId = Annotated[str | None, _SENT_BACK]
ItemStatus = Annotated[Literal["in_progress", "completed", "incomplete"] | None, _SENT_BACK]
CallId = Annotated[str, Field(min_length=1, max_length=256)]


class InputText(Body):
    """A text part."""

    type: Literal["input_text"]
    text: str
    prompt_cache_breakpoint: Annotated[Json, accepted("a hint for caching that has no effect here")] = None


class InputImage(Body):
    """An image part, as far as the agent's model accepts images."""

    type: Literal["input_image"]
    image_url: ImageUrl
    detail: Literal["auto", "low", "high"] | None = None
    file_id: refused(_NOT_STORED) = None  # type: ignore[valid-type]
    prompt_cache_breakpoint: Annotated[Json, accepted("a hint for caching that has no effect here")] = None


def _data_of(file: str) -> str:
    head, comma, data = file.partition(",")
    if not comma or not _FILE.fullmatch(head.lower()):
        raise ValueError("must be the file itself, as data:application/pdf;base64,…")
    try:
        base64.b64decode(data, validate=True)
    except ValueError as error:
        raise ValueError("must be complete standard base64, with padding") from error
    if not data:
        raise ValueError("must contain a file; there is nothing after the comma")
    return file


class InputFile(Body):
    """A file part, as far as the agent's model reads files."""

    type: Literal["input_file"]
    file_data: Annotated[str, AfterValidator(_data_of)] = Field(description="The file itself, as a `data:` URL.")
    filename: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    detail: Annotated[Literal["auto", "low", "high"] | None, accepted("model servers read files as they see fit")] = (
        None
    )
    file_id: refused(_NOT_STORED) = None  # type: ignore[valid-type]
    file_url: refused("files are not fetched") = None  # type: ignore[valid-type]
    prompt_cache_breakpoint: Annotated[Json, accepted("a hint for caching that has no effect here")] = None


class OutputText(Body):
    """A text part of an earlier answer."""

    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Json] | None, _SENT_BACK] = None
    logprobs: Annotated[list[Json] | None, _SENT_BACK] = None


class Refusal(Body):
    """The text with which the model refused to answer."""

    type: Literal["refusal"]
    refusal: str


AnyPart = Annotated[InputText | InputImage | InputFile | OutputText | Refusal, Field(discriminator="type")]


class InputMessage(Body):
    """A message: of the user, instructions of the client, or an earlier answer."""

    type: Literal["message"] | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: str | Annotated[list[AnyPart], Field(min_length=1)]
    id: ItemId = None
    status: ItemStatus = None
    phase: Annotated[Literal["commentary", "final_answer"] | None, _SENT_BACK] = None


class FunctionCall(Body):
    """A function call of the model."""

    type: Literal["function_call"]
    call_id: CallId
    name: FunctionName
    arguments: str
    id: ItemId = None
    status: ItemStatus = None


class FunctionCallOutput(Body):
    """The result of a function call."""

    type: Literal["function_call_output"]
    call_id: CallId
    output: str | Annotated[list[InputText], Field(min_length=1)]
    id: ItemId = None
    status: ItemStatus = None


class ReasoningText(Body):
    """A part of the reasoning."""

    type: Literal["reasoning_text"]
    text: str


class SummaryText(Body):
    """A part of a summary of the reasoning."""

    type: Literal["summary_text"]
    text: str


class Reasoning(Body):
    """What the model reasoned before an answer; model servers that require it get it back."""

    type: Literal["reasoning"]
    summary: Annotated[list[SummaryText] | None, _SENT_BACK] = None
    content: list[ReasoningText] | None = None
    encrypted_content: refused("reasoning is sent as text") = None  # type: ignore[valid-type]
    id: ItemId = None
    status: ItemStatus = None


def _kind_of(item: Any) -> Any:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    return "message" if kind is None else kind


InputItem = Annotated[
    Annotated[InputMessage, Tag("message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[Reasoning, Tag("reasoning")],
    Discriminator(_kind_of),
]

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}


def chat_messages(items: str | Sequence[InputItem]) -> tuple[ChatMessage, ...]:
    """Return the input for the model; the source of each message is its path in the request."""
    if isinstance(items, str):
        return (ChatMessage("user", items, sources=("input",)),)
    found: list[ChatMessage] = []
    for number, item in enumerate(items):
        source = source_of(number)
        match item:
            case InputMessage():
                found.append(_message(item, source))
            case FunctionCall():
                call = ToolCall(item.call_id, item.name, item.arguments)
                last = found[-1] if found else None
                # Parallel calls, and the text before them, are one message for a model server.
                if last is not None and last.role == "assistant":
                    found[-1] = replace(last, tool_calls=(*last.tool_calls, call))
                else:
                    found.append(ChatMessage("assistant", None, (call,), sources=(source,)))
            case FunctionCallOutput():
                text = item.output if isinstance(item.output, str) else "\n\n".join(part.text for part in item.output)
                found.append(ChatMessage("tool", text, tool_call_id=item.call_id, sources=(source,)))
            case Reasoning():
                pass
    return tuple(found)


def reasoning_of(items: str | Sequence[InputItem]) -> dict[str, str]:
    """Return the reasoning that the client sent back, by the path of the item that follows it."""
    found: dict[str, str] = {}
    for number, item in enumerate(items if not isinstance(items, str) else ()):
        if isinstance(item, Reasoning) and item.content and number + 1 < len(items):
            found[source_of(number + 1)] = "".join(part.text for part in item.content)
    return found


def source_of(number: int) -> str:
    """Return the path of an item in the request, as errors name it."""
    return f"input[{number}]"


def attachments_in(items: str | Sequence[InputItem]) -> Iterator[tuple[str, InputMessage]]:
    """Yield the path of each image and file, and the message that it is in.

    Raises:
        TooLarge: one has too many bytes.
    """
    for number, item in enumerate(items if not isinstance(items, str) else ()):
        if not isinstance(item, InputMessage) or isinstance(item.content, str):
            continue
        for position, part in enumerate(item.content):
            if isinstance(part, InputImage):
                field = f"input.{number}.content.{position}"
                if (size := image_bytes(part.image_url)) > MAX_IMAGE_BYTES:
                    most = f"an image of at most {MAX_IMAGE_BYTES:,} bytes"
                    raise TooLarge(
                        f"{field}: the image has {size:,} bytes; send {most}.",
                        fields=(FieldError(f"{field}.image_url", most),),
                    )
                yield field, item
            elif isinstance(part, InputFile):
                yield f"input.{number}.content.{position}", item


def _message(message: InputMessage, source: str) -> ChatMessage:
    role = _ROLES[message.role]
    if isinstance(message.content, str):
        return ChatMessage(role, message.content, sources=(source,))
    parts = [_part(part) for part in message.content]
    if role == "user" and any(part["type"] != "text" for part in parts):
        return ChatMessage(role, parts, sources=(source,) * len(parts))
    return ChatMessage(role, "\n\n".join(str(part.get("text", "")) for part in parts), sources=(source,))


def _part(part: InputText | InputImage | InputFile | OutputText | Refusal) -> dict[str, Any]:
    match part:
        case InputFile():
            # Some model servers refuse a file without a name.
            return {"type": "file", "file": {"filename": part.filename or "file", "file_data": part.file_data}}
        case InputImage():
            detail = {} if part.detail is None else {"detail": part.detail}
            return {"type": "image_url", "image_url": {"url": part.image_url, **detail}}
        case Refusal():
            return {"type": "text", "text": part.refusal}
        case _:
            return {"type": "text", "text": part.text}
