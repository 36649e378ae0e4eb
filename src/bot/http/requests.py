"""What every request has: an id, a caller, and a body that is checked to be valid JSON."""

import inspect
import json
import math
import re
import secrets
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NoReturn

from flask import Flask, Request, Response, current_app, g, request
from werkzeug.exceptions import ClientDisconnected, HTTPException, RequestEntityTooLarge

from bot.access.callers import Caller
from bot.access.cursors import Cursors
from bot.errors import (
    AccountClosed,
    BotError,
    FieldError,
    Forbidden,
    MalformedRequest,
    Unauthenticated,
    UnsupportedMediaType,
    ValidationFailed,
)
from bot.http.context import services
from bot.http.numbers import TOO_EXACT, Rounded, double, whole_number
from bot.http.types import deeper_than
from models.access_patterns.audit_records import Actor, acting
from models.access_patterns.rates import count_request
from models.access_patterns.users import get_user
from models.agent import Agent
from models.table.errors import ItemNotFound

_SURROGATE = re.compile("[\ud800-\udfff]")
# The endpoints that run a turn.
_TURNS = {"messages.send", "turns.run", "branches.make"}
_REQUEST_ID = re.compile(r"^[A-Za-z0-9_.:-]{1,128}$")
# No field may be nested so deep; what is read from here on can be walked by recursion.
_DEEPEST = 64


class JsonRequest(Request):
    """A request whose JSON is parsed strictly: invalid JSON is refused, never treated as an empty body."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        """Return the body, which must be a JSON object; a missing body counts as an empty one.

        Raises:
            RequestEntityTooLarge: it exceeds the limit.
            UnsupportedMediaType: its Content-Type is not JSON.
            MalformedRequest: it is not JSON, or not an object; or it did not arrive.
        """
        try:
            data = self.get_data(cache=True)
        except ClientDisconnected as error:
            problem = "must arrive completely and in time"
            raise MalformedRequest(f"body: {problem}.", fields=(FieldError("body", problem),)) from error
        # If the length of a body was not announced, Werkzeug returns what is within the limit as if it were all.
        if len(data) >= (self.max_content_length or math.inf) and self.content_length != len(data):
            raise RequestEntityTooLarge
        if not data:
            return {}
        if (encoding := self.headers.get("Content-Encoding", "identity").strip().lower()) not in ("", "identity"):
            # Unpacking would be a way around the limit on the body's size.
            raise UnsupportedMediaType(
                f"The body is encoded as {encoding[:20]!r}; send it uncompressed, without Content-Encoding.",
                fields=(FieldError("Content-Encoding", "must not be sent"),),
            )
        if not self.is_json:
            raise UnsupportedMediaType(
                "Send the body as Content-Type: application/json.",
                fields=(FieldError("Content-Type", "must be application/json"),),
            )
        return _parse(data)


def _parse(data: bytes) -> dict[str, Any]:
    rounded: list[Rounded] = []
    try:
        body = json.loads(
            data.decode(),
            parse_constant=_refuse_constant,
            parse_float=partial(double, rounded),
            parse_int=whole_number,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise MalformedRequest("The body is not UTF-8.", fields=(FieldError("body", "must be UTF-8"),)) from error
    except RecursionError as error:
        raise MalformedRequest(
            "The body is nested too deeply.", fields=(FieldError("body", "must have fewer levels"),)
        ) from error
    except ValueError as error:
        detail = f"The body is not valid JSON: {error}."
        raise MalformedRequest(detail, fields=(FieldError("body", "must be valid JSON"),)) from error
    if not isinstance(body, dict):
        raise MalformedRequest("The body must be a JSON object.", fields=(FieldError("body", "must be an object"),))
    for name, value in body.items():
        if deeper_than(_DEEPEST, value):
            raise MalformedRequest(f"{name}: nested too deeply.", fields=(FieldError(name, "must have fewer levels"),))
    # The walks are skipped if there is nothing to find.
    if rounded and (field := _path_of(body, lambda value: isinstance(value, Rounded))) is not None:
        raise MalformedRequest(f"{field}: {TOO_EXACT}", fields=(FieldError(field, TOO_EXACT),))
    # Only an escape can contain an unpaired surrogate.
    if b"\\u" in data and (field := _path_of(body, _is_broken_text)) is not None:
        raise MalformedRequest(f"{field}: is not valid Unicode.", fields=(FieldError(field, "must be valid Unicode"),))
    return body


def _path_of(value: object, is_meant: Callable[[object], bool], path: str = "") -> str | None:
    """Return the path of the first value, or of the map with the first name, that is meant."""
    match value:
        case dict():
            if any(is_meant(name) for name in value):
                return path or "body"
            entries = [(str(name), entry) for name, entry in value.items()]
        case list():
            entries = [(str(position), entry) for position, entry in enumerate(value)]
        case _:
            return path if is_meant(value) else None
    found = (_path_of(entry, is_meant, f"{path}.{name}" if path else name) for name, entry in entries)
    return next((each for each in found if each is not None), None)


def _is_broken_text(value: object) -> bool:
    """Whether a text has an unpaired surrogate: no such text can be stored or sent."""
    return isinstance(value, str) and _SURROGATE.search(value) is not None


def install(app: Flask) -> None:
    """Parse every body strictly, and give every request its id."""
    app.request_class = JsonRequest

    @app.before_request
    def _identify() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.match(given) else f"req_{secrets.token_hex(12)}"

    @app.after_request
    def _answer(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        return response


def sent() -> Any:
    """Return the body of the current request as it was sent, to locate an invalid field; None if it is not JSON."""
    try:
        return request.get_json()
    except (BotError, HTTPException):
        return None


def check_parameters() -> None:
    """Check that no query parameter would be silently ignored; a blueprint's `before_request`.

    Raises:
        ValidationFailed: one was sent twice, or to a route that takes none.
    """
    if not request.args:
        return
    if _takes_query(current_app.view_functions[request.endpoint or ""]):
        fields = [FieldError(name, "must be sent once") for name, sent in request.args.lists() if len(sent) > 1]
    else:
        fields = [FieldError(name, "Extra inputs are not permitted", "unknown") for name in request.args]
    if fields:
        raise ValidationFailed(f"{fields[0].field}: {fields[0].message}", fields=tuple(fields))


@cache
def _takes_query(view: Callable[..., Any]) -> bool:
    return "query" in inspect.signature(view).parameters


def require_caller() -> None:
    """Authenticate the caller; a blueprint's `before_request`.

    If a turn will run in a conversation that this process knows, its agent is read in the same request.

    Cost: AP-21, 1 GetItem, or AP-24, 1 BatchGetItem.

    Raises:
        Unauthenticated: no valid API key or token was sent; the log has the reason.
        AccountClosed: the token's user was deleted; it is logged.
    """
    expected = None
    if request.endpoint in _TURNS and request.view_args:
        expected = services().agent_cache.get(request.view_args["conversation_id"])
    try:
        g.caller, g.agent = services().authentication.caller(request.headers.get("Authorization"), expected)
    except (Unauthenticated, AccountClosed) as error:
        # The rule and not the path, which may contain anything.
        route = f"{request.method} {request.url_rule}"
        services().auth_failures.note(error.reason, route, request.remote_addr, g.request_id)
        raise
    actor = Actor(g.caller.user_id, g.caller.key_id, g.request_id, request.remote_addr)
    # A thread serves one request at a time, and every request that acts passes through here.
    acting.set(actor)
    services().sign_in_log.note(g.caller, actor)
    _check_rate(g.caller)


def _check_rate(who: Caller) -> None:
    """Count the request against the rate limits: its key's first, so that one key cannot use up the user's.

    Cost: AP-98 for each of the two limits if set.

    Raises:
        LimitReached: the limit of this minute is reached.
    """
    settings = services().settings
    if settings.requests_per_minute_of_a_key is not None and who.key_id is not None:
        count_request(who.user_id, who.key_id, settings.requests_per_minute_of_a_key)
    if settings.requests_per_minute is not None:
        count_request(who.user_id, "user", settings.requests_per_minute)


def caller() -> Caller:
    """Return the caller of the current request."""
    found: Caller = g.caller
    return found


def require_admin() -> None:
    """Check that the caller may manage users.

    Raises:
        Forbidden: the caller is not an administrator.
    """
    if not acts_as_admin():
        raise Forbidden("Only an administrator may do this.")


def acts_as_admin() -> bool:
    """Whether the caller may manage users now: a key is an administrator's only while its user is one.

    Cost: AP-02 once per request with an administrator's key, else nothing.
    """
    who = caller()
    if not who.is_admin or who.key_id is None:
        return who.is_admin
    if "acts_as_admin" not in g:
        try:
            g.acts_as_admin = get_user(who.user_id).role == "admin"
        except ItemNotFound:
            g.acts_as_admin = False
    return bool(g.acts_as_admin)


def agent_read_with_key() -> Agent | None:
    """Return the agent that was read together with the caller's key, if any."""
    found: Agent | None = g.agent
    return found


def cursors() -> Cursors:
    """Return the application's cursor signer."""
    return services().cursors


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the name {twice[:64]!r} occurs twice in one object")
    return found


def scope(route: str, **filters: Any) -> str:
    """Return what a cursor is bound to: the list, the caller (None on a public route) and the filters."""
    who: Caller | None = g.get("caller")
    return json.dumps([route, who and who.user_id, filters], sort_keys=True, default=str)
