"""CORS: which other origins may call the API. None, or exactly those that the deployment names.

A caller is authenticated by a header, which a script must set, never by a cookie, so no answer allows credentials.
Origins are compared as whole strings, without patterns.

Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

from flask import Flask, Response, request

_METHODS = "GET, POST, PUT, PATCH, DELETE"
_SENT = "Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id"
# OpenAI's clients describe themselves in headers with these beginnings; they have no effect.
_OPENAI = ("x-stainless-", "openai-")
_SHOWN = "Idempotent-Replayed, Location, Retry-After, WWW-Authenticate, X-Request-Id, retry-after-ms, x-should-retry"
_REMEMBERED = 600  # seconds for which a browser caches a preflight


def install(app: Flask, origins: tuple[str, ...]) -> None:
    """Let pages of these origins call the application. Others get no CORS headers."""
    if not origins:
        return
    allowed = frozenset(origins)

    # Before the routes check for a key: a preflight has none.
    @app.before_request
    def _preflight() -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if asked and request.origin in allowed else None

    @app.after_request
    def _tell(response: Response) -> Response:
        # Even if nothing is allowed: a cache must not serve one origin's answer to another.
        response.vary.add("Origin")
        if request.origin not in allowed:
            return response
        response.access_control_allow_origin = request.origin
        response.headers["Access-Control-Expose-Headers"] = _SHOWN
        if request.method == "OPTIONS":
            response.headers["Access-Control-Allow-Methods"] = _METHODS
            asked = request.headers.get("Access-Control-Request-Headers", "").lower().split(",")
            openais = [name.strip() for name in asked if name.strip().startswith(_OPENAI)]
            response.headers["Access-Control-Allow-Headers"] = ", ".join([_SENT, *sorted(openais)])
            response.access_control_max_age = _REMEMBERED
        return response
