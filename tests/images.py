"""Images for tests: the first bytes of the four formats, padded to any size."""

import base64
import random
from typing import Any

MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF\x00",
    "image/webp": b"RIFF\x24\x00\x00\x00WEBPVP8 ",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
}


def image(size: int = 100, media_type: str = "image/jpeg", seed: int = 1) -> bytes:
    """Return this many bytes that begin like such an image and do not compress."""
    magic = MAGIC[media_type]
    return magic + random.Random(seed).randbytes(size - len(magic))


def data_url(content: bytes, media_type: str = "image/jpeg") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def image_part(size: int = 100, media_type: str = "image/jpeg", seed: int = 1, **more: Any) -> dict[str, Any]:
    """Return a message part with an image of this many bytes."""
    return {"type": "image_url", "image_url": {"url": data_url(image(size, media_type, seed), media_type), **more}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
