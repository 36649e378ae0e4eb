"""Translates a provider's failures into the application's own errors, without secrets in their texts."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import httpx2

from bot.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderIncomplete,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
)
from bot.redaction import redact as without_secrets

from .characters import whole_characters

if TYPE_CHECKING:
    import openai

LONGEST_RETRY_AFTER = 3600.0
"""Seconds. A provider that asks for a longer wait (a daily quota) can be tried again after an hour."""

_LONGEST_MESSAGE = 600

# Words in the errors that servers send inside the stream: OpenAI's and OpenRouter's codes, vLLM's class names.
_WORDS: tuple[tuple[type[ProviderError], tuple[str, ...]], ...] = (
    (ProviderRateLimited, ("rate_limit", "ratelimit", "insufficient_quota", "too_many")),
    (ProviderAuthFailed, ("auth", "api_key", "permission")),
    (ProviderTimeout, ("timeout", "timed_out")),
    (ProviderRejected, ("invalid", "badrequest", "bad_request", "context", "not_found", "notfound", "policy")),
)


def redact(text: str, secret: str = "") -> str:
    """Return `text` without `secret`, without anything that looks like a key, and without passwords in addresses.

    Half a surrogate pair becomes U+FFFD, because the text goes into an answer and a record.
    """
    # A shorter one is no secret, and removing it would garble the sentence.
    return without_secrets(whole_characters(text), (secret,) if len(secret) >= 4 else ())


def retry_after_seconds(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return how long a provider asks to wait, in seconds from 0 to `LONGEST_RETRY_AFTER`, or None if it does not say.

    `retry-after-ms` takes precedence. `retry-after` is a number of seconds or an HTTP date (RFC 9110, 10.2.3).
    """
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(header, "")) / unit
        except ValueError:
            continue
        if not math.isnan(seconds):
            return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
    try:
        date = parsedate_to_datetime(headers.get("retry-after", ""))
    except (ValueError, OverflowError):
        return None
    # A date without a zone is GMT by definition; the parser leaves it naive when it says "-0000".
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return min(max((date - (now or datetime.now(UTC))).total_seconds(), 0.0), LONGEST_RETRY_AFTER)


def from_status(error: "openai.APIStatusError", *, provider: str, secret: str) -> ProviderError:
    """Translate an HTTP response that is not 2xx."""
    status = error.status_code
    message = _message(error.body, secret)
    if 300 <= status < 400:
        message = "it redirects, and redirects are not followed, so that the key is sent only to the configured address"
    return _kind(status)(
        f"{provider} answered {status}: {message}" if message else f"{provider} answered {status}.",
        retry_after=retry_after_seconds(error.response.headers),
        extra=_extra(provider, error.body, secret, status),
    )


def from_event(body: object, *, provider: str, secret: str) -> ProviderError:
    """Translate an error that the provider sent inside the stream; `body` is the value of `error`."""
    fields = body if isinstance(body, dict) else {}
    code = str(fields.get("code"))
    if code.isdecimal() and 400 <= int(code) < 600:
        kind = _kind(int(code))
    else:
        words = f"{code} {fields.get('type')}".lower()
        kind = next((kind for kind, known in _WORDS if any(word in words for word in known)), ProviderError)
    message = _message(body, secret) or "it gave no reason"
    return kind(f"{provider} reported an error: {message}", extra=_extra(provider, body, secret, None))


def _kind(status: int) -> type[ProviderError]:
    if status == 429:
        return ProviderRateLimited
    if status in (401, 403):
        return ProviderAuthFailed
    if status in (408, 504):
        return ProviderTimeout
    # 409 is a temporary lock at the provider, not a fault of the request.
    return ProviderRejected if 400 <= status < 500 and status != 409 else ProviderError


def from_transport(error: BaseException | None, *, provider: str, timeout: float, began: bool) -> ProviderError:
    """Translate a failure of the connection itself.

    Args:
        error: What httpx2 raised.
        provider: The provider's name.
        timeout: The allowed silence in seconds; only for the error text.
        began: Whether a part of the answer had been received.
    """
    extra: dict[str, object] = {"provider": provider}
    if isinstance(error, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return ProviderTimeout(f"{provider} could not be reached in time.", extra=extra)
    if isinstance(error, httpx2.TimeoutException):
        return ProviderTimeout(f"{provider} was silent for {timeout:g} seconds.", extra=extra)
    if began:
        return ProviderIncomplete(f"{provider} cut the connection before the answer was complete.", extra=extra)
    if isinstance(error, httpx2.ConnectError):
        return ProviderError(f"{provider} cannot be reached.", extra=extra)
    return ProviderError(f"{provider} closed the connection without an answer.", extra=extra)


def _extra(provider: str, body: object, secret: str, status: int | None) -> dict[str, object]:
    """Return the machine-readable details: the provider's name, its HTTP status and its own error code."""
    extra: dict[str, object] = {"provider": provider}
    if status is not None:
        extra["provider_status"] = status
    # vLLM and llama.cpp put the HTTP status under `code` and the kind of error under `type`.
    words = [body.get("code"), body.get("type")] if isinstance(body, dict) else []
    code = next((word for word in words if isinstance(word, str) and word and not word.isdecimal()), None)
    if code is not None:
        extra["provider_code"] = redact(code, secret)[:100]
    if isinstance(body, dict) and isinstance(parameter := body.get("param"), str) and parameter:
        extra["provider_param"] = redact(parameter, secret)[:200]
    return extra


def _message(body: object, secret: str) -> str:
    """Return the provider's own message: on one line, without secrets, and not too long."""
    if isinstance(body, dict):
        candidates = [body.get(key) for key in ("message", "detail", "error", "error_description")]
        body = next((text for text in candidates if isinstance(text, str)), "")
    # A page of HTML comes from a proxy on the way and does not help the caller.
    if not isinstance(body, str) or body.lstrip().startswith("<"):
        return ""
    text = redact(" ".join(body.split()), secret)
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
