"""The sizes of the pieces in which an answer was streamed.

The record of a turn whose stream was not kept has them, so the stored answer can be streamed again, with the same
pieces and the same event ids.
"""

import json
import zlib
from collections.abc import Sequence

from models.turn import EventId

MAX_BYTES = 8192
"""Some 10,000 pieces as models send them. The record also has room for the largest partial text and its error."""

_START = EventId(1)


def pack_pieces(sizes: Sequence[int]) -> bytes | None:
    """Return the sizes of pieces as they are stored: positive for text, negative for reasoning.

    Returns:
        None if there are none, or so many that they do not fit.
    """
    packed = zlib.compress(json.dumps(sizes, separators=(",", ":")).encode())
    return packed if sizes and len(packed) <= MAX_BYTES else None


def cut_again(packed: bytes, text: str, reasoning: str | None = None) -> list[tuple[EventId, str]] | None:
    """Return the pieces of a text, each with its event id, as they were streamed.

    Pieces of reasoning are left out unless the whole `reasoning` is given.

    Returns:
        None if the sizes are not those of this text, because it was truncated.
    """
    sizes: list[int] = json.loads(zlib.decompress(packed))
    if sum(size for size in sizes if size > 0) != len(text):
        return None
    reasoned = reasoning is not None and -sum(size for size in sizes if size < 0) == len(reasoning)
    pieces: list[tuple[EventId, str]] = []
    at, reasoned_at, last = 0, 0, _START
    for size in sizes:
        if size > 0:
            last = EventId(last.number + 1)
            pieces.append((last, text[at : at + size]))
            at += size
            continue
        last = EventId(last.number, last.part + 1)
        if reasoning is not None and reasoned:
            pieces.append((last, reasoning[reasoned_at : reasoned_at - size]))
            reasoned_at -= size
    return pieces
