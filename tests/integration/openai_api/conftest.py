"""The application in this process, on a real engine, and callers of `/v1`."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.integration.api.caller import Caller, assert_documented
from tests.integration.api.conftest import _at_the_table, ann, app, bob, model, new_caller, table
from tests.integration.api.scripted import Scripted

__all__ = ["_at_the_table", "ann", "app", "bob", "model", "new_caller", "table"]

Call = Callable[..., TestResponse]


def v1(caller: Caller, method: str, path: str, body: Any = None, **options: Any) -> TestResponse:
    """Send a request to `/v1`; the answer must conform to the OpenAPI document."""
    if body is not None:
        options["json"] = body
    answer = caller.client.open(f"/v1{path}", method=method, **options)
    assert_documented(caller.app, method, answer)
    return answer


def refused(status: int, code: str, answer: TestResponse) -> dict[str, Any]:
    """Return the error of an answer, which must be one in OpenAI's form."""
    assert answer.mimetype == "application/json", answer.text
    body = answer.get_json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    assert answer.headers["X-Request-Id"]
    return error


@pytest.fixture
def call(ann: Caller) -> Call:
    """Send a request of Ann's."""
    return lambda *given, **options: v1(ann, *given, **options)


@pytest.fixture
def agent(ann: Caller, model: Scripted) -> str:
    """The slug of an agent of Ann's that asks `model`."""
    ann.agent(
        name="Guide",
        provider="openai",
        model="gpt-test",
        system_message="Be brief.",
        settings={"temperature": 0.5, "max_tokens": 90},
    )
    return "guide"
