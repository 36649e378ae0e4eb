"""Problem documents: one format, stable codes, a request id for the log, and no internal details."""

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from flask_openapi import OpenAPI
from pynamodb.exceptions import GetError

from bot.errors import BotError, kinds
from models.access_patterns import agents
from models.table.errors import Contended, TableError
from tests.factories import noise
from tests.integration.api.caller import Caller

SECRET = "arn:aws:dynamodb:us-east-1:123456789012:table/inside"
CODES = {kind.code for kind in kinds()}


def _refusals(caller: Caller) -> list[Any]:
    big = {"content": noise(600_000), "reply": False}
    conversation = f"/conversations/{caller.conversation()}"
    return [
        caller.call("GET", "/agents/agt_missing"),
        caller.call("POST", "/agents", {}),
        caller.call("POST", "/agents", data=b"{", content_type="application/json"),
        caller.call("POST", "/agents", data=b"{}", content_type="text/plain"),
        caller.call("GET", "/agents", query_string="cursor=x"),
        caller.call("GET", "/users"),
        caller.call("POST", f"{conversation}/messages", big),
        caller.client.get("/nothing/here"),
        caller.client.get("/api/v1/nothing/here"),
        caller.client.put("/api/v1/agents"),
        caller.app.test_client().get("/api/v1/agents"),
    ]


def test_every_refusal_is_a_problem_document(ann: Caller) -> None:
    seen = set()
    for answer in _refusals(ann):
        assert answer.content_type == "application/problem+json; charset=utf-8"
        problem = answer.get_json(force=True)
        assert {"type", "title", "status", "code", "detail", "request_id"} <= problem.keys()
        assert problem["status"] == answer.status_code
        assert problem["code"] in CODES
        assert problem["type"] == f"/docs/errors#{problem['code']}"
        assert problem["detail"]
        assert problem["request_id"] == answer.headers["X-Request-Id"]
        seen.add(problem["status"])
    assert seen == {400, 401, 403, 404, 405, 413, 415, 422}


def test_a_problems_type_links_to_its_description(app: OpenAPI, ann: Caller) -> None:
    problem = ann.call("GET", "/agents/agt_missing").get_json()
    path, _, anchor = problem["type"].partition("#")
    page = app.test_client().get(path)
    assert (page.status_code, page.mimetype) == (200, "text/html")
    for code in CODES | {anchor}:
        assert f'id="{code}"' in page.text


def test_the_callers_request_id_is_used_if_it_is_safe_to_log(ann: Caller) -> None:
    for given in ("a-b_c.d:1", "x" * 128):
        answer = ann.call("GET", "/agents/agt_missing", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] == answer.get_json()["request_id"] == given
    for given in ("", "a b", "x" * 129, "<script>", "é"):
        answer = ann.call("GET", "/users/me", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"].startswith("req_")
    made = {ann.call("GET", "/users/me").headers["X-Request-Id"] for _ in range(3)}
    assert len(made) == 3


def test_answers_are_not_cached_or_sniffed(ann: Caller) -> None:
    for answer in (ann.call("GET", "/users/me"), ann.call("GET", "/agents/agt_missing")):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("failure", "status", "code", "retry"),
    [
        (lambda: RuntimeError(SECRET), 500, "internal_error", False),
        (lambda: KeyError(SECRET), 500, "internal_error", False),
        (lambda: TableError(SECRET), 500, "internal_error", False),
        (lambda: Contended("Others kept writing."), 503, "table_unavailable", True),
        (lambda: EndpointConnectionError(endpoint_url=SECRET), 503, "table_unavailable", True),
        (lambda: GetError(SECRET, cause=_throttled()), 503, "table_unavailable", True),
        (lambda: _throttled(), 503, "table_unavailable", True),
    ],
)
def test_an_internal_error_reveals_no_details(
    ann: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Callable[[], Exception],
    status: int,
    code: str,
    retry: bool,
) -> None:
    def broken(*_: object) -> None:
        raise failure()

    monkeypatch.setattr(agents, "list_agents", broken)
    answer = ann.call("GET", "/agents")
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert SECRET not in answer.text
    assert "Error" not in answer.text.replace("Error", "", 0) or status == 500
    assert answer.headers.get("Retry-After") == (str(problem["retry_after"]) if retry else None)
    if status == 500 and not isinstance(failure(), TableError):
        assert SECRET in caplog.text, "the log has what the caller is not told"


def _throttled() -> ClientError:
    error = {"Code": "ProvisionedThroughputExceededException", "Message": SECRET}
    return ClientError({"Error": error}, "GetItem")  # type: ignore[typeddict-item]


def test_every_kind_of_error_is_returned_as_declared(app: OpenAPI) -> None:
    for kind in kinds():
        error = kind("A sentence.", retry_after=1.2, extra={"more": 1})
        with app.test_request_context("/api/v1/agents"):
            answer = app.make_response(app.handle_user_exception(error))
        assert answer.status_code == kind.status
        problem = json.loads(answer.data)
        assert (problem["code"], problem["title"], problem["detail"]) == (kind.code, kind.title, "A sentence.")
        assert problem["more"] == 1
        assert answer.headers["Retry-After"] == "2"


def test_a_callers_mistake_is_not_logged_as_an_error(ann: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    _refusals(ann)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_every_kind_of_error_has_a_sentence() -> None:
    assert all(kind().detail for kind in kinds())
    assert issubclass(BotError, Exception)
