"""The log never contains a secret, whatever is written to it."""

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

from bot.logs import JsonLines, Redacting, log_to_stderr
from bot.redaction import redact

OWN = "correct horse battery staple"
PLANTED = {
    "an API key": "tt_4uB1q0Zk9vXyW3sTn6RmLc8HdEaPfGiJ",
    "a provider's key": "sk-proj-AbCdEf0123456789-xyz",
    "a token": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLW9mLWFubg",
    "an AWS key": "AKIAIOSFODNN7EXAMPLE",
    "the deployment's own": OWN,
}


@pytest.fixture(params=["text", "json"])
def written(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What a process writes to standard error at the most verbose level."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    root = logging.getLogger()
    handlers, level, showwarning = root.handlers[:], root.level, warnings.showwarning
    log_to_stderr("DEBUG", request.param, (OWN, "short"))
    yield out
    logging.captureWarnings(capture=False)
    warnings.showwarning = showwarning
    root.handlers[:], root.level = handlers, level


@pytest.mark.parametrize("what", PLANTED)
def test_a_secret_is_redacted_wherever_it_appears(written: io.StringIO, what: str) -> None:
    secret = PLANTED[what]
    log = logging.getLogger("somebody.elses")

    log.debug("in a message %s", secret)
    log.info("in a mapping %r", {"headers": {"Authorization": f"Bearer {secret}"}})
    log.warning("in an extra", extra={"key": secret})
    log.error("in an address https://%s:%s@models.example.com/v1", "ann", secret)
    try:
        raise ValueError(f"in an error: {secret}")
    except ValueError:
        log.exception("with a traceback")
    thread = threading.Thread(target=lambda: int(secret))
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError(secret), None)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(f"in a warning: {secret}", stacklevel=1)

    assert secret not in written.getvalue()
    assert written.getvalue().count("[redacted]") >= 7


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Authorization: Basic YW5uOnNlY3JldA==", "Authorization: Basic [redacted]"),
        ("{'Authorization': 'opaque-words'}", "{'Authorization': '[redacted]'}"),
        ("[(b'authorization', b'Bearer abcdefgh')]", "[(b'authorization', b'Bearer [redacted]')]"),
        ("api_key=abc&x=1", "api_key=[redacted]&x=1"),
        ('{"api_key": "abc", "x": 1}', '{"api_key": "[redacted]", "x": 1}'),
        (r'"{\"password\": \"abc\"}"', r'"{\"password\": \"[redacted]\"}"'),
        ("X-Amz-Signature=0a1b2c", "X-Amz-Signature=[redacted]"),
        ("redis://:pa55@cache:6379", "redis://[redacted]@cache:6379"),
    ],
)
def test_a_value_named_like_a_secret_is_redacted(text: str, left: str) -> None:
    assert redact(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "turn turn_01k9zc3v9te8rbt8w4mhkt5m2x asked openai/gpt-6-luna for 1.2 s",
        "input_tokens=1500 output_tokens=300 key_01k9zc3v9te8rbt8w4mhkt5m2x revoked by usr_01k9zc3v9te8rbt8w4mhkt5m2x",
        "https://api.example.com/v1/models?after=a@b.example",
        "the task-force asked: is risk-taking ok? skip it.",
        "There is no such API key.",
    ],
)
def test_other_text_is_kept(text: str) -> None:
    assert redact(text) == text


@pytest.mark.timeout(60)
@pytest.mark.parametrize("piece", ["a", "eyJ-", "a://", "sk-", "bearer ", "api_key", "eyJaaaa.", "a.b@"])
def test_a_long_line_is_redacted_in_linear_time(piece: str) -> None:
    """In quadratic time, it would take minutes."""
    redact((piece * 400_000)[:400_000])


def test_a_json_line_can_be_read_back() -> None:
    record = logging.makeLogRecord(
        {"name": "a", "levelname": "INFO", "msg": 'said "%s"\n', "args": ("tt_" + "x" * 40,), "request_id": "req_1"}
    )
    line = Redacting(JsonLines()).format(record)
    found = json.loads(line)
    assert "\n" not in line
    assert found["message"] == 'said "tt_[redacted]"\n'
    assert found["request_id"] == "req_1"
    assert found["level"] == "INFO"
