"""What holds for every answer: its headers, which web pages may read it, and the limits of a request."""

import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI

from models.table.connection import TableSettings
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.conftest import serving
from tests.integration.api.test_api_routes import routes

APP = "https://app.example.com"
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@pytest.mark.parametrize(
    "path", ["/healthz", "/docs/errors", "/openapi/swagger", "/openapi/openapi.json", "/nothing", f"{PREFIX}/users/me"]
)
def test_every_answer_has_the_security_headers(app: OpenAPI, path: str) -> None:
    answer = app.test_client().get(path)
    assert {name: answer.headers.get(name) for name in EVERYWHERE} == EVERYWHERE
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "Strict-Transport-Security" not in answer.headers
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_api_answer_may_run_nothing_and_is_never_cached(ann: Caller) -> None:
    answer = ann.call("GET", "/users/me")
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_api_page_may_run_its_own_scripts_and_no_others(app: OpenAPI) -> None:
    answer = app.test_client().get("/docs", follow_redirects=True)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    inline = re.findall(r"<script>", answer.text)
    assert len(re.findall("'sha256-", policy["script-src"])) == len(inline) == 1
    assert "unsafe-inline" not in policy["script-src"]
    assert policy["connect-src"] == "'self'"
    for source in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert not source.startswith(("http", "//")), source


def test_hsts_is_sent_if_the_deployment_uses_tls(app: OpenAPI, table: TableSettings, tmp_path: Path) -> None:
    with serving(table, tmp_path, hsts_seconds=600, trusted_proxies=1) as made:
        client = made.test_client()
        secure = client.get("/healthz", headers={"X-Forwarded-Proto": "https"})
        plain = client.get("/healthz")
    assert secure.headers["Strict-Transport-Security"] == "max-age=600; includeSubDomains"
    assert "Strict-Transport-Security" not in plain.headers


@pytest.fixture(scope="module")
def opened(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An application that one web page may call."""
    with serving(table, tmp_path_factory.mktemp("opened"), cors_origins=(APP,)) as made:
        yield made


def preflight(app: OpenAPI, path: str, method: str, origin: str) -> Any:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return app.test_client().options(path, headers=headers)


def test_a_preflight_of_every_route_is_answered_without_a_key(opened: OpenAPI) -> None:
    for route in routes(opened):
        path = PREFIX + route.filled(dict.fromkeys(route.slots, "x"))
        answer = preflight(opened, path, route.method, APP)
        assert answer.status_code == 204, route
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert route.method in answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.com.evil.example",
        "https://evilapp.example.com",
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://APP.example.com",
        "https://app-example.com",
        "null",
        "*",
        "",
    ],
)
def test_a_page_of_another_origin_gets_no_cors_headers(opened: OpenAPI, origin: str) -> None:
    asked = preflight(opened, f"{PREFIX}/agents", "POST", origin)
    got = opened.test_client().get("/healthz", headers={"Origin": origin})
    for answer in (asked, got):
        assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]
    assert "Origin" in got.headers["Vary"]


def test_a_page_that_may_call_reads_answers_errors_and_streams(opened: OpenAPI) -> None:
    ann = Caller(opened)
    ann.client.environ_base["HTTP_ORIGIN"] = APP
    conversation = f"/conversations/{ann.conversation()}"
    streamed = ann.call("POST", f"{conversation}/messages", {"content": "Hello", "stream": True})
    assert streamed.mimetype == "text/event-stream"
    for answer in (ann.call("GET", conversation), ann.call("GET", "/agents/agt_none"), streamed):
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]
        assert "Origin" in answer.headers["Vary"]
    shut_out = opened.test_client().get(f"{PREFIX}/agents", headers={"Origin": APP})
    assert (shut_out.status_code, shut_out.headers["Access-Control-Allow-Origin"]) == (401, APP)


def test_without_the_setting_no_preflight_opens_anything(app: OpenAPI) -> None:
    answer = preflight(app, f"{PREFIX}/agents", "POST", APP)
    assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, gzip"])
def test_a_compressed_body_is_refused_and_not_decompressed(ann: Caller, encoding: str) -> None:
    bomb = gzip.compress(json.dumps({"name": "x" * 10_000_000}).encode())
    answer = ann.call(
        "POST",
        "/agents",
        data=bomb,
        headers={"Content-Encoding": encoding, "Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_a_form_is_refused_without_being_read(ann: Caller) -> None:
    answer = ann.call("POST", "/agents", data={"name": "Ada", "file": (io.BytesIO(b"x" * 100_000), "a.txt")})
    assert (answer.status_code, answer.get_json()["code"]) == (415, "unsupported_media_type")


def test_a_body_without_a_content_length_has_the_same_limit(app: OpenAPI, ann: Caller) -> None:
    limit = app.config["MAX_CONTENT_LENGTH"]
    answer = ann.client.post(
        f"{PREFIX}/agents",
        input_stream=io.BytesIO(b'{"name": "' + b"x" * limit + b'"}'),
        headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert (answer.status_code, answer.get_json()["code"]) == (413, "too_large")
