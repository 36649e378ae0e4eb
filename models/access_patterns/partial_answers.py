"""What is stored of an answer that did not complete."""

from typing import Any

from models.table.item import MAX_TEXT_BYTES
from models.table.values import readable, readable_json


def unfinished(text: str, code: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return what a turn's record stores of an incomplete answer: the error, and as much text as fits in an item.

    `more` has further fields of the error that the caller received, so that they can be returned again. Half surrogate
    pairs, which a provider's own message may contain, become U+FFFD, so that the end of a turn can always be stored.
    """
    text = readable(text)
    kept = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    if len(kept) < len(text):
        detail = f"{detail} The partial text is truncated."
    also = {name: value for name, value in more.items() if value}
    return {"error": readable_json({"code": code, "detail": detail, **also}), "partial_text": kept or None}
