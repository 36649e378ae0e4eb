"""Errors in OpenAI's form, `{"error": {"message", "type", "param", "code"}}`, with its types, codes and statuses.

The rest of the application raises the same errors for both front doors; this module only renders them.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from flask import Flask, Response, json
from pydantic import BaseModel, Field

from bot import errors
from bot.errors import BotError, FieldError, FieldRule, ProviderError
from bot.http import problems

PREFIX = "/v1"

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "rate_limit_error",
    "insufficient_quota",
    "server_error",
]

# The official clients retry 408, 409, 429 and 5xx, and wait as long as this header says only up to two minutes.
_LONGEST_RETRY_AFTER_MS = 120_000


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str = Field(description="What went wrong, for people.")
    type: ErrorType = Field(description="The kind of error.")
    param: str | None = Field(description="The invalid parameter, as a path such as `messages[0].content`.")
    code: str | None = Field(description="The error, for programs.")


class ErrorEnvelope(BaseModel):
    """An error in OpenAI's form."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class Rendering:
    """How one kind of error is shown. `retry` overrides what the clients derive from the status; None leaves it."""

    status: int
    type: ErrorType
    code: str
    param: str | None = None
    retry: bool | None = None


def _invalid(code: str, status: int = 400, *, param: str | None = None, retry: bool | None = None) -> Rendering:
    return Rendering(status, "invalid_request_error", code, param, retry)


def _server(status: int, code: str, *, retry: bool | None = None) -> Rendering:
    return Rendering(status, "server_error", code, retry=retry)


# Every kind of error, so that a new one must be given its form here.
RENDERINGS: dict[type[BotError], Rendering] = {
    BotError: _server(500, "internal_error"),
    errors.MalformedRequest: _invalid("invalid_json"),
    errors.InvalidCursor: _invalid("invalid_cursor", param="after"),
    errors.Unauthenticated: Rendering(401, "authentication_error", "invalid_api_key"),
    errors.Forbidden: Rendering(403, "permission_error", "forbidden"),
    errors.ShareLinksDisabled: Rendering(403, "permission_error", "share_links_disabled"),
    errors.InsufficientScope: Rendering(403, "permission_error", "insufficient_scope"),
    errors.AccountClosed: Rendering(403, "permission_error", "account_closed"),
    errors.NotFound: Rendering(404, "not_found_error", "not_found"),
    errors.ModelNotFound: Rendering(404, "not_found_error", "model_not_found", "model"),
    errors.MethodNotAllowed: _invalid("method_not_allowed", 405),
    # Clients retry a 409, so only what a retry can help is one.
    errors.Conflict: _invalid("conflict"),
    errors.AlreadyExists: _invalid("already_exists"),
    errors.VersionConflict: _invalid("version_conflict"),
    errors.ConversationBusy: _invalid("conversation_locked", param="conversation", retry=True),
    errors.ConversationClosed: _invalid("conversation_closed", param="conversation"),
    errors.IdempotencyInProgress: _invalid("idempotency_in_progress", 409),
    errors.ToolResultsExpected: _invalid("tool_results_expected", param="input"),
    errors.CredentialsMissing: _invalid("credentials_missing", param="model"),
    errors.AgentUnavailable: _invalid("agent_unavailable", param="conversation"),
    errors.TurnCancelled: _invalid("turn_cancelled"),
    errors.Overloaded: _server(503, "overloaded"),
    errors.TurnInterrupted: _server(503, "turn_interrupted"),
    errors.TooLarge: _invalid("too_large", 413),
    errors.UnsupportedMediaType: _invalid("unsupported_media_type", 415),
    errors.ValidationFailed: _invalid("invalid_value"),
    errors.IdempotencyKeyReused: _invalid("idempotency_key_reused"),
    # A quota is used up for hours.
    errors.QuotaExceeded: Rendering(429, "insufficient_quota", "insufficient_quota", retry=False),
    errors.RateLimited: Rendering(429, "rate_limit_error", "rate_limit_exceeded"),
    errors.ProviderError: _server(502, "provider_error"),
    errors.ProviderRejected: _invalid("provider_rejected"),
    errors.ProviderAuthFailed: _server(502, "provider_auth_failed", retry=False),
    errors.ProviderIncomplete: _server(502, "provider_incomplete"),
    errors.ProviderRateLimited: Rendering(429, "rate_limit_error", "provider_rate_limited"),
    errors.ProviderTimeout: _server(504, "provider_timeout"),
    errors.TableUnavailable: _server(503, "table_unavailable"),
    errors.SecretsUnavailable: _server(503, "secrets_unavailable"),
    errors.ContentUnavailable: _server(503, "content_unavailable"),
    errors.IssuerUnavailable: _server(503, "issuer_unavailable"),
    errors.NotConfigured: _server(503, "not_configured", retry=False),
}

_CODES: dict[FieldRule, str] = {
    "missing": "missing_required_parameter",
    "unknown": "unknown_parameter",
    "type": "invalid_type",
    "unsupported": "unsupported_parameter",
    "unsupported_value": "unsupported_value",
}
_SAID: dict[FieldRule, str] = {
    "missing": "Missing required parameter: '{param}'.",
    "unknown": "Unknown parameter: '{param}'.",
    "type": "Invalid type for '{param}': {message}.",
    "unsupported": "Unsupported parameter: '{param}'. {message}.",
    "unsupported_value": "Unsupported value: '{param}'. {message}.",
    "other": "Invalid value: '{param}'. {message}.",
}
# What a caller must hear of first, if several parameters are wrong.
_FIRST: tuple[FieldRule, ...] = ("unknown", "unsupported", "unsupported_value", "missing", "type", "other")
_INDEX = re.compile(r"\.(\d+)(?=\.|$)")


def install(app: Flask) -> None:
    """Report every error under `/v1` in OpenAI's form."""
    problems.render_under(app, PREFIX, respond)


def rendering(error: BotError) -> Rendering:
    """Return how an error is shown."""
    return next(RENDERINGS[kind] for kind in type(error).__mro__ if kind in RENDERINGS)


def envelope(error: BotError) -> dict[str, Any]:
    """Return an error as the body of an answer, and as the data of a stream's last event."""
    shown = rendering(error)
    message, param, code = error.detail, shown.param, shown.code
    if isinstance(error, errors.ValidationFailed) and error.fields:
        field = min(error.fields, key=lambda each: _FIRST.index(each.rule))
        param = _param(field)
        if type(error) is errors.ValidationFailed:
            message, code = (
                _SAID[field.rule].format(param=param, message=_phrase(field.message)),
                _CODES.get(field.rule, code),
            )
    elif isinstance(error, errors.ProviderRejected):
        # The provider's own words for it, such as `context_length_exceeded`.
        code, param = str(error.extra.get("provider_code") or code), _param_of_provider(error)
    elif error.fields and not isinstance(error, ProviderError):
        param = param or _param(error.fields[0])
    return {"error": {"message": message, "type": shown.type, "param": param, "code": code}}


def _phrase(message: str) -> str:
    return message[:1].upper() + message[1:].rstrip(".")


def _param(field: FieldError) -> str:
    return _INDEX.sub(r"[\1]", field.field)


def _param_of_provider(error: errors.ProviderRejected) -> str | None:
    """Return which message of the request the provider refused; else what the provider calls its parameter."""
    ids = error.extra.get("message_ids")
    found = ids[0] if isinstance(ids, list) and ids else error.extra.get("provider_param")
    return found if isinstance(found, str) else None


def respond(error: BotError) -> Response:
    """Return the answer for an error."""
    shown = rendering(error)
    response = Response(json.dumps(envelope(error)), status=shown.status, content_type="application/json")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
        milliseconds = max(1, math.ceil(error.retry_after * 1000))
        if shown.retry is not False and milliseconds <= _LONGEST_RETRY_AFTER_MS:
            response.headers["retry-after-ms"] = str(milliseconds)
    if shown.retry is not None:
        response.headers["x-should-retry"] = "true" if shown.retry else "false"
    if shown.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
