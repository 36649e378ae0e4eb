"""One hierarchy of errors, each with its HTTP status and the stable `code` that callers see.

The data layer raises its own errors (`models.table.errors`); `bot.http.problems` gives those a status.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

# Why authentication failed; for the log only (docs/access.md explains each reason).
AuthFailure = Literal[
    "no_credential",
    "malformed_key",
    "unknown_key",
    "expired_key",
    "token_unreadable",
    "token_algorithm",
    "token_issuer",
    "token_key",
    "token_signature",
    "token_expired",
    "token_claims",
    "token_subject",
    "token_audience",
    "token_use",
    "account_closed",
]


# Which kind of rule a field breaks: it is missing, unknown, has the wrong type, is known but not supported (or not with
# this value), or breaks any other rule.
FieldRule = Literal["missing", "unknown", "type", "unsupported", "unsupported_value", "other"]


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of a request.

    `field` is a dotted path into the request (`messages.0.content`), `message` says what is allowed there.
    """

    field: str
    message: str
    rule: FieldRule = "other"


class BotError(Exception):
    """An unexpected error on the server; the log has its cause under the request id."""

    # The base of all errors that are reported to the caller as an RFC 9457 problem document.

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Something went wrong on our side"

    def __init__(
        self,
        detail: str = "",
        *,
        fields: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> None:
        """Make an error with a sentence for the caller; `retry_after` is in seconds; `extra` joins the document."""
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.fields = fields
        self.retry_after = retry_after
        self.extra = extra or {}


class MalformedRequest(BotError):
    """The request cannot be parsed: its JSON, its encoding or its cursor is invalid."""

    status = 400
    code = "malformed_request"
    title = "The request cannot be parsed"


class InvalidCursor(MalformedRequest):
    """The `cursor` was not issued by this deployment for this list and this caller."""

    code = "invalid_cursor"
    title = "The cursor does not belong to this list"


class Unauthenticated(BotError):
    """No API key or token was sent, or it is not valid."""

    status = 401
    code = "unauthenticated"
    title = "A valid API key or token is required"

    def __init__(self, detail: str = "", *, reason: AuthFailure = "no_credential", **more: Any) -> None:
        """Make an error with a sentence for the caller and a `reason` for the log; `more` is as for every error."""
        super().__init__(detail, **more)
        self.reason: AuthFailure = reason


class Forbidden(BotError):
    """The caller is authenticated, but not allowed to do this."""

    status = 403
    code = "forbidden"
    title = "The caller is not allowed to do this"


class InsufficientScope(Forbidden):
    """The scope of the API key, `read` or `agent`, does not cover this request."""

    code = "insufficient_scope"
    title = "The API key's scope does not cover this request"


class ShareLinksDisabled(Forbidden):
    """This deployment does not allow conversations to be shared by link (`BOT_SHARE_LINKS`)."""

    code = "share_links_disabled"
    title = "Share links are not allowed here"


class AccountClosed(Forbidden):
    """The token is valid, but its user was deleted from this deployment."""

    code = "account_closed"
    title = "This account was closed"
    reason: ClassVar[AuthFailure] = "account_closed"


class NotFound(BotError):
    """The resource does not exist or belongs to somebody else; the two look the same."""

    status = 404
    code = "not_found"
    title = "There is no such resource"


class ModelNotFound(NotFound):
    """No agent that the caller may use has this id or slug, or several have this slug (only under `/v1`)."""

    code = "model_not_found"
    title = "There is no such model"


class MethodNotAllowed(BotError):
    """The resource exists but does not support this method."""

    status = 405
    code = "method_not_allowed"
    title = "The resource does not support this method"


class Conflict(BotError):
    """The request is valid, but the state of the resource does not allow it."""

    status = 409
    code = "conflict"
    title = "The state of the resource does not allow this"


class AlreadyExists(Conflict):
    """Another resource already has this unique value."""

    code = "already_exists"
    title = "The value is already taken"


class VersionConflict(Conflict):
    """The stored version differs from the one that the request names."""

    code = "version_conflict"
    title = "The stored version is a different one"


class ConversationBusy(Conflict):
    """Another turn is running on this conversation; try again when it has ended."""

    code = "conversation_busy"
    title = "A turn is running on this conversation"


class ConversationClosed(Conflict):
    """The conversation is completed or archived."""

    code = "conversation_closed"
    title = "The conversation is not active"


class IdempotencyInProgress(Conflict):
    """The first request with this `Idempotency-Key` is still running; retry later for its result."""

    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running"


class ToolResultsExpected(Conflict):
    """The agent is waiting for the results of its function calls, or the results sent do not match those calls."""

    code = "tool_results_expected"
    title = "The results do not match the agent's function calls"


class CredentialsMissing(Conflict):
    """The agent uses the user's own credentials, and none are stored that this deployment can decrypt."""

    code = "credentials_missing"
    title = "There are no credentials for the model provider"


class AgentUnavailable(Conflict):
    """The conversation's agent was deleted or is no longer shared with the caller; the messages can still be read."""

    code = "agent_unavailable"
    title = "The agent of this conversation is no longer available"


class TurnCancelled(Conflict):
    """The turn was cancelled; its partial answer is kept on the turn, not in the messages."""

    code = "turn_cancelled"
    title = "The turn was cancelled"


class Overloaded(BotError):
    """This process has as many turns or followers of conversations as it can; a retry may reach another process."""

    status = 503
    code = "overloaded"
    title = "Too many turns are running"


class TurnInterrupted(BotError):
    """The turn's worker stopped or lost its lease; the partial answer is kept on the turn, not in the messages."""

    status = 503
    code = "turn_interrupted"
    title = "The turn was interrupted"


class TooLarge(BotError):
    """A body, a text or an item exceeds its limit."""

    status = 413
    code = "too_large"
    title = "The content is too large"


class UnsupportedMediaType(BotError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_media_type"
    title = "The body must be application/json"


class ValidationFailed(BotError):
    """The request can be parsed, but a field is missing, unknown or invalid."""

    status = 422
    code = "validation_failed"
    title = "The request has invalid fields"


class IdempotencyKeyReused(ValidationFailed):
    """The `Idempotency-Key` was already used on this route with a different body."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class QuotaExceeded(BotError):
    """The turn could exceed a token quota; `limit` says which one, `resets_at` when it resets."""

    status = 429
    code = "quota_exceeded"
    title = "The token quota does not allow this turn"


class RateLimited(BotError):
    """Too many of the user's turns run at once, or too many requests were made in a minute; `limit` says which."""

    status = 429
    code = "rate_limited"
    title = "Too many turns or requests"


class ProviderError(BotError):
    """The model provider failed; `detail` has the provider's own reason."""

    status = 502
    code = "provider_error"
    title = "The model provider failed"


class ProviderRejected(ProviderError):
    """The provider refused the request itself: an unknown model, a context that is too long, an invalid setting."""

    code = "provider_rejected"
    title = "The model provider refused the request"


class ProviderAuthFailed(ProviderError):
    """The provider did not accept the credentials."""

    code = "provider_auth_failed"
    title = "The model provider did not accept the credentials"


class ProviderIncomplete(ProviderError):
    """The provider's stream ended before the answer was complete."""

    code = "provider_incomplete"
    title = "The model provider's answer was cut off"


class ProviderRateLimited(ProviderError):
    """The provider's rate limit was reached; `retry_after` is the provider's figure if it gave one."""

    status = 503
    code = "provider_rate_limited"
    title = "The model provider's rate limit was reached"


class ProviderTimeout(ProviderError):
    """The provider sent nothing for too long."""

    status = 504
    code = "provider_timeout"
    title = "The model provider did not answer in time"


class TableUnavailable(BotError):
    """DynamoDB does not answer or is throttling, or the table does not exist."""

    status = 503
    code = "table_unavailable"
    title = "The table cannot be reached"


class SecretsUnavailable(BotError):
    """The service that holds the encryption key does not answer, so stored credentials cannot be read or written."""

    status = 503
    code = "secrets_unavailable"
    title = "Stored credentials cannot be reached"


class ContentUnavailable(BotError):
    """A large text is kept outside the table and cannot be read or stored now; `detail` says whether it is lost."""

    status = 503
    code = "content_unavailable"
    title = "A large text is unavailable"


class IssuerUnavailable(BotError):
    """The token's issuer does not provide its keys, so the token cannot be verified."""

    status = 503
    code = "issuer_unavailable"
    title = "The token's issuer cannot be reached"


class NotConfigured(BotError):
    """The deployment lacks a setting that this request needs."""

    status = 503
    code = "not_configured"
    title = "This deployment is not configured for that"


def stored_error(
    code: str, detail: str, retry_after: float | None = None, extra: dict[str, object] | None = None
) -> BotError:
    """Return an error that was stored by its code, as it was reported the first time."""
    found = next((kind for kind in kinds() if kind.code == code), BotError)
    return found(detail, retry_after=retry_after, extra=extra)


def kinds() -> list[type[BotError]]:
    """Return every kind of error, by status and code."""
    found, layer = [BotError], [BotError]
    while layer := [below for above in layer for below in above.__subclasses__()]:
        found += layer
    return sorted(found, key=lambda kind: (kind.status, kind.code))
