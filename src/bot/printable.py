"""Text of users, of models and of other services, made harmless to a terminal before a person is shown it.

A terminal acts upon control characters: it sets titles and colours, moves the cursor over what was written, and some
answer as if somebody had typed. Bidirectional overrides show a text in another order than it has. Each such character
is shown by its code point, `\\u001b`, and nothing is left out. This is done character by character, so it does not
matter where a stream cuts a sequence in two.

For text that people read. What programs read, such as JSON Lines, stays as it is.
"""

import re

# C0 but for the tab and the newline, DEL, C1, the separators of lines and paragraphs, and what embeds, overrides or
# isolates a direction (Unicode Standard Annex 9); and halves of characters, which cannot be printed at all.
_ACTED_UPON = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_TEXT = re.compile(f"[{_ACTED_UPON}]")
_LINE = re.compile(f"[{_ACTED_UPON}\\t\\n]")


def printable(text: str) -> str:
    """Return a text of any number of lines as it may be printed; a line's end may be `\\r\\n`."""
    return _TEXT.sub(_shown, text.replace("\r\n", "\n"))


def printable_line(text: str) -> str:
    """Return a text as it may be printed within one line: the ends of its own lines are shown by their code points."""
    return _LINE.sub(_shown, text)


def _shown(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"
