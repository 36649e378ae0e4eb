"""Characters that a provider splits: JSON can escape half of a surrogate pair, which no table and no JSON can carry.

Servers that stream a token at a time split a character over two deltas, as `"\\ud83d"` and `"\\ude00"`. What is joined
here is whole at every moment, so each piece can be sent on as soon as it is there.
"""

import re

REPLACEMENT = "\ufffd"
"""What half of a pair becomes when its other half does not follow."""

_HALF = re.compile(r"[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """Return a text whose pairs are characters, with U+FFFD for each half that has no other half."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class CharacterJoiner:
    """Joins a text that comes in pieces, and holds the first half of a character back until the second one comes."""

    def __init__(self) -> None:
        """Start with nothing held back."""
        self._half = ""

    def add(self, piece: str) -> str:
        """Take a piece and return the whole characters that it completes, often all of it."""
        if self._half and piece:
            piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return whole_characters(piece)

    @property
    def rest(self) -> str:
        """What ends the text if no more pieces come: U+FFFD for a half that is held back, else `""`."""
        return REPLACEMENT if self._half else ""
