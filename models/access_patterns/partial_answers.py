"""What is kept of an answer that never became whole."""

from typing import Any

from models.table.item import MAX_TEXT_BYTES


def unfinished(text: str, code: str, detail: str, **told: Any) -> dict[str, Any]:
    """Return what a turn's record keeps of an answer that is not whole: why, and the text as far as it fits an item.

    `told` is what else the caller was told, so that it can be told again.
    """
    kept = text.encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    if len(kept) < len(text):
        detail = f"{detail} Of the partial text only the beginning is kept."
    also = {name: value for name, value in told.items() if value}
    return {"error": {"code": code, "detail": detail, **also}, "partial_text": kept or None}
