"""How a resource's blueprint is made, with the answers that all its routes can give."""

from collections.abc import Mapping
from typing import Any

from flask_openapi import APIBlueprint, Tag
from flask_openapi.types import ResponseDict
from pydantic import BaseModel

from bot.http.idempotency import check_key
from bot.http.problems import Problem
from bot.http.requests import check_parameters, require_caller
from bot.http.scopes import check_scope

# Either will do.
SECURITY: list[dict[str, list[Any]]] = [{"api_key": []}, {"token": []}]
SECURITY_SCHEMES: dict[str, Any] = {
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `tt_…`. One of the scope `read` may GET; one of the scope `agent` may use its "
        "agent and the conversations with it; everything else answers 403 `insufficient_scope`.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of an OpenID Connect issuer that the deployment names in BOT_OIDC_ISSUER.",
    },
}


def resource(name: str, description: str, *, prefix: str = "/api/v1") -> APIBlueprint:
    """Return a blueprint whose routes need an API key."""
    blueprint = APIBlueprint(
        name,
        __name__,
        url_prefix=prefix,
        abp_tags=[Tag(name=name, description=description)],
        abp_security=SECURITY,
    )
    blueprint.before_request(require_caller)
    blueprint.before_request(check_scope)
    blueprint.before_request(check_parameters)
    blueprint.before_request(check_key)
    return blueprint


_LINE_TOO_LONG: dict[str, Any] = {
    "description": "The request line is over 4,094 bytes; the HTTP server says so before the application is asked.",
    "content": {"text/html": {"schema": {"type": "string"}}},
}


def _retry_after(*, required: bool) -> dict[str, Any]:
    said = "After how many seconds another try makes sense; `retry_after` of the document."
    return {"headers": {"Retry-After": {"description": said, "required": required, "schema": {"type": "integer"}}}}


_RETRY_AFTER = {409: _retry_after(required=False), 429: _retry_after(required=True), 503: _retry_after(required=False)}


def answers(success: Mapping[int, type[BaseModel] | dict[str, Any] | None], *problems: int) -> ResponseDict:
    """Return a route's documented answers: its own, and the problems it can meet beside those that any can."""
    documented: ResponseDict = {}
    for status, model in success.items():
        documented[status] = model
    for problem in sorted({401, 403, 422, 429, 500, 503, *problems}):
        documented[problem] = problem_response() | _RETRY_AFTER.get(problem, {})
    documented[414] = _LINE_TOO_LONG
    return documented


def problem_response() -> dict[str, Any]:
    """Return the OpenAPI response object of a problem document."""
    return {"content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}}
