"""The tokens of share links: shown once and stored as hashes, like API keys, but they identify nobody."""

import re
import secrets

from bot.access.keys import hash_of

PREFIX = "tts_"
_FORM = re.compile(rf"{PREFIX}[A-Za-z0-9_-]{{43}}")


def new_token() -> str:
    """Return a new token with 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(32)


def hash_of_token(token: str) -> str | None:
    """Return the hash under which a link is stored; None if this cannot be the token of one."""
    return hash_of(token) if _FORM.fullmatch(token) else None
