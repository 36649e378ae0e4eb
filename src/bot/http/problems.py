"""Every error as an RFC 9457 problem document with a stable `code`: ours, the table's, Werkzeug's, and any bug."""

import logging
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, current_app, g, json, request
from pydantic import BaseModel, Field
from pynamodb.exceptions import PynamoDBException
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from bot import errors
from bot.errors import BotError, FieldError
from models.access_patterns.turn_errors import BeginUncertain, LeaseHeld
from models.table import errors as table
from models.table.clock import now, table_now, to_timestamp

log = logging.getLogger(__name__)

_RENDERERS = "error_renderers"

Renderer = Callable[[BotError], Response]


class FieldProblem(BaseModel):
    """One invalid field."""

    field: str = Field(description="A dotted path into the request.")
    message: str = Field(description="What is allowed there.")


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="A URI reference that identifies the kind of problem.")
    title: str = Field(description="The kind of problem, for people.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="The kind of problem, for programs; it never changes.")
    detail: str = Field(description="What went wrong this time.")
    request_id: str | None = Field(None, description="Identifies this request in the log.")
    errors: list[FieldProblem] | None = Field(None, description="The invalid fields.")
    limit: str | None = Field(None, description="Which limit was hit.")
    limit_size: int | None = Field(None, description="How much that limit allows.")
    limit_used: int | None = Field(None, description="How much of it is used, reservations included.")
    wanted: int | None = Field(None, description="How many tokens the turn would have reserved.")
    resets_at: str | None = Field(None, description="When the limit resets.")
    retry_after: int | None = Field(None, description="After how many seconds to retry.")


def document(error: BotError) -> dict[str, Any]:
    """Return the problem document of an error."""
    found: dict[str, Any] = {
        "type": f"/docs/errors#{error.code}",
        "title": error.title,
        "status": error.status,
        "code": error.code,
        "detail": error.detail,
        "request_id": g.get("request_id"),
    }
    if error.fields:
        found["errors"] = [{"field": each.field, "message": each.message} for each in error.fields]
    if error.retry_after is not None:
        # A stream has no header for it.
        found["retry_after"] = max(1, math.ceil(error.retry_after))
    return {**found, **error.extra}


def render_under(app: Flask, prefix: str, renderer: Renderer) -> None:
    """Report the errors of all paths under a prefix in another form than as problem documents."""
    app.extensions.setdefault(_RENDERERS, {})[prefix] = renderer


def respond(error: BotError) -> Response:
    """Return the answer for an error, in the form of the path's front door."""
    for prefix, renderer in current_app.extensions.get(_RENDERERS, {}).items():
        if request.path == prefix or request.path.startswith(f"{prefix}/"):
            found: Response = renderer(error)
            return found
    return _problem(error)


def _problem(error: BotError) -> Response:
    found = document(error)
    response = Response(json.dumps(found), status=error.status, content_type="application/problem+json; charset=utf-8")
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(found["retry_after"])
    if error.status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def from_table(error: table.TableError) -> BotError:
    """Return what an error of the data layer means for a caller."""
    match error:
        case table.ItemNotFound():
            return errors.NotFound(f"There is no such {error.what}.")
        case table.InvalidValue():
            return errors.ValidationFailed(fields=(FieldError(error.field, error.reason),))
        case table.InvalidDraft():
            return errors.ValidationFailed(fields=(FieldError(error.field, f"must be {error.allowed}"),))
        case table.EmailTaken():
            return errors.AlreadyExists(
                "Another user has this email.", fields=(FieldError("email", "must be one that no other user has"),)
            )
        case table.VersionMismatch():
            return errors.VersionConflict(
                f"The stored version is {error.current}; read it and retry with that version.",
                fields=(FieldError("if_version", f"must be the stored version, {error.current}"),),
                extra={"current_version": error.current},
            )
        case table.ConversationNotActive():
            return errors.ConversationClosed(f"{error} PATCH its status to 'active' to continue it.")
        case table.TooManyShares():
            return errors.Conflict(str(error))
        case LeaseHeld():
            return errors.ConversationBusy(str(error), retry_after=min(error.retry_after, 5.0))
        case table.LimitReached():
            return _limit_reached(error)
        case table.LeaseLost():
            return errors.TurnInterrupted()
        case BeginUncertain():
            return from_aws(error)
        case table.Contended():
            return errors.TableUnavailable(str(error), retry_after=1)
        case table.ContentUnavailable():
            return errors.ContentUnavailable(str(error), retry_after=None if error.lasting else 5)
        case table.MapTooLarge():
            return errors.TooLarge(str(error), fields=(FieldError(error.field, error.allowed),))
        case table.TooManyWrites():
            return errors.TooLarge(str(error), fields=(FieldError(error.what, f"at most {error.limit:,}"),))
        case table.ItemTooLarge():
            limit = f"at most {error.limit:,} bytes" + ("" if error.compressed is None else " after compression")
            return errors.TooLarge(str(error), fields=(FieldError(error.field, limit),))
        case _:
            return BotError()


def _limit_reached(error: table.LimitReached) -> BotError:
    extra: dict[str, object] = {"limit": error.limit, "limit_size": error.size, "limit_used": error.used}
    if error.resets_at is None:
        detail = f"{error.used} turns are running, and {error.limit} is {error.size}. Try again when one has ended."
        return errors.RateLimited(detail, retry_after=1, extra=extra)
    if error.limit.startswith("requests"):
        extra |= {"resets_at": to_timestamp(error.resets_at)}
        return errors.RateLimited(
            f"{error.used:,} requests were made in this minute, as many as {error.limit} allows.",
            retry_after=(error.resets_at - table_now()).total_seconds(),
            extra=extra,
        )
    extra |= {"wanted": error.wanted, "resets_at": to_timestamp(error.resets_at)}
    return errors.QuotaExceeded(
        f"This turn may take {error.wanted:,} tokens; {error.used:,} of {error.limit} = {error.size:,} are used.",
        retry_after=(error.resets_at - now()).total_seconds(),
        extra=extra,
    )


def from_aws(error: Exception) -> BotError:
    """Return what a failure of DynamoDB means for a caller; its text goes to the log only."""
    log.error("DynamoDB failed: %s", error)
    return errors.TableUnavailable("DynamoDB could not process the request; try again.", retry_after=1)


def reported(error: Exception) -> BotError:
    """Return the error that the caller gets for any error: the log has the cause of one that nobody expected."""
    match error:
        case BotError():
            return error
        case table.TableError():
            return from_table(error)
        case PynamoDBException() | ClientError() | BotoCoreError():
            return from_aws(error)
        case _:
            # The rule and not the path, which may contain the token of a share link.
            log.exception("%s %s failed", request.method, request.url_rule, exc_info=error)
            return BotError("An unexpected error; the log has its cause under the request id.")


def from_http(error: HTTPException) -> BotError:
    """Return one of Werkzeug's errors as one of ours."""
    if isinstance(error, RequestEntityTooLarge):
        return errors.TooLarge("The request body is too large.", fields=(FieldError("body", "see BOT_MAX_BODY_BYTES"),))
    kinds: dict[int | None, type[BotError]] = {
        400: errors.MalformedRequest,
        404: errors.NotFound,
        405: errors.MethodNotAllowed,
        413: errors.TooLarge,
        414: errors.TooLarge,
        415: errors.UnsupportedMediaType,
    }
    kind = kinds.get(error.code, BotError if (error.code or 500) >= 500 else errors.MalformedRequest)
    return kind("There is nothing at this path." if error.code == 404 else error.description or "")


def install(app: Flask) -> None:
    """Report every error of the application as a problem document."""

    @app.errorhandler(Exception)
    def _error(error: Exception) -> Response:
        return respond(reported(error))

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:
            return Response(error.get_body(), status=error.code, headers=error.get_headers(request.environ))
        if isinstance(error.response, Response):
            return error.response
        response = respond(from_http(error))
        for name, value in error.get_headers(request.environ):
            if name.lower() == "allow":
                response.headers[name] = value
        return response
