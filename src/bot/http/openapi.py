"""The OpenAPI document: what flask-openapi generates from the routes, and what it leaves out."""

from collections.abc import Iterator
from threading import Lock
from typing import Any

from flask_openapi import OpenAPI

from bot.http.blueprint import Resource
from bot.http.idempotency import FORM, HEADER, LONGEST
from bot.http.types import MAP_NAME

_IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "description": "A retry with the same key and body within 24 hours gets the first answer, without a second effect; "
    "the same key with another body is refused. See the guide on idempotency.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST, "pattern": FORM},
}


class Application(OpenAPI):
    """The application with its OpenAPI document."""

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take the arguments of `OpenAPI`."""
        super().__init__(*args, **options)
        self._making = Lock()

    def generate_spec_json(self) -> None:
        """Generate the document once; flask-openapi calls this for the first request for it, from any thread."""
        with self._making:
            if not self.spec_json:
                self._generate()

    def _generate(self) -> None:
        self._collect()
        super().generate_spec_json()  # type: ignore[no-untyped-call]
        schemas = self.spec_json["components"]["schemas"]
        for operations in self.spec_json["paths"].values():
            for method, operation in operations.items():
                if method == "post" and operation.get("security"):
                    operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                if "application/problem+json" not in operation["responses"]["422"]["content"]:
                    # flask-openapi adds this answer everywhere, in its own form: the probes have no parameters, and
                    # `/v1` answers 400.
                    del operation["responses"]["422"]
                if body := operation.get("requestBody"):
                    # A body without required fields may be omitted.
                    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                    body["required"] = bool({"required", "anyOf", "oneOf"} & schemas[name].keys())
        for schema in _objects(schemas):
            # flask-openapi does not support `propertyNames`. Only user-defined maps have `maxProperties`.
            if "maxProperties" in schema:
                schema["propertyNames"] = {"pattern": MAP_NAME}

    def _collect(self) -> None:
        """Collect the documentation of the resources' routes, which they do not add when they are registered."""
        for each in self.blueprints.values():
            if isinstance(each, Resource):
                documented = each.documented()
                self.tags += [tag for tag in documented.tags if tag.name not in self.tag_names]
                self.tag_names += [tag.name for tag in documented.tags]
                self.paths.update(documented.paths)
                self.components_schemas.update(documented.components_schemas)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _objects(each)
