"""What holds for every route of `/v1`: the tests take the routes from the application, so new ones are included."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flask_openapi import OpenAPI

from tests.integration.api.caller import Caller, documented_path
from tests.integration.openai_api.chatting import HELLO
from tests.integration.openai_api.conftest import refused, v1

# What a request needs to get as far as its caller's things. A new route with a body fails here until it has one.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/v1/chat/completions"): {"model": "guide", "messages": HELLO},
    ("POST", "/v1/responses"): {"model": "guide", "input": "Hello"},
    ("POST", "/v1/responses/input_tokens"): {"model": "guide", "input": "Hello"},
}


class Route(NamedTuple):
    """A method on a path."""

    method: str
    rule: str

    @property
    def path(self) -> str:
        """The path without the prefix, with ids that nobody has."""
        return re.sub(r"<(?:\w+:)?(\w+)>", r"none_\1", self.rule).removeprefix("/v1")


def routes(app: OpenAPI) -> Iterator[Route]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/v1/"):
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield Route(method, rule.rule)


def test_every_route_is_in_the_document_and_no_others_are(app: OpenAPI) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in app.api_doc["paths"].items()
        for method in operations
        if path.startswith("/v1/")
    }
    assert documented == {(method, documented_path(rule)) for method, rule in routes(app)}


def test_every_route_requires_a_key(app: OpenAPI) -> None:
    for route in routes(app):
        for header in (None, "Bearer tt_unknown", "Basic tt_unknown"):
            headers = {} if header is None else {"Authorization": header}
            answer = app.test_client().open(f"/v1{route.path}", method=route.method, headers=headers, json={})
            assert refused(401, "invalid_api_key", answer), route


def test_unknown_query_parameters_are_refused_by_name(app: OpenAPI, ann: Caller) -> None:
    for route in routes(app):
        answer = v1(ann, route.method, route.path, BODIES.get(route), query_string="surprise=1")
        assert refused(400, "unknown_parameter", answer)["param"] == "surprise", route


def test_unknown_body_parameters_are_refused_by_name(app: OpenAPI, ann: Caller) -> None:
    for route in routes(app):
        if route.method == "POST":
            answer = v1(ann, route.method, route.path, {**BODIES[route], "surprise": 1})
            assert refused(400, "unknown_parameter", answer)["param"] == "surprise", route


def test_what_does_not_exist_is_not_found(app: OpenAPI, ann: Caller) -> None:
    for route in routes(app):
        if "<" in route.rule or route in BODIES:
            answer = v1(ann, route.method, route.path, BODIES.get(route))
            assert answer.status_code == 404, f"{route}: {answer.text}"
            assert answer.get_json()["error"]["type"] == "not_found_error"
