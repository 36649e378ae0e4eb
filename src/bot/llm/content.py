"""The content of a message in the context: texts, images and files, each with the stored message that it came from.

What cannot be sent to a model as it is becomes a note, in square brackets, in the user's message.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from .characters import whole_characters
from .types import ChatMessage

_LONGEST_ADDRESS = 300


class Piece(NamedTuple):
    """One part of a message, and the id of the stored message that it came from (`""` for a note)."""

    part: dict[str, object]
    source: str

    @property
    def text(self) -> str | None:
        """The text, or None for an image or a file."""
        return None if self.part.get("type") in ("image_url", "file") else str(self.part["text"])


def pieces_of(message: ChatMessage, shown: Collection[str] | None = None) -> list[Piece]:
    """Return the parts of a message that are not blank; a note replaces each part that a model does not accept.

    Args:
        message: The message.
        shown: The ids of the stored messages whose images and files are kept, None for all; only a user's are kept.
    """
    if isinstance(message.content, str):
        return _texts(message.content, message.sources[0] if message.sources else "")
    found: list[Piece] = []
    for position, part in enumerate(message.content or ()):
        source = message.sources[position] if position < len(message.sources) else ""
        if isinstance(text := part.get("text"), str):
            found += _texts(text, source)
        elif message.role == "user" and (_is_image(part) or _is_file(part)) and (shown is None or source in shown):
            found.append(Piece(part, source))
        else:
            found.append(Piece({"type": "text", "text": _named(part)}, source))
    return found


def joined(pieces: Sequence[Piece]) -> str:
    """Return the pieces as one text, with a note for each image and file."""
    return "\n\n".join(_named(piece.part) if piece.text is None else piece.text for piece in pieces)


def user_message(pieces: Sequence[Piece]) -> ChatMessage:
    """Return a user's message that consists of `pieces`, at least one."""
    parts, sources = [piece.part for piece in pieces], tuple(piece.source for piece in pieces)
    if len(pieces) == 1 and pieces[0].text is not None:
        return ChatMessage("user", pieces[0].text, sources=sources)
    return ChatMessage("user", parts, sources=sources)


def sent_content(message: ChatMessage) -> str | list[dict[str, object]] | None:
    """Return a message's content as it is sent: as one text if possible, since some servers accept no parts."""
    content = message.content
    if not isinstance(content, list):
        return content
    texts = [text for part in content if part.get("type") == "text" and isinstance(text := part.get("text"), str)]
    return "\n\n".join(texts) if len(texts) == len(content) else content


def images_of(message: ChatMessage) -> list[Piece]:
    """Return the images of a message."""
    if not isinstance(message.content, list):
        return []
    sources = (*message.sources, *[""] * len(message.content))
    return [Piece(part, source) for part, source in zip(message.content, sources, strict=False) if _is_image(part)]


def _texts(text: str, source: str) -> list[Piece]:
    return [Piece({"type": "text", "text": whole_characters(text)}, source)] if text.strip() else []


def _is_image(part: dict[str, object]) -> bool:
    return part.get("type") == "image_url" and bool(_address(part))


def _is_file(part: dict[str, object]) -> bool:
    file = part.get("file")
    return part.get("type") == "file" and isinstance(file, dict) and bool(file.get("file_data"))


def _address(part: dict[str, object]) -> str:
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    return whole_characters(url).strip() if isinstance(url, str) else ""


def _named(part: dict[str, object]) -> str:
    if part.get("type") != "image_url":
        return f"[A part of the type {str(part.get('type'))[:40]!r}, which you cannot be given.]"
    address = _address(part)
    # The image itself, in base64, would tell the model nothing.
    address = address.partition(",")[0] if address.startswith("data:") else address
    return f"[An image that you cannot look at: {address[:_LONGEST_ADDRESS] or 'its address is missing'}]"
