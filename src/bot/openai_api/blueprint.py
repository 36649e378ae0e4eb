"""The blueprint of a part of `/v1`, with the answers that all its routes can give."""

from collections.abc import Mapping
from typing import Any

from flask_openapi.types import ResponseDict
from pydantic import BaseModel

from bot.http.blueprint import LINE_TOO_LONG, RETRY_AFTER, Resource, resource
from bot.openai_api.envelope import PREFIX, ErrorEnvelope


def part(name: str, description: str) -> Resource:
    """Return a blueprint under `/v1` whose routes need an API key; its name is `v1-` and the given one."""
    return resource(f"v1-{name}", description, prefix=PREFIX)


def answers(success: Mapping[int, type[BaseModel] | dict[str, Any] | None], *errors: int) -> ResponseDict:
    """Return a route's documented answers: its own, and its errors in addition to those of every route."""
    documented: ResponseDict = {}
    for status, model in success.items():
        documented[status] = model
    for status in sorted({401, 403, 429, 500, 503, *errors}):
        documented[status] = _REFERENCE | RETRY_AFTER.get(status, {})
    # As a model, so that its schema is part of the document.
    documented[400] = ErrorEnvelope
    documented[414] = LINE_TOO_LONG
    return documented


_REFERENCE: dict[str, Any] = {
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{ErrorEnvelope.__name__}"}}}
}
