"""A provider's failure is told in its own words, without secrets, and with the wait that it asks for."""

from datetime import UTC, datetime

import httpx2
import openai
import pytest

from bot.errors import (
    ProviderAuthFailed,
    ProviderError,
    ProviderIncomplete,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
)
from bot.llm.failures import LONGEST_RETRY_AFTER, from_event, from_status, from_transport, redact, retry_after_seconds

KEY = "zq81-not-shaped-like-any-known-key"


def status_error(status, body=None, headers=None):
    response = httpx2.Response(status, headers=headers, request=httpx2.Request("POST", "http://x.test/"))
    return openai.APIStatusError("from the SDK", response=response, body=body)


def translated(status, body=None, headers=None):
    return from_status(status_error(status, body, headers), provider="openai", secret=KEY)


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "sk-abcdefghijklmnop",
        "sk-proj-AbC_12-3*********************xyZ9",
        "sk-ant-api03-abcdefgh",
        "gsk_1234567890abcdef",
        "AIzaSyA1234567890abcdefghij",
        "ABSKQmVkcm9ja0FQSUtleS1hYmM=",
        "Bearer abcdef0123456",
    ],
)
def test_no_key_survives(secret):
    text = redact(f"Incorrect API key provided: {secret}, see the docs", KEY)
    assert secret not in text
    assert secret[8:] not in text
    assert "[redacted]" in text
    assert text.endswith("see the docs")


def test_a_password_in_a_url_is_removed():
    assert redact("cannot reach https://user:secret@host/v1") == "cannot reach https://[redacted]@host/v1"


def test_ordinary_words_survive():
    text = "The task-force asked: is risk-taking ok? skip it."
    assert redact(text, "") == text


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 05 Nov 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 05 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 05 Nov 2026 12:00:30 -0000"}, 30.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "1e400"}, LONGEST_RETRY_AFTER),
        ({"retry-after": "86400"}, LONGEST_RETRY_AFTER),
        ({"retry-after": "Fri, 05 Nov 2027 12:00:00 GMT"}, LONGEST_RETRY_AFTER),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "next week"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "Thu, 99 Nov 2026 12:00:30 GMT"}, None),
        ({"retry-after": f"Thu, 05 Nov {'9' * 20} 12:00:30 GMT"}, None),
        ({"retry-after": f"Thu, 05 Nov 2026 12:00:30 +{'9' * 20}"}, None),
    ],
)
def test_retry_after(headers, seconds):
    now = datetime(2026, 11, 5, 12, 0, 0, tzinfo=UTC)
    assert retry_after_seconds(httpx2.Headers(headers), now) == seconds


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (307, ProviderError),
        (400, ProviderRejected),
        (401, ProviderAuthFailed),
        (402, ProviderRejected),
        (403, ProviderAuthFailed),
        (404, ProviderRejected),
        (408, ProviderTimeout),
        (409, ProviderError),
        (413, ProviderRejected),
        (422, ProviderRejected),
        (429, ProviderRateLimited),
        (500, ProviderError),
        (503, ProviderError),
        (504, ProviderTimeout),
        (529, ProviderError),
    ],
)
def test_each_status_has_its_error(status, kind):
    assert type(translated(status)) is kind


def test_the_providers_reason_and_code_are_kept():
    error = translated(400, {"message": "The model `x` does not exist", "code": "model_not_found", "type": "invalid"})
    assert "The model `x` does not exist" in error.detail
    assert error.extra == {"provider": "openai", "provider_status": 400, "provider_code": "model_not_found"}


def test_the_code_is_a_word_where_there_is_one():
    body = {"message": "too long", "code": 400, "type": "exceed_context_size_error"}
    assert translated(400, body).extra["provider_code"] == "exceed_context_size_error"
    assert "provider_code" not in translated(400, {"code": 400}).extra


def test_the_retry_after_is_kept():
    assert translated(429, headers={"retry-after": "7"}).retry_after == 7.0
    assert translated(503, headers={"retry-after-ms": "250"}).retry_after == 0.25


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"detail": "Not Found"}, "Not Found"),
        ({"object": "error", "message": "too long"}, "too long"),
        ({"message": {"nested": 1}, "error": "out of memory"}, "out of memory"),
        ("plain\n  words", "plain words"),
        ("  <html><h1>502 Bad Gateway</h1>", ""),
        (None, ""),
        ([], ""),
        ({"message": "x" * 5000}, "x" * 599 + "…"),
    ],
)
def test_the_reason_is_found_wherever_a_server_puts_it(body, reason):
    assert translated(500, body).detail == f"openai answered 500: {reason}".removesuffix(": ") + ("" if reason else ".")


def test_a_key_in_the_reason_or_the_code_is_removed():
    error = translated(401, {"message": f"Incorrect API key provided: {KEY}.", "code": f"bad_{KEY}"})
    assert KEY not in error.detail + repr(error.extra) + str(error)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"message": "Rate limit reached", "code": "rate_limit_exceeded"}, ProviderRateLimited),
        ({"message": "no", "type": "insufficient_quota"}, ProviderRateLimited),
        ({"message": "no", "code": 429}, ProviderRateLimited),
        ({"message": "no", "code": "401"}, ProviderAuthFailed),
        ({"message": "no", "code": "invalid_api_key"}, ProviderAuthFailed),
        ({"message": "too long", "code": "context_length_exceeded"}, ProviderRejected),
        ({"message": "no", "type": "BadRequestError", "code": 400}, ProviderRejected),
        ({"message": "no", "type": "exceed_context_size_error"}, ProviderRejected),
        ({"message": "no", "code": 504}, ProviderTimeout),
        ({"message": "no", "code": "server_error"}, ProviderError),
        ({"message": "no", "code": 502}, ProviderError),
        ({"message": "no"}, ProviderError),
        ("out of memory", ProviderError),
        (["?"], ProviderError),
    ],
)
def test_an_error_inside_the_stream_has_its_error(body, kind):
    error = from_event(body, provider="openai", secret=KEY)
    assert type(error) is kind
    assert error.detail.startswith("openai reported an error: ")


@pytest.mark.parametrize(
    ("error", "began", "kind"),
    [
        (httpx2.ReadTimeout("t"), True, ProviderTimeout),
        (httpx2.ReadTimeout("t"), False, ProviderTimeout),
        (httpx2.ConnectTimeout("t"), False, ProviderTimeout),
        (httpx2.ConnectError("refused"), False, ProviderError),
        (httpx2.RemoteProtocolError("cut"), False, ProviderError),
        (httpx2.RemoteProtocolError("cut"), True, ProviderIncomplete),
        (httpx2.ReadError("reset"), True, ProviderIncomplete),
        (None, False, ProviderError),
    ],
)
def test_a_broken_connection_has_its_error(error, began, kind):
    assert type(from_transport(error, provider="openai", timeout=30, began=began)) is kind
