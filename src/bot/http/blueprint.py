"""The blueprint of a resource, with the answers that all its routes can give."""

from collections.abc import Callable, Mapping
from typing import Any

from flask_openapi import APIBlueprint, Tag
from flask_openapi.models import Schema
from flask_openapi.types import ResponseDict
from flask_openapi.utils import get_model_schema
from pydantic import BaseModel

from bot.http.idempotency import check_key
from bot.http.problems import Problem
from bot.http.requests import check_parameters, require_caller
from bot.http.scopes import check_scope

# Either one is enough.
SECURITY: list[dict[str, list[Any]]] = [{"api_key": []}, {"token": []}]
SECURITY_SCHEMES: dict[str, Any] = {
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, `tt_…`. With the scope `read` it may only GET; with `agent` it may use only its "
        "agent and the conversations with it. Everything else answers 403 `insufficient_scope`.",
    },
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of an OpenID Connect issuer that the deployment names in BOT_OIDC_ISSUER.",
    },
}


class Resource(APIBlueprint):
    """A blueprint whose part of the OpenAPI document is generated on demand.

    flask-openapi generates it when the routes are declared, which takes a fifth of the application's import time, for a
    document that most processes never serve.
    """

    def __init__(self, name: str, import_name: str, **options: Any) -> None:
        """Take the arguments of `APIBlueprint`."""
        super().__init__(name, import_name, **options, doc_ui=False)
        self._made_of = (name, import_name, options)
        self._routes: list[tuple[str, str, dict[str, Any], Callable[..., Any]]] = []
        self._described: list[type[BaseModel]] = []

    def describe(self, model: type[BaseModel]) -> str:
        """Add a model to the document, for an answer that is written by hand; return the reference to it."""
        self._described.append(model)
        return f"#/components/schemas/{model.__name__}"

    def documented(self) -> APIBlueprint:
        """Return a blueprint with the same routes and their documentation, which is never served."""
        name, import_name, options = self._made_of
        twin = APIBlueprint(name, import_name, **options)
        for method, rule, given, function in self._routes:
            getattr(twin, method)(rule, **given)(function)
        for model in self._described:
            schema = get_model_schema(model, mode="serialization")
            schemas = {model.__name__: schema, **schema.get("$defs", {})}
            twin.components_schemas.update({name: Schema(**each) for name, each in schemas.items()})
        return twin

    def get(self, rule: str, **options: Any) -> Callable[..., Any]:
        """Declare a route."""
        return self._declare("get", rule, options, super().get(rule, **options))

    def post(self, rule: str, **options: Any) -> Callable[..., Any]:
        """Declare a route."""
        return self._declare("post", rule, options, super().post(rule, **options))

    def put(self, rule: str, **options: Any) -> Callable[..., Any]:
        """Declare a route."""
        return self._declare("put", rule, options, super().put(rule, **options))

    def patch(self, rule: str, **options: Any) -> Callable[..., Any]:
        """Declare a route."""
        return self._declare("patch", rule, options, super().patch(rule, **options))

    def delete(self, rule: str, **options: Any) -> Callable[..., Any]:
        """Declare a route."""
        return self._declare("delete", rule, options, super().delete(rule, **options))

    def _declare(
        self, method: str, rule: str, options: dict[str, Any], route: Callable[..., Any]
    ) -> Callable[..., Any]:
        def declare(function: Callable[..., Any]) -> Any:
            self._routes.append((method, rule, options, function))
            return route(function)

        return declare


def resource(name: str, description: str, *, prefix: str = "/api/v1") -> Resource:
    """Return a blueprint whose routes need an API key."""
    blueprint = Resource(
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


def public_resource(name: str, description: str, *, prefix: str = "/api/v1") -> Resource:
    """Return a blueprint whose routes need no credential, and ignore one."""
    blueprint = Resource(name, __name__, url_prefix=prefix, abp_tags=[Tag(name=name, description=description)])
    blueprint.before_request(check_parameters)
    return blueprint


LINE_TOO_LONG: dict[str, Any] = {
    "description": "The request line exceeds 4,094 bytes; the HTTP server refuses it before the application.",
    "content": {"text/html": {"schema": {"type": "string"}}},
}


def _retry_after(*, required: bool) -> dict[str, Any]:
    said = "After how many seconds to retry; the document's `retry_after`."
    return {"headers": {"Retry-After": {"description": said, "required": required, "schema": {"type": "integer"}}}}


RETRY_AFTER = {409: _retry_after(required=False), 429: _retry_after(required=True), 503: _retry_after(required=False)}


def answers(success: Mapping[int, type[BaseModel] | dict[str, Any] | None], *problems: int) -> ResponseDict:
    """Return a route's documented answers: its own, and its problems in addition to those of every route."""
    return public_answers(success, 401, 403, 429, *problems)


def public_answers(success: Mapping[int, type[BaseModel] | dict[str, Any] | None], *problems: int) -> ResponseDict:
    """Return the documented answers of a route that needs no credential, as `answers` does."""
    documented: ResponseDict = {}
    for status, model in success.items():
        documented[status] = model
    for problem in sorted({422, 500, 503, *problems}):
        documented[problem] = problem_response() | RETRY_AFTER.get(problem, {})
    documented[414] = LINE_TOO_LONG
    return documented


def problem_response() -> dict[str, Any]:
    """Return the OpenAPI response object of a problem document."""
    return {"content": {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}}
