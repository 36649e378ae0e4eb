"""Ids: a prefix for the type, then a UUIDv7, as in `conv_01k9…` (the TypeID format, 26 characters of base32).

They sort by creation time, to the microsecond: the 12 bits after the version carry the fraction of the millisecond
(RFC 9562, section 6.2, method 3). So a message's sort key follows from its id, without an index.

Format: https://github.com/jetify-com/typeid/tree/main/spec
"""

import re
import secrets
from datetime import UTC, datetime, timedelta

from models.table import clock

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUES = {letter: value for value, letter in enumerate(_ALPHABET)}
_SUFFIX = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(prefix: str, moment: datetime | None = None) -> str:
    """Return a new id with `moment` (by default now) in its timestamp bits, and 62 random bits."""
    microseconds = ((moment or clock.now()) - _EPOCH) // timedelta(microseconds=1)
    milliseconds, rest = divmod(microseconds, 1000)
    # Rounded up, so that `moment_of`, which rounds down, returns the same microsecond.
    fraction = -(-rest * 4096 // 1000)
    number = milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | secrets.randbits(62)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def moment_of(identifier: str, prefix: str) -> datetime | None:
    """Return the creation time in an id, or None if `identifier` is not an id with this `prefix`."""
    if not isinstance(identifier, str):
        return None
    head, _, suffix = identifier.rpartition("_")
    if head != prefix or not _SUFFIX.fullmatch(suffix):
        return None
    number = 0
    for letter in suffix:
        number = number << 5 | _VALUES[letter]
    milliseconds, fraction = number >> 80, number >> 64 & 0xFFF
    try:
        return _EPOCH + timedelta(microseconds=milliseconds * 1000 + fraction * 1000 // 4096)
    except OverflowError:
        return None
