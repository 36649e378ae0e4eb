"""Failed authentication: each is logged with its reason, at a limited rate, and without the credential."""

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from flask_openapi import OpenAPI

from bot.access.auth_failures import MOST, MOST_OF_AN_ADDRESS
from bot.errors import AuthFailure
from models.table.connection import TableSettings
from tests.fake_clock import FakeClock
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.conftest import make_app
from tests.processes import ROOT
from tests.wire import recorded

ADDRESS = "203.0.113.7"
FORWARDED = {"X-Forwarded-For": f"198.51.100.1, {ADDRESS}"}


@pytest.fixture(autouse=True)
def _a_minute_of_its_own(app: OpenAPI, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    app.extensions["bot"].auth_failures.flush()
    yield
    app.extensions["bot"].auth_failures.flush()


def told(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the logged refused attempts, each with its level."""
    return [{"level": each.levelname, **each.refused} for each in caplog.records if hasattr(each, "refused")]


def ask(app: OpenAPI, authorization: str | None, path: str = "/users/me", **options: Any) -> int:
    headers = {"X-Request-Id": "req-of-the-test", **options.pop("headers", {})}
    if authorization is not None:
        headers["Authorization"] = authorization
    return app.test_client().get(PREFIX + path, headers=headers, **options).status_code


@pytest.mark.parametrize(
    ("authorization", "level", "reason"),
    [
        (None, "INFO", "no_credential"),
        ("Bearer ", "INFO", "no_credential"),
        ("Basic YW5uOnBsYW50ZWQtcGFzc3dvcmQ=", "INFO", "no_credential"),
        ("planted-without-a-scheme", "INFO", "no_credential"),
        ("Bearer tt_planted-0123456789-abcdefghijklmnopqrstuvwxyzAB", "WARNING", "unknown_key"),
        ("Bearer planted.like.a-token", "WARNING", "unknown_key"),
        ("Bearer planted words of anybody's", "WARNING", "unknown_key"),
        (f"Bearer tt_{'planted' * 40}", "WARNING", "malformed_key"),
    ],
)
def test_an_attempt_is_logged_once_with_its_reason_and_without_the_credential(
    app: OpenAPI, caplog: pytest.LogCaptureFixture, authorization: str | None, level: str, reason: str
) -> None:
    assert ask(app, authorization, environ_base={"REMOTE_ADDR": ADDRESS}) == 401
    (line,) = told(caplog)
    assert line == {
        "level": level,
        "reason": reason,
        "route": "GET /api/v1/users/<user_id>",
        "address": ADDRESS,
        "request_id": "req-of-the-test",
    }
    for part in (authorization or "").split():
        credential = part.removeprefix("tt_")
        for start in range(len(credential) - 8):
            assert credential[start : start + 8] not in caplog.text


def test_an_expired_and_a_revoked_key_are_logged(
    app: OpenAPI, ann: Caller, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    ends = (fake_clock.moment + timedelta(seconds=90)).isoformat()
    expired, revoked = ann.make("/api-keys", expires_at=ends), ann.make("/api-keys")
    ann.delete(f"/api-keys/{revoked['id']}")
    fake_clock.advance(seconds=91)
    for key in (expired["key"], revoked["key"]):
        assert ask(app, f"Bearer {key}") == 401
    assert [(each["level"], each["reason"]) for each in told(caplog)] == [
        ("INFO", "expired_key"),
        ("WARNING", "unknown_key"),
    ]


def test_an_expired_key_begins_no_turn_although_its_agent_is_read(
    app: OpenAPI, ann: Caller, fake_clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"/conversations/{ann.conversation()}/messages"
    ends = (fake_clock.moment + timedelta(seconds=90)).isoformat()
    ann.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {ann.make('/api-keys', expires_at=ends)['key']}"
    ann.make(path, content="Hello")
    fake_clock.advance(seconds=91)
    with recorded() as sent:
        ann.refused(401, "unauthenticated", "POST", path, {"content": "And now?"})
    assert [(each.pattern, each.operation) for each in sent] == [("AP-24", "BatchGetItem")]
    assert [(each["reason"], each["route"]) for each in told(caplog)] == [
        ("expired_key", "POST /api/v1/conversations/<conversation_id>/messages")
    ]


def test_an_insufficient_scope_is_not_an_authentication_failure(ann: Caller, caplog: pytest.LogCaptureFixture) -> None:
    ann.refused(403, "forbidden", "GET", "/users")
    ann.refused(404, "not_found", "GET", "/agents/agt_none")
    assert told(caplog) == []


def test_the_address_is_the_peers_unless_a_proxy_is_trusted(
    app: OpenAPI, table: TableSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behind = make_app(table, tmp_path, trusted_proxies=1)
    for asked in (app, behind):
        ask(asked, "Bearer nothing", headers=FORWARDED)
    behind.extensions["bot"].providers.close()
    assert [each["address"] for each in told(caplog)] == ["127.0.0.1", ADDRESS]


def test_an_address_gets_a_limited_number_of_lines_per_minute_and_one_for_the_rest(
    app: OpenAPI, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(MOST_OF_AN_ADDRESS + 7):
        ask(app, "Bearer nothing")
    ask(app, "Bearer nothing", environ_base={"REMOTE_ADDR": ADDRESS})
    assert [each["address"] for each in told(caplog)] == ["127.0.0.1"] * MOST_OF_AN_ADDRESS + [ADDRESS]

    app.extensions["bot"].auth_failures.flush()
    assert [each.refused_more for each in caplog.records if hasattr(each, "refused_more")] == [{"unknown_key": 7}]
    assert "refused 7 more: unknown_key=7" in caplog.text

    ask(app, "Bearer nothing")
    assert len(told(caplog)) == MOST_OF_AN_ADDRESS + 2, "a new minute"
    app.extensions["bot"].auth_failures.flush()
    assert sum(hasattr(each, "refused_more") for each in caplog.records) == 1, "nothing was left out of that one"


def test_many_addresses_do_not_make_the_log_longer(app: OpenAPI, caplog: pytest.LogCaptureFixture) -> None:
    refusals = app.extensions["bot"].auth_failures
    for number in range(MOST + 50):
        refusals.note("unknown_key", "GET /", f"2001:db8::{number:x}", "req_1")
    assert len(told(caplog)) == MOST
    refusals.flush()
    assert "refused 50 more: unknown_key=50" in caplog.text


def test_the_page_explains_every_reason() -> None:
    page = (ROOT / "docs" / "access.md").read_text()
    assert [reason for reason in get_args(AuthFailure) if f"| `{reason}` | " not in page] == []
