"""Escapes text from users, models and other services before it is printed in a terminal.

A terminal interprets control characters: they set titles and colours, overwrite earlier output, and can even make some
terminals send input. Bidirectional overrides show a text in a different order. Each such character is shown as its code
point, `\\u001b`; nothing is left out. This works character by character, so it does not matter where a stream splits a
sequence.

Use it for text that people read. Output for programs, such as JSON Lines, stays unchanged.
"""

import re

# C0 except tab and newline, DEL, C1, the line and paragraph separators, the characters that embed, override or isolate
# a direction (Unicode Standard Annex 9), and surrogates, which cannot be printed.
_ACTED_UPON = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_TEXT = re.compile(f"[{_ACTED_UPON}]")
_LINE = re.compile(f"[{_ACTED_UPON}\\t\\n]")


def printable(text: str) -> str:
    """Return a text of any number of lines, safe to print; lines may end with `\\r\\n`."""
    return _TEXT.sub(_shown, text.replace("\r\n", "\n"))


def printable_line(text: str) -> str:
    """Return a text, safe to print within one line: its own line ends are shown as code points."""
    return _LINE.sub(_shown, text)


def _shown(character: re.Match[str]) -> str:
    return f"\\u{ord(character[0]):04x}"
