"""Images in messages: an address that the provider fetches, or the image itself as a `data:` URL (RFC 2397).

Only the base64 is decoded, not the image: its first bytes must match its media type.
"""

import base64
import binascii
import re
from typing import Annotated

from pydantic import AfterValidator, Field

# The most bytes of one image: the limit of the strictest common provider. Base64 takes a third more, which the default
# of BOT_MAX_BODY_BYTES allows for.
MAX_IMAGE_BYTES = 5 * 1024 * 1024
_MAX_ADDRESS = 8192

_FORMATS = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
    "image/gif": re.compile(rb"GIF8[79]a"),
}
_FORM = "data:image/png;base64,… (or image/jpeg, image/webp, image/gif)"
# Common in programs, but unknown to some providers.
_ALIASES = {"image/jpg": "image/jpeg"}


def _checked(url: str) -> str:
    """Return an image's URL as it is stored: a `data:` URL gets its scheme and media type in lower case."""
    if url[:5].lower() == "data:":
        return _checked_data(url)
    if not url.startswith("https://"):
        raise ValueError(f"must start with https://, or be the image itself as {_FORM}")
    if len(url) > _MAX_ADDRESS:
        raise ValueError(f"must have at most {_MAX_ADDRESS:,} characters if it starts with https://")
    return url


def _checked_data(url: str) -> str:
    head, comma, data = url.partition(",")
    media_type, *parameters = head[5:].lower().split(";")
    media_type = _ALIASES.get(media_type, media_type)
    if not comma or media_type not in _FORMATS:
        raise ValueError(f"must be a PNG, JPEG, WebP or GIF image as {_FORM}")
    if parameters != ["base64"]:
        raise ValueError(f"must be base64, with no parameters in its media type: {_FORM}")
    image = _decoded(data)
    if not _FORMATS[media_type].match(image):
        found = next((name for name, magic in _FORMATS.items() if magic.match(image)), "none of the four formats")
        raise ValueError(f"claims {media_type}, but its bytes are {found}")
    return f"data:{media_type};base64,{data}"


def _decoded(data: str) -> bytes:
    if not data:
        raise ValueError("must contain an image; there is nothing after the comma")
    if "-" in data or "_" in data:
        raise ValueError("must be standard base64 with + and /, not the URL-safe variant with - and _")
    try:
        image = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        # The library's message is about bytes and offsets, and could quote what was sent.
        raise ValueError("must be complete base64, with padding and without white space or line breaks") from error
    # Unused bits could carry anything: only the canonical encoding of these bytes is accepted.
    if base64.b64encode(image[-(len(image) % 3 or 3) :]).decode() != data[-4:]:
        raise ValueError("must be complete base64: its last bits belong to no byte")
    return image


def image_bytes(url: str) -> int:
    """Return how many bytes an image in a checked URL has; 0 for an https URL."""
    if not url.startswith("data:"):
        return 0
    data = len(url) - url.index(",") - 1
    return data * 3 // 4 - url.count("=", -2)


_BASE64 = "[A-Za-z0-9+/]"
# How the base64 of each format begins, in whole groups of four characters; and what may follow.
_BEGINNINGS = {
    "png": f"iVBORw0KGgo{_BASE64}",
    "jpeg": "/9j/",
    "webp": f"UklGR[g-v]{_BASE64}{{4}}[BFJNRVZdhlptx159]XRUJQ",
    "gif": "R0lGOD[dl]h",
}
_ONE_OF = "|".join(f"{name};base64,{beginning}" for name, beginning in _BEGINNINGS.items())
_REST = f"(?:{_BASE64}{{4}})*(?:{_BASE64}[AQgw]==|{_BASE64}{{2}}[AEIMQUYcgkosw048]=)?"

ImageUrl = Annotated[
    str,
    AfterValidator(_checked),
    Field(
        description=f"An https URL, which the provider fetches and this server does not; or the image itself, as "
        f"{_FORM}: at most {MAX_IMAGE_BYTES:,} bytes before base64, matching its media type. The scheme and the "
        "media type are stored in lower case.",
        json_schema_extra={
            "anyOf": [
                {"title": "An https URL", "pattern": "^https://", "maxLength": _MAX_ADDRESS},
                {
                    "title": "The image itself",
                    "pattern": f"^data:image/(?:{_ONE_OF}){_REST}$",
                    "maxLength": -(-MAX_IMAGE_BYTES // 3) * 4 + len("data:image/jpeg;base64,"),
                },
            ]
        },
    ),
]
