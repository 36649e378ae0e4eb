"""What looks like a secret is taken out of a text before it is written to a log, wherever it comes from."""

import re

REDACTED = "[redacted]"

_NAMES = (
    r"api[_-]?key|x-api-key|client[_-]?secret|secret[_-]?(?:access[_-]?)?key|access[_-]?token|refresh[_-]?token"
    r"|id[_-]?token|session[_-]?token|x-amz-security-token|x-amz-signature|passw(?:or)?d"
)
# Each leaves what stands in its first group, so that a reader sees what was there. None takes more than linear time,
# whatever a caller makes us log: what may repeat before a fixed text is bounded.
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # A header as a mapping, a line or a tuple shows it; the scheme may stay.
        r"((?:proxy-)?authorization['\"]?\s*[:=,]\s*(?:b(?=['\"]))?['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\",}\\)\]]+",
        r"(\b(?:bearer|basic)\s+)[\w.~+/=*-]{6,}",
        rf"(\b(?:{_NAMES})\b['\"\\]*\s*[:=]\s*(?:b(?=['\"]))?['\"\\]*)[^\s'\",;&}}\\)\]]+",
        # A user and a password in an address.
        r"(\b[a-z][a-z0-9+.-]{0,20}://)[^\s/@'\"<>]{1,2000}(?=@)",
    )
) + tuple(
    re.compile(pattern)
    for pattern in (
        r"(\btt_)[\w-]{8,}",  # our own API keys
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
