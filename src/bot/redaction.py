"""Redacts whatever looks like a secret from a text before it is logged, wherever it comes from."""

import re

REDACTED = "[redacted]"

_NAMES = (
    r"api[_-]?key|x-api-key|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|access[_-]?token|refresh[_-]?token"
    r"|id[_-]?token|session[_-]?token|x-amz-security-token|x-amz-signature|passw(?:or)?d"
)
# Each keeps its first group, so that a reader sees what was there. All take linear time, whatever a caller makes the
# server log: repetitions before a fixed text are bounded.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # A header as it appears in a mapping, a line or a tuple; the scheme is kept.
        r"((?:proxy-)?authorization['\"]?\s*[:=,]\s*(?:b(?=['\"]))?['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\",}\\)\]]+",
        r"(\b(?:bearer|basic)\s+)[\w.~+/=*-]{6,}",
        rf"(\b(?:{_NAMES})\b['\"\\]*\s*[:=]\s*(?:b(?=['\"]))?['\"\\]*)[^\s'\",;&}}\\)\]]+",
        # A user name and password in a URL.
        r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@'\"<>]{1,2000}(?=@)",
    )
) + tuple(
    re.compile(pattern)
    for pattern in (
        r"(\btts?_)[\w-]{8,}",  # our own API keys, and the tokens of share links
        r"(\b(?:sk|rk|pk|gsk|hf|xai|pplx)[-_])[\w*.-]{6,}",  # OpenAI, Groq, Hugging Face …
        r"(\bABSK)[A-Za-z0-9+/=]{16,}",  # Amazon Bedrock
        r"(\bAIza)[\w-]{16,}",  # Google
        r"(\b(?:AKIA|ASIA))[A-Z0-9]{12,}",  # AWS access keys
        r"(\beyJ)[\w-]{4,2000}\.[\w-]{4,}(?:\.[\w-]*){1,3}",  # signed and encrypted tokens
    )
)


def redact(text: str, secrets: tuple[str, ...] = ()) -> str:
    """Return `text` without `secrets`, and without anything that looks like a key, a token or a password."""
    for secret in secrets:
        text = text.replace(secret, REDACTED)
    for pattern in _PATTERNS:
        text = pattern.sub(lambda found: f"{found[1]}{REDACTED}", text)
    return text
