"""The OpenAPI document and the pages for people."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flask_openapi import OpenAPI
from openapi_spec_validator import OpenAPIV31SpecValidator

from bot import __version__
from models.table.connection import TableSettings, configure
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app


def test_the_document_is_valid(app: OpenAPI) -> None:
    served = app.test_client().get("/openapi/openapi.json").get_json()
    assert served["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(served).iter_errors()) == []
    assert served == json.loads(json.dumps(app.api_doc))


def test_every_operation_has_a_summary_and_says_who_may_call_it(app: OpenAPI) -> None:
    for path, operations in app.api_doc["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], f"{method} {path}"
            assert operation["tags"]
            # A shared conversation is read with nothing but its link.
            needs_key = path.startswith(("/api/", "/v1/")) and path != "/api/v1/shared-conversations/{token}"
            assert bool(operation.get("security")) == needs_key, f"{method} {path}"


def test_every_problem_is_documented_as_one(app: OpenAPI) -> None:
    for path, operations in app.api_doc["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and status != "414":
                    form = "application/json" if path.startswith("/v1/") else "application/problem+json"
                    assert list(response["content"]) == [form], f"{method} {path} {status}"


def test_only_a_body_of_which_something_is_required_is_required(app: OpenAPI) -> None:
    required = {
        (method, path): operation["requestBody"]["required"]
        for path, operations in app.api_doc["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert not any(wanted for (method, _), wanted in required.items() if method == "patch")
    assert required["post", "/api/v1/agents"]
    assert required["post", "/api/v1/conversations/{conversation_id}/messages"]
    assert not required["post", "/api/v1/conversations/{conversation_id}/turns"]
    assert not required["post", "/api/v1/api-keys"]


def test_the_names_of_a_users_own_maps_are_documented(app: OpenAPI) -> None:
    schemas = app.api_doc["components"]["schemas"]
    for schema, field in (
        ("UserPatch", "settings"),
        ("UserPatch", "api_integration_details"),
        ("ConversationCreate", "metadata"),
    ):
        found = schemas[schema]["properties"][field]
        found = next(each for each in found.get("anyOf", [found]) if each.get("type") == "object")
        assert found["propertyNames"] == {"pattern": "^[A-Za-z0-9_.:-]{1,64}$"}


def test_docs_is_a_page_without_external_resources(app: OpenAPI) -> None:
    page = app.test_client().get("/docs", follow_redirects=True)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    for source in ("https://", "http://", "//cdn"):
        assert f'src="{source}' not in page.text
        assert f'href="{source}' not in page.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_the_probes_need_no_key_and_tell_the_version(app: OpenAPI, path: str) -> None:
    answer = app.test_client().get(path)
    assert (answer.status_code, answer.get_json()) == (200, {"status": "ok", "version": __version__})


def test_a_process_that_cannot_reach_its_table_is_alive_and_not_ready(
    app: OpenAPI, ann: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.api import health

    monkeypatch.setattr(health, "reachable", lambda: False)
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    answer = client.get("/readyz")
    assert (answer.status_code, answer.get_json()["code"]) == (503, "table_unavailable")
    assert answer.headers["Retry-After"] == "5"


def test_a_missing_table_is_reported_without_further_details(ann: Caller, table: TableSettings, tmp_path: Path) -> None:
    missing = replace(table, name="test-missing")
    app = make_app(missing, tmp_path)
    client = app.test_client()
    try:
        for path in ("/readyz", "/api/v1/users/me"):
            answer = client.get(path, headers={"Authorization": f"Bearer {ann.key}"})
            assert (answer.status_code, answer.get_json()["code"]) == (503, "table_unavailable"), path
            assert "Retry-After" in answer.headers
            assert "test-missing" not in answer.text
    finally:
        configure(table)
