"""Bodies that make an agent answer: a message, the results of its function calls, or neither."""

import json
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import ConfigDict, Field

from bot.errors import FieldError, TooLarge, ValidationFailed
from bot.http.images import MAX_IMAGE_BYTES, ImageUrl, image_bytes
from bot.http.types import Body, MessageId, Title
from bot.turns.tools import MAX_CALLS
from models.access_patterns.messages import Draft
from models.table.errors import ItemTooLarge, TransactionTooLarge

_LENGTH = (
    "Long texts are compressed. Those still too large for an item go to S3 if the deployment has a bucket; else 413."
)
LongText = Annotated[str, Field(min_length=1, description=_LENGTH)]


class TextPart(Body):
    """A text part."""

    type: Literal["text"]
    text: LongText


class ImageReference(Body):
    """The URL of an image, or the image itself."""

    url: ImageUrl
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Body):
    """An image part."""

    type: Literal["image_url"]
    image_url: ImageReference


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
Content = LongText | Annotated[list[Part], Field(min_length=1, max_length=64)]


class FunctionResult(Body):
    """The result of a function call."""

    call_id: Annotated[str, Field(min_length=1, max_length=256)]
    content: Annotated[str, Field(description=_LENGTH)]


_BACKGROUND = "Answer at once with the running turn; read it or follow its events later."
_EITHER = "must be false if background is true: follow the turn's events instead"
_KEEP = "Whether the stream is stored while it runs; not set: as the agent, else the deployment, does."
_NOTHING_TO_KEEP = "must not be sent unless stream or background is true"
_REFUSED: dict[str, Any] = {
    "anyOf": [
        {
            "title": "Both a stream and in the background",
            "required": ["stream", "background"],
            "properties": {"stream": {"const": True}, "background": {"const": True}},
        },
        {
            "title": "A stream to keep, without a stream",
            "required": ["keep_stream"],
            "properties": {
                "keep_stream": {"type": "boolean"},
                "stream": {"const": False},
                "background": {"const": False},
            },
        },
    ]
}
# The valid combinations, as checked by `MessageCreate.check`.
_COMBINATIONS: dict[str, Any] = {
    "not": _REFUSED,
    "anyOf": [
        {
            "title": "A message that the agent answers",
            "required": ["content"],
            "properties": {"content": {"not": {"type": "null"}}, "reply": {"const": True}, "sender": {"const": "user"}},
        },
        {
            "title": "Results of function calls",
            "required": ["results"],
            "properties": {"results": {"minItems": 1}, "reply": {"const": True}, "sender": {"const": "user"}},
        },
        {
            "title": "A message that is only stored",
            "required": ["content", "reply"],
            "properties": {
                "content": {"not": {"type": "null"}},
                "reply": {"const": False},
                "stream": {"const": False},
                "background": {"const": False},
                "results": {"maxItems": 0},
            },
        },
    ],
}


class MessageCreate(Body):
    """A message, or the results of the agent's function calls, with or without a message."""

    model_config = ConfigDict(json_schema_extra=_COMBINATIONS)

    MAY_BE_EMPTY: ClassVar[bool] = False

    content: Content | None = None
    results: Annotated[list[FunctionResult], Field(max_length=MAX_CALLS)] = Field(
        default_factory=list, description="One result for each pending function call."
    )
    reply: bool = Field(True, description="Whether the agent answers; `false` only stores the message.")
    stream: bool = Field(False, description="Answer as server-sent events.")
    background: bool = Field(False, description=_BACKGROUND)
    keep_stream: bool | None = Field(None, description=_KEEP)
    sender: Literal["user", "agent", "system"] = Field("user", description="Not `user` only with `reply: false`.")

    def check(self) -> None:
        """Check the fields in combination.

        Raises:
            ValidationFailed: the combination of fields is invalid.
            TooLarge: an image is too large.
        """
        if self.content is None and not self.results and not self.MAY_BE_EMPTY:
            _refuse("content", "is required unless there are results for the agent's function calls")
        if self.sender != "user" and self.reply:
            _refuse("sender", "must be 'user' unless reply is false")
        if self.stream and not self.reply:
            _refuse("stream", "must be false if reply is false")
        if self.background and not self.reply:
            _refuse("background", "must be false if reply is false")
        _check_stream(self)
        if self.results and not self.reply:
            _refuse("results", "must be empty if reply is false: the agent is waiting for them to continue")
        for number, part in enumerate(self.content if isinstance(self.content, list) else ()):
            if isinstance(part, ImagePart) and (size := image_bytes(part.image_url.url)) > MAX_IMAGE_BYTES:
                field, most = f"content.{number}.image_url.url", f"an image of at most {MAX_IMAGE_BYTES:,} bytes"
                raise TooLarge(
                    f"{field}: the image has {size:,} bytes; send {most}.", fields=(FieldError(field, most),)
                )

    def blame(self, error: ItemTooLarge) -> Exception:
        """Return the error with the field of this body that caused it: the largest part of a message, or a result."""
        if isinstance(error, TransactionTooLarge):
            field = "results" if self.results else "content"
            most = f"together at most {error.limit:,} bytes, compressed and as they are sent"
            return TooLarge(f"{field}: {error}", fields=(FieldError(field, most),))
        draft = self.draft()
        if draft is not None and error.size == len(draft.content.encode()):
            if not isinstance(self.content, list):
                return error
            number, part = max(enumerate(self.content), key=lambda each: len(_long_of(each[1])[1].encode()))
            field = f"content.{number}.{_long_of(part)[0]}"
            most = f"is the largest part; the whole content may have {error.limit:,} bytes after compression"
            return TooLarge(f"{error} The largest part is {field}.", fields=(FieldError(field, most),))
        sizes = [len(result.content.encode()) for result in self.results]
        return error.of(f"results.{sizes.index(error.size)}.content") if error.size in sizes else error

    def draft(self) -> Draft | None:
        """Return the message to store, if there is one."""
        if self.content is None:
            return None
        if isinstance(self.content, str):
            return Draft(self.sender, self.content)
        parts = [part.model_dump(exclude_none=True) for part in self.content]
        return Draft(self.sender, json.dumps(parts, ensure_ascii=False, separators=(",", ":")), type="parts")


def _long_of(part: TextPart | ImagePart) -> tuple[str, str]:
    """Return the path of the long text in a part, and the text."""
    return ("text", part.text) if isinstance(part, TextPart) else ("image_url.url", part.image_url.url)


def _refuse(field: str, message: str) -> NoReturn:
    raise ValidationFailed(f"{field}: {message}", fields=(FieldError(field, message),))


_IN_A_BRANCH: dict[str, Any] = {
    "not": _REFUSED,
    "anyOf": [
        {
            "title": "A branch in which the agent answers",
            "properties": {"reply": {"const": True}, "sender": {"const": "user"}},
        },
        {
            "title": "A branch without an answer",
            "required": ["reply"],
            "properties": {
                "reply": {"const": False},
                "stream": {"const": False},
                "background": {"const": False},
                "results": {"maxItems": 0},
            },
        },
    ],
}


class BranchCreate(MessageCreate):
    """A branch of a conversation, and how it goes on: with a message, or without one to let the agent answer again."""

    model_config = ConfigDict(json_schema_extra=_IN_A_BRANCH)

    MAY_BE_EMPTY: ClassVar[bool] = True

    from_message_id: MessageId | None = Field(
        description="The last message that the branch continues. To edit a message, give the one before it; to have it "
        "answered again, the message itself. Null begins before the first message."
    )
    title: Title | None = Field(None, description="The branch's title.")


class Cancellation(Body):
    """Has no fields: the path names the turn."""


class TurnCreate(Body):
    """A turn without a new message: the agent answers the conversation as it is. Retries after a failed turn."""

    model_config = ConfigDict(json_schema_extra={"not": _REFUSED})

    stream: bool = Field(False, description="Answer as server-sent events.")
    background: bool = Field(False, description=_BACKGROUND)
    keep_stream: bool | None = Field(None, description=_KEEP)

    def check(self) -> None:
        """Check the fields in combination.

        Raises:
            ValidationFailed: the combination of fields is invalid.
        """
        _check_stream(self)


def _check_stream(body: MessageCreate | TurnCreate) -> None:
    if body.stream and body.background:
        _refuse("stream", _EITHER)
    if body.keep_stream is not None and not (body.stream or body.background):
        _refuse("keep_stream", _NOTHING_TO_KEEP)
