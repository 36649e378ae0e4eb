"""How long a provider that fails, limits or hangs can hold its caller before the first byte."""

import threading
import time

import pytest

from bot.errors import ProviderError, ProviderRateLimited, ProviderTimeout
from bot.llm.interruption import Interrupted, interruptible
from bot.llm.types import ChatMessage, ModelRequest
from tests.integration.llm.raw_server import Exchange, raw_server

QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))
LIMITED = ModelRequest("m", QUESTION.messages, max_tokens=5)


def failing(status, **headers):
    return lambda exchange: exchange.answer(status, {"error": {"message": "later"}}, **headers)


def refusing(exchange):
    """Refuse a parameter by name, which is then sent under another."""
    exchange.answer(400, {"error": {"message": "Unsupported parameter: 'max_tokens'"}})


def failure(stream):
    with pytest.raises(ProviderError) as caught:
        list(stream)
    return caught.value


def test_a_long_retry_after_is_returned_to_the_caller_at_once(provider):
    started = time.monotonic()
    with raw_server(failing(429, retry_after="7")) as server:
        error = failure(provider(server.base_url, max_retries=2, retry_seconds=1).stream(QUESTION))
        assert len(server.requests) == 1
    assert (type(error), error.retry_after) == (ProviderRateLimited, 7.0)
    assert time.monotonic() - started < 5


def test_a_retry_after_within_the_limit_is_waited_for(provider):
    with raw_server(failing(429, retry_after_ms="50"), failing(503, retry_after="0.05"), Exchange.whole) as server:
        assert list(provider(server.base_url, max_retries=2).stream(QUESTION))[-1].text == "Hi"
        assert len(server.requests) == 3


def test_the_limit_covers_all_waits_together(provider):
    with raw_server(failing(429, retry_after="1")) as server:
        error = failure(provider(server.base_url, max_retries=10, retry_seconds=1.9).stream(QUESTION))
        assert len(server.requests) == 2
    assert error.retry_after == 1.0


@pytest.mark.parametrize("answer", [failing(500), failing(429, retry_after_ms="1"), Exchange.cut])
def test_a_limit_of_zero_allows_no_retry(provider, answer):
    with raw_server(answer) as server:
        failure(provider(server.base_url, max_retries=5, retry_seconds=0).stream(QUESTION))
        assert len(server.requests) == 1


def test_a_hanging_server_is_retried_only_within_the_limit(provider):
    with raw_server(Exchange.wait_for_client_to_leave) as server:
        asked = provider(server.base_url, timeout=0.5, max_retries=5, retry_seconds=0.6)
        assert type(failure(asked.stream(QUESTION))) is ProviderTimeout
        assert len(server.requests) == 1
        asked = provider(server.base_url, timeout=0.3, max_retries=1, retry_seconds=60)
        assert type(failure(asked.stream(QUESTION))) is ProviderTimeout
        assert len(server.requests) == 3


def test_x_should_retry_overrides_the_status(provider):
    with raw_server(failing(503, x_should_retry="false")) as server:
        failure(provider(server.base_url, max_retries=2).stream(QUESTION))
        assert len(server.requests) == 1
    with raw_server(failing(404, x_should_retry="true", retry_after_ms="1"), Exchange.whole) as server:
        assert list(provider(server.base_url, max_retries=2).stream(QUESTION))[-1].text == "Hi"


def test_another_form_of_the_request_has_no_retries_of_its_own(provider):
    limited = failing(429, retry_after_ms="10")
    with raw_server(limited, refusing, limited) as server:
        error = failure(provider(server.base_url, max_retries=1).stream(LIMITED))
        assert type(error) is ProviderRateLimited
        assert len(server.requests) == 3


def test_another_form_is_sent_even_after_the_deadline(provider):
    with raw_server(refusing, Exchange.whole) as server:
        assert list(provider(server.base_url, max_retries=1, retry_seconds=0).stream(LIMITED))[-1].text == "Hi"


def test_a_cancelled_turn_does_not_wait_for_its_retry(provider):
    cancelled = threading.Event()

    def answer(exchange):
        failing(429, retry_after="30")(exchange)
        threading.Timer(0.3, cancelled.set).start()

    with raw_server(answer) as server:
        stream = provider(server.base_url, max_retries=2, retry_seconds=60).stream(QUESTION)
        started = time.monotonic()
        with pytest.raises(Interrupted):
            list(interruptible(stream, cancelled.is_set))
        assert time.monotonic() - started < 10
        assert len(server.requests) == 1
