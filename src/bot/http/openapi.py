"""The OpenAPI document: what flask-openapi makes of the routes, and what it leaves out."""

from collections.abc import Iterator
from typing import Any

from flask_openapi import OpenAPI

from bot.http.idempotency import FORM, HEADER, LONGEST
from bot.http.types import MAP_NAME

_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "description": "The same key and body within 24 hours are answered as the first time, without a second effect; "
    "the same key with another body is refused. See the guide on idempotency.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": FORM},
}


class Application(OpenAPI):
    """The application with its OpenAPI document."""

    def generate_spec_json(self) -> None:
        """Make the document."""
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        schemas = self.spec_json["components"]["schemas"]
        for operations in self.spec_json["paths"].values():
            for method, operation in operations.items():
                if method == "post" and operation.get("security"):
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                if not operation.get("security"):
                    # flask-openapi adds this answer everywhere, in a form of its own; the probes check no parameters.
                    operation["responses"].pop("422", None)
                if body := operation.get("requestBody"):
                    # A body of which nothing is required may be left out as a whole.
                    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    body["required"] = bool({"required", "anyOf", "oneOf"} & schemas[name].keys())
        for schema in _objects(schemas):
            # flask-openapi knows no `propertyNames`. The maps that are limited are those of a user's own making.
            if "maxProperties" in schema:
                schema["propertyNames"] = {"pattern": MAP_NAME}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
