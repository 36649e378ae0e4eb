"""Finds the message that a provider's refusal is about, and says what the user can do."""

import re
from collections.abc import Iterable, Sequence

from bot.errors import ProviderError, ProviderRejected

from .content import Piece, images_of
from .history_form import about_images, takes_no_images
from .types import ChatMessage

# OpenAI: "messages[10].tool_calls[0].id", "messages.[1].content.[1].type"; Anthropic: "messages.1.content.0".
_POSITION = re.compile(r"\bmessages(?:\.\[|\[|\.)(\d{1,4})\b")
# How much of an image's address a refusal must quote: enough to tell two hosts apart, short enough not to be cut off.
_ADDRESS = 40
LATER_TURNS = " Later turns only tell the model that there was one."


def explained(error: ProviderError, sent: Sequence[ChatMessage]) -> ProviderError:
    """Return a refusal with the messages that it is about, if it names them, and with what can be done.

    `sent` are the messages as they were sent. The error's `extra` gets `message_ids`, the ids of stored messages, and
    `context_position`, the number of the message among those that were sent, from 0, if they are known.
    """
    words = f"{error.detail} {error.extra.get('provider_param', '')}"
    found = _POSITION.search(words)
    position = int(found[1]) if found and int(found[1]) < len(sent) else None
    images = [piece for message in sent for piece in images_of(message)]
    if images and about_images(words.lower()):
        here = images_of(sent[position]) if position is not None else []
        quoted = [piece for piece in images if _quoted(piece, words)]
        return image_refused(error.detail, quoted or here or images, of=error)
    if position is None or not isinstance(error, ProviderRejected):
        return error
    about = f"That is message {position} of the context, counted from 0 to {len(sent) - 1}"
    if ids := _ids(sent[position].sources):
        about += f", made of {', '.join(ids)}: delete what is wrong there, or change the agent"
    return _again(error, f"{error.detail} {about}.", ids, position)


def image_refused(reason: str, images: Iterable[Piece], *, of: ProviderError | None = None) -> ProviderError:
    """Return the error for images that a provider did not accept; `of` is its refusal, if there was one."""
    ids = _ids(piece.source for piece in images)
    where = f" in {', '.join(ids)}" if ids else ""
    model = of is None or takes_no_images(reason.lower())
    todo = (
        "use a model that accepts images, or send the message without the image"
        if model
        else "send the message again with an image that can be fetched"
    )
    detail = f"{reason} This concerns the image{where}: {todo}.{LATER_TURNS}"
    return _again(of or ProviderRejected(), detail, ids, None)


def _again(error: ProviderError, detail: str, ids: Sequence[str], position: int | None) -> ProviderError:
    known: dict[str, object] = {"message_ids": list(ids)} if ids else {}
    if position is not None:
        known["context_position"] = position
    return type(error)(detail, retry_after=error.retry_after, extra={**error.extra, **known})


def _ids(sources: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(source for source in sources if source))


def _quoted(piece: Piece, words: str) -> bool:
    image = piece.part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith("http") and url[:_ADDRESS] in words
