"""Integration details and keys: never shown again, never logged, never stored in clear."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.access.keys import hash_of
from models.table.connection import TableSettings, client
from tests.contract_watch import past_the_models
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app

API_KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz-0123456789"
SHORT_KEY = "sk-short-key"


def everything_on(table: TableSettings) -> str:
    """Return all items of the table as text."""
    with past_the_models():
        pages: Iterator[Any] = client().get_paginator("scan").paginate(TableName=table.name)
        return "\n".join(str(page["Items"]) for page in pages)


def test_a_provider_key_is_stored_and_never_returned(
    ann: Caller, table: TableSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    details = {
        "openai": {"api_key": API_KEY, "base_url": "https://models.example.com/v1"},
        "other": {"api_key": SHORT_KEY},
    }

    answers = [
        ann.call("PATCH", "/users/me", {"api_integration_details": details}),
        ann.call("GET", "/users/me"),
        ann.call("PATCH", "/users/me", {"name": "Ann"}),
    ]

    for answer in answers:
        assert answer.get_json()["api_integration_details"] == {
            "openai": {"api_key_hint": "…6789", "base_url": "https://models.example.com/v1"},
            "other": {"api_key_hint": "…", "base_url": None},
        }
        assert API_KEY not in answer.text
        assert SHORT_KEY not in answer.text
    stored = everything_on(table)
    for secret in (API_KEY, API_KEY[8:], SHORT_KEY, "models.example.com"):
        assert secret not in stored
        assert secret not in caplog.text


def test_a_key_of_the_api_is_on_the_table_only_as_its_hash(
    ann: Caller, table: TableSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    key = ann.make("/api-keys")["key"]
    stored = everything_on(table)
    assert hash_of(key) in stored
    assert key not in stored
    assert key not in caplog.text
    assert ann.key not in caplog.text


def test_an_administrator_sees_no_more_than_the_user_does(ann: Caller, admin: Caller) -> None:
    ann.patch("/users/me", api_integration_details={"openai": {"api_key": API_KEY}})
    answer = admin.call("GET", f"/users/{ann.id}")
    assert API_KEY not in answer.text
    assert answer.get_json()["api_integration_details"]["openai"]["api_key_hint"] == "…6789"


def test_details_are_merged_by_name_and_removed_with_null(ann: Caller) -> None:
    ann.patch("/users/me", api_integration_details={"openai": {"api_key": API_KEY}, "b": {"api_key": API_KEY}})
    after = ann.patch("/users/me", api_integration_details={"openai": None, "c": {"api_key": "x" * 20}})
    assert sorted(after["api_integration_details"]) == ["b", "c"]


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"openai": {}}, "openai.api_key"),
        ({"openai": {"api_key": ""}}, "openai.api_key"),
        ({"openai": {"api_key": "two words"}}, "openai.api_key"),
        ({"openai": {"api_key": "line\nbreak"}}, "openai.api_key"),
        ({"openai": {"api_key": "é"}}, "openai.api_key"),
        ({"openai": {"api_key": "x" * 513}}, "openai.api_key"),
        ({"openai": {"api_key": "k", "more": 1}}, "openai.more"),
        ({"openai": "k"}, "openai"),
        ({"open ai": {"api_key": "k"}}, "open ai"),
        ({"openai": {"api_key": "k", "base_url": "ftp://a"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://a b"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://a\x00b"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "http://example.com"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://127.0.0.1/v1"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://169.254.169.254/"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://localhost"}}, "openai.base_url"),
        ({"openai": {"api_key": "k", "base_url": "https://user:pass@example.com"}}, "openai.base_url"),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_path_without_repeating_the_key(
    ann: Caller, details: dict[str, Any], field: str
) -> None:
    body = {"api_integration_details": details}
    answer = ann.call("PATCH", "/users/me", body)
    assert answer.status_code == 422
    assert [each["field"] for each in answer.get_json()["errors"]] == [f"api_integration_details.{field}"]
    assert "x" * 513 not in answer.text


def test_details_under_another_secret_are_shown_without_a_hint_and_can_be_replaced(
    ann: Caller, table: TableSettings, tmp_path: Path
) -> None:
    ann.patch("/users/me", api_integration_details={"openai": {"api_key": API_KEY}})

    elsewhere = Caller(make_app(table, tmp_path, secret_key="another secret, which is long enough too"), ann.user)

    shown = elsewhere.get("/users/me")["api_integration_details"]
    assert shown == {"openai": {"api_key_hint": None, "base_url": None}}
    agent_id = elsewhere.agent(provider="openai", model="gpt-test", credentials="own")
    path = f"/conversations/{elsewhere.conversation(agent_id)}/messages"
    answer = elsewhere.call("POST", path, {"content": "Hello"})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "credentials_missing")
    assert "store them again" in answer.get_json()["detail"]
    after = elsewhere.patch("/users/me", api_integration_details={"openai": {"api_key": API_KEY}})
    assert after["api_integration_details"]["openai"]["api_key_hint"] == "…6789"


def test_an_agent_without_any_credentials_says_so(ann: Caller) -> None:
    for credentials in ("own", "deployment"):
        agent_id = ann.agent(provider="openai", model="gpt-test", credentials=credentials)
        conversation = f"/conversations/{ann.conversation(agent_id)}"
        answer = ann.call("POST", f"{conversation}/messages", {"content": "Hello"})
        problem = answer.get_json()
        assert (answer.status_code, problem["code"]) == (409, "credentials_missing")
        assert problem["turn"]["status"] == "failed"
        assert ann.get(conversation)["message_count"] == 1, "the message stays"


def test_a_provider_that_takes_no_credentials_needs_none(ann: Caller) -> None:
    conversation_id = ann.conversation(ann.agent(provider="echo", credentials="own"))
    assert ann.make(f"/conversations/{conversation_id}/messages", content="Hello")["turn"]["status"] == "completed"


def test_a_provider_that_this_deployment_does_not_run_says_so(ann: Caller) -> None:
    conversation_id = ann.conversation(ann.agent(provider="embedded"))
    path = f"/conversations/{conversation_id}/messages"
    answer = ann.call("POST", path, {"content": "Hello"})
    assert (answer.status_code, answer.get_json()["code"]) == (503, "not_configured")


def test_settings_do_not_show_their_secrets(app: OpenAPI) -> None:
    settings = app.extensions["bot"].settings
    assert settings.secret_key.get_secret_value() not in repr(settings)
