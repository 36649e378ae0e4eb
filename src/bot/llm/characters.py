"""Joins characters that a provider splits: JSON can escape half of a surrogate pair, which cannot be stored or sent on.

Servers that stream a token at a time split a character over two deltas, as `"\\ud83d"` and `"\\ude00"`. The joiner
returns only whole characters, so each piece can be sent on at once.
"""

import re

REPLACEMENT = "\ufffd"
"""Replaces half of a pair whose other half does not follow."""

_HALF = re.compile(r"[\ud800-\udfff]")


def whole_characters(text: str) -> str:
    """Return the text with each surrogate pair as one character, and U+FFFD for each half without its other half."""
    if text.isascii() or not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class CharacterJoiner:
    """Joins a text that arrives in pieces; holds back the first half of a character until the second one arrives."""

    def __init__(self) -> None:
        """Start with nothing held back."""
        self._half = ""

    def add(self, piece: str) -> str:
        """Add a piece and return the whole characters that it completes, usually all of it."""
        if self._half and piece:
            piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        return whole_characters(piece)

    @property
    def rest(self) -> str:
        """The end of the text if no more pieces come: U+FFFD for a half that is held back, else `""`."""
        return REPLACEMENT if self._half else ""
