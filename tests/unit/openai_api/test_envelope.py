"""Every kind of error in OpenAI's form."""

from http import HTTPStatus
from typing import get_args

import pytest
from flask import Flask

from bot import errors
from bot.errors import BotError, FieldError, kinds
from bot.http.problems import from_table
from bot.openai_api.envelope import RENDERINGS, ErrorEnvelope, ErrorType, envelope, respond
from models.access_patterns.turn_errors import LeaseHeld


def test_every_kind_of_error_has_a_form_of_its_own() -> None:
    assert set(RENDERINGS) == set(kinds())


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.code)
def test_every_kind_has_one_of_openais_types_and_an_error_status(kind: type[BotError]) -> None:
    shown = RENDERINGS[kind]
    assert shown.type in get_args(ErrorType)
    assert HTTPStatus(shown.status) >= HTTPStatus.BAD_REQUEST
    assert (shown.status >= 500) == (shown.type == "server_error")


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.code)
def test_every_body_has_exactly_openais_four_members(kind: type[BotError]) -> None:
    body = envelope(kind("Something happened."))
    assert ErrorEnvelope.model_validate(body, strict=True)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"] == "Something happened."


def test_a_kind_that_is_not_listed_is_shown_as_the_one_it_derives_from() -> None:
    class New(errors.NotFound):
        pass

    # Collected at once, so that `kinds` of other tests does not find it.
    try:
        assert envelope(New())["error"]["type"] == "not_found_error"
    finally:
        del New
        __import__("gc").collect()


@pytest.mark.parametrize(
    ("field", "code", "message"),
    [
        (FieldError("messages.0.content", "Field required", "missing"), "missing_required_parameter", "Missing"),
        (FieldError("messages.0.surprise", "Extra inputs", "unknown"), "unknown_parameter", "Unknown parameter"),
        (FieldError("messages.0.n", "Input should be an integer", "type"), "invalid_type", "Invalid type"),
        (FieldError("messages.0.n", "it is not", "unsupported"), "unsupported_parameter", "Unsupported parameter"),
        (FieldError("messages.0.n", "it is not", "unsupported_value"), "unsupported_value", "Unsupported value"),
        (FieldError("messages.0.n", "must be more"), "invalid_value", "Invalid value"),
    ],
)
def test_an_invalid_parameter_is_named_as_openai_names_it(field: FieldError, code: str, message: str) -> None:
    error = envelope(errors.ValidationFailed("all of it", fields=(field,)))["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["param"] == field.field.replace(".0.", "[0].")
    assert error["message"].startswith(message)
    assert f"'{error['param']}'" in error["message"]


def test_an_unknown_parameter_is_reported_before_one_with_a_wrong_value() -> None:
    fields = (FieldError("temperature", "too much"), FieldError("surprise", "Extra inputs", "unknown"))
    assert envelope(errors.ValidationFailed(fields=fields))["error"]["param"] == "surprise"


def test_what_the_provider_refused_has_the_providers_own_code_and_parameter() -> None:
    extra: dict[str, object] = {"provider_code": "context_length_exceeded", "provider_param": "messages"}
    error = envelope(errors.ProviderRejected("openai answered 400: too long", extra=extra))["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")


def headers_of(error: BotError) -> dict[str, str]:
    with Flask("test").test_request_context("/v1/models"):
        return {name.lower(): value for name, value in respond(error).headers.items()}


def test_a_locked_conversation_is_retried_by_the_official_clients() -> None:
    error = errors.ConversationBusy(retry_after=1.5)
    assert RENDERINGS[errors.ConversationBusy].status == 400
    assert envelope(error)["error"]["param"] == "conversation"
    assert envelope(error)["error"]["code"] == "conversation_locked"
    headers = headers_of(error)
    assert (headers["x-should-retry"], headers["retry-after-ms"], headers["retry-after"]) == ("true", "1500", "2")


def test_a_lease_of_another_turn_is_a_locked_conversation() -> None:
    error = from_table(LeaseHeld("turn_1", 25.0))
    assert envelope(error)["error"]["code"] == "conversation_locked"
    assert int(headers_of(error)["retry-after-ms"]) <= 120_000


def test_a_used_up_quota_is_not_retried() -> None:
    headers = headers_of(errors.QuotaExceeded(retry_after=7200))
    assert headers["x-should-retry"] == "false"
    assert headers["retry-after"] == "7200"
    assert "retry-after-ms" not in headers


def test_only_what_a_retry_can_help_has_a_status_that_clients_retry() -> None:
    retried = {kind.code for kind, shown in RENDERINGS.items() if shown.status == 409}
    assert retried == {"idempotency_in_progress"}
