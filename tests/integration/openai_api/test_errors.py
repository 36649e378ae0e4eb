"""Errors of `/v1` are in OpenAI's form, whatever raised them."""

from pathlib import Path

import pytest
from flask_openapi import OpenAPI

from bot.access.keys import issue_key
from models.table.connection import TableSettings
from models.table.errors import Contended
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving
from tests.integration.openai_api.conftest import Call, refused, v1


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


def test_requests_beyond_the_limit_of_a_minute_are_rate_limited(table: TableSettings, tmp_path: Path) -> None:
    with serving(table, tmp_path, requests_per_minute=2) as limited:
        caller = Caller(limited)
        answers = [v1(caller, "GET", "/models") for _ in range(6)]  # two minutes may have a part of them
    (*_, last) = (answer for answer in answers if answer.status_code == 429)
    assert refused(429, "rate_limit_exceeded", last)["type"] == "rate_limit_error"
    assert 1 <= int(last.headers["Retry-After"]) <= 60


def test_a_table_that_cannot_be_reached_is_a_server_error(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise Contended("too many writers")

    monkeypatch.setattr("bot.openai_api.models.models", fail)
    answer = call("GET", "/models")
    assert refused(503, "table_unavailable", answer)["type"] == "server_error"
    assert answer.headers["retry-after-ms"] == "1000"


def test_a_page_of_another_origin_may_send_what_the_official_client_sends(table: TableSettings, tmp_path: Path) -> None:
    headers = {
        "Origin": "https://app.example.com",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang,openai-organization,x-evil",
    }
    with serving(table, tmp_path, cors_origins=("https://app.example.com",)) as open_to_one:
        answer = open_to_one.test_client().options("/v1/chat/completions", headers=headers)
    allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
    assert {"authorization", "content-type", "x-stainless-lang", "openai-organization"} <= set(allowed)
    assert "x-evil" not in allowed
    assert "x-should-retry" in answer.headers["Access-Control-Expose-Headers"]
