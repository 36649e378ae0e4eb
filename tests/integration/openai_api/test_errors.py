"""Errors of `/v1` are in OpenAI's form, whatever raised them."""

import pytest
from flask_openapi import OpenAPI

from bot.access.keys import issue_key
from tests.integration.api.caller import Caller
from tests.integration.openai_api.conftest import Call, refused


@pytest.mark.parametrize("header", [None, "", "Bearer tt_unknown", "Basic abc"])
def test_a_request_without_a_valid_key_is_refused(app: OpenAPI, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = app.test_client().get("/v1/models", headers=headers)
    assert refused(401, "invalid_api_key", answer)["type"] == "authentication_error"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v1/chat"])
def test_an_unknown_path_is_not_found(ann: Caller, path: str) -> None:
    assert refused(404, "not_found", ann.client.get(path))["type"] == "not_found_error"


def test_paths_outside_have_problem_documents(ann: Caller) -> None:
    for path in ("/v1x", "/api/v1/nothing"):
        assert ann.client.get(path).mimetype == "application/problem+json"


def test_an_unsupported_method_is_answered_with_the_allowed_ones(ann: Caller) -> None:
    answer = ann.client.delete("/v1/models/guide")
    refused(405, "method_not_allowed", answer)
    assert "GET" in answer.headers["Allow"]


def test_an_unknown_query_parameter_is_refused_by_name(call: Call) -> None:
    assert refused(400, "unknown_parameter", call("GET", "/models?surprise=1"))["param"] == "surprise"


def test_a_request_id_is_returned(call: Call) -> None:
    assert call("GET", "/models", headers={"X-Request-Id": "mine"}).headers["x-request-id"] == "mine"


def test_answers_are_not_cached(call: Call) -> None:
    assert call("GET", "/models").headers["Cache-Control"] == "no-store"


def test_headers_of_the_official_clients_are_accepted(call: Call) -> None:
    headers = {"x-stainless-lang": "python", "OpenAI-Organization": "org", "OpenAI-Project": "proj", "OpenAI-Beta": "x"}
    assert call("GET", "/models", headers=headers).status_code == 200


def test_a_bug_is_a_server_error_without_its_cause(
    call: Call, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a secret cause")

    monkeypatch.setattr("bot.openai_api.models.models", fail)
    error = refused(500, "internal_error", call("GET", "/models"))
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]
    assert "a secret cause" in caplog.text


def test_a_key_that_may_only_read_reads_models(ann: Caller) -> None:
    key, _ = issue_key(ann.user, scope="read")
    answer = ann.client.get("/v1/models", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
