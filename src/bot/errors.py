"""One hierarchy of errors; each knows the HTTP status and the stable `code` under which a caller meets it.

The data layer raises its own errors (`models.table.errors`); `bot.http.problems` gives those a status.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

# Why nobody was let in: for the log and for nobody else (docs/access.md says what each means).
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


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with one field of a request.

    `field` is a dotted path into the request (`messages.0.content`), `message` says what is allowed there.
    """

    field: str
    message: str


class BotError(Exception):
    """Something that the caller is told about, as an RFC 9457 problem document."""

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
    """The request cannot be read at all: its JSON, its encoding or its cursor is broken."""

    status = 400
    code = "malformed_request"
    title = "The request cannot be read"


class InvalidCursor(MalformedRequest):
    """The `cursor` was not issued by this deployment for this list and this caller."""

    code = "invalid_cursor"
    title = "The cursor does not belong to this list"


class Unauthenticated(BotError):
    """No API key or token was sent, or one that is not valid."""

    status = 401
    code = "unauthenticated"
    title = "A valid API key or token is required"

    def __init__(self, detail: str = "", *, reason: AuthFailure = "no_credential", **more: Any) -> None:
        """Make an error with a sentence for the caller and a `reason` for the log; `more` is as for any."""
        super().__init__(detail, **more)
        self.reason: AuthFailure = reason


class Forbidden(BotError):
    """The caller is known and may not do this."""

    status = 403
    code = "forbidden"
    title = "This caller may not do that"


class InsufficientScope(Forbidden):
    """The API key is for reading alone, or for one agent alone, and this is something else."""

    code = "insufficient_scope"
    title = "This API key does not reach so far"


class AccountClosed(Forbidden):
    """The token is valid, and its user was deleted from this deployment."""

    code = "account_closed"
    title = "This account was closed"
    reason: ClassVar[AuthFailure] = "account_closed"


class NotFound(BotError):
    """There is no such thing, or it belongs to somebody else: the two look the same."""

    status = 404
    code = "not_found"
    title = "There is no such resource"


class MethodNotAllowed(BotError):
    """The resource exists but does not take this method."""

    status = 405
    code = "method_not_allowed"
    title = "This resource does not take that method"


class Conflict(BotError):
    """The request is sound but the state of the resource refuses it."""

    status = 409
    code = "conflict"
    title = "The resource is in a state that does not allow this"


class AlreadyExists(Conflict):
    """Something with this unique value exists."""

    code = "already_exists"
    title = "That exists already"


class VersionConflict(Conflict):
    """The stored version is not the one that the caller named."""

    code = "version_conflict"
    title = "The stored version is another one"


class ConversationBusy(Conflict):
    """Another turn runs on this conversation; try again when it has ended."""

    code = "conversation_busy"
    title = "A turn is running on this conversation"


class ConversationClosed(Conflict):
    """The conversation is completed or archived."""

    code = "conversation_closed"
    title = "The conversation is not active"


class IdempotencyInProgress(Conflict):
    """The first request with this `Idempotency-Key` still runs; ask again later for what came of it."""

    code = "idempotency_in_progress"
    title = "The request with this Idempotency-Key still runs"


class ToolResultsExpected(Conflict):
    """The agent waits for results of its function calls, or the results sent are not the ones it waits for."""

    code = "tool_results_expected"
    title = "The agent's function calls and the results do not match"


class CredentialsMissing(Conflict):
    """The agent needs credentials of the user's own, and none are stored that this deployment's keys open."""

    code = "credentials_missing"
    title = "There are no credentials for the model provider"


class AgentUnavailable(Conflict):
    """The conversation's agent was deleted, or is not shared with the caller any more; what was said can be read."""

    code = "agent_unavailable"
    title = "The agent of this conversation answers no more"


class TurnCancelled(Conflict):
    """The turn was cancelled; what it had said is kept on the turn, not in the messages."""

    code = "turn_cancelled"
    title = "The turn was cancelled"


class Overloaded(BotError):
    """This process runs as many turns as it can; another try may meet another one."""

    status = 503
    code = "overloaded"
    title = "Too many turns are running"


class TurnInterrupted(BotError):
    """The turn's worker stopped, or lost the conversation; what it had is kept on the turn, not in the messages."""

    status = 503
    code = "turn_interrupted"
    title = "The turn was interrupted"


class TooLarge(BotError):
    """A body, a text or an item is over its limit."""

    status = 413
    code = "too_large"
    title = "That is too large"


class UnsupportedMediaType(BotError):
    """The body is not JSON."""

    status = 415
    code = "unsupported_media_type"
    title = "The body must be application/json"


class ValidationFailed(BotError):
    """The request can be read, but a field of it is missing, unknown or not allowed."""

    status = 422
    code = "validation_failed"
    title = "The request has fields that are not allowed"


class IdempotencyKeyReused(ValidationFailed):
    """The `Idempotency-Key` was sent before, on this route, with another body."""

    code = "idempotency_key_reused"
    title = "The Idempotency-Key belongs to another request"


class QuotaExceeded(BotError):
    """A quota of tokens does not hold this turn; `limit` says which, `resets_at` when it begins anew."""

    status = 429
    code = "quota_exceeded"
    title = "The quota does not hold that"


class RateLimited(BotError):
    """Too many turns of the user run at once, or too many requests came in a minute; `limit` says which."""

    status = 429
    code = "rate_limited"
    title = "That is too much at once"


class ProviderError(BotError):
    """The model provider failed; `detail` carries the provider's own reason."""

    status = 502
    code = "provider_error"
    title = "The model provider failed"


class ProviderRejected(ProviderError):
    """The provider refused the request itself: an unknown model, a context that is too long, a bad setting."""

    code = "provider_rejected"
    title = "The model provider refused the request"


class ProviderAuthFailed(ProviderError):
    """The provider did not accept the credentials."""

    code = "provider_auth_failed"
    title = "The model provider did not accept the credentials"


class ProviderIncomplete(ProviderError):
    """The provider's stream ended before the answer did."""

    code = "provider_incomplete"
    title = "The model provider's answer was cut off"


class ProviderRateLimited(ProviderError):
    """The provider limits the rate; `retry_after` is the provider's own figure where it gave one."""

    status = 503
    code = "provider_rate_limited"
    title = "The model provider limits the rate"


class ProviderTimeout(ProviderError):
    """The provider was silent for too long."""

    status = 504
    code = "provider_timeout"
    title = "The model provider did not answer in time"


class TableUnavailable(BotError):
    """DynamoDB does not answer, throttles, or the table is not there."""

    status = 503
    code = "table_unavailable"
    title = "The table cannot be reached"


class SecretsUnavailable(BotError):
    """The service that keeps the encryption key does not answer, so stored credentials cannot be read or written."""

    status = 503
    code = "secrets_unavailable"
    title = "Stored credentials cannot be reached"


class ContentUnavailable(BotError):
    """A large text lies outside of the table, and cannot be read or stored now; `detail` says whether it is lost."""

    status = 503
    code = "content_unavailable"
    title = "A large text cannot be had"


class IssuerUnavailable(BotError):
    """The issuer of the token does not give its keys, so nobody can say whether the token is valid."""

    status = 503
    code = "issuer_unavailable"
    title = "The token's issuer cannot be reached"


class NotConfigured(BotError):
    """The deployment lacks a setting that this request needs."""

    status = 503
    code = "not_configured"
    title = "This deployment is not configured for that"


def as_told(
    code: str, detail: str, retry_after: float | None = None, extra: dict[str, object] | None = None
) -> BotError:
    """Return an error that was kept by its code, as it was told the first time."""
    found = next((kind for kind in kinds() if kind.code == code), BotError)
    return found(detail, retry_after=retry_after, extra=extra)


def kinds() -> list[type[BotError]]:
    """Return every kind of error, by status and code."""
    found, layer = [BotError], [BotError]
    while layer := [below for above in layer for below in above.__subclasses__()]:
        found += layer
    return sorted(found, key=lambda kind: (kind.status, kind.code))
