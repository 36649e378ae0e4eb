"""The provider against servers that are only nearly compatible, and against hostile ones."""

import contextlib
import logging
import socket
import threading

import pytest

from bot.errors import (
    ProviderError,
    ProviderIncomplete,
    ProviderRateLimited,
    ProviderRejected,
    ProviderTimeout,
)
from bot.llm import openai_provider
from bot.llm.providers import Providers
from bot.llm.types import ChatMessage, Credentials, ModelRequest, TextDelta, Usage
from tests.integration.llm.raw_server import Exchange, raw_server

KEY = "zq81-a-key-of-no-known-shape"
QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))
WITH_TOOL = ModelRequest("m", QUESTION.messages, tools=({"name": "f"},))


def failure(stream):
    """Return the texts before the failure, and the failure."""
    seen: list[str] = []
    try:
        seen.extend(item.text for item in stream)
    except ProviderError as error:
        return seen, error
    raise AssertionError(f"the answer was taken for whole: {seen}")


def test_one_connection_serves_many_answers(provider):
    with raw_server(Exchange.whole) as server:
        asked = provider(server.base_url)
        assert [list(asked.stream(QUESTION))[-1].text for _ in range(3)] == ["Hi"] * 3
        assert server.connections == 1


def test_many_streams_run_side_by_side(provider):
    side_by_side = threading.Barrier(128, timeout=60)

    def answer(exchange):
        exchange.begin().event("a")
        side_by_side.wait()
        exchange.event("b", "stop").end()

    with raw_server(answer) as server:
        asked, answers = provider(server.base_url), []
        threads = [
            threading.Thread(target=lambda: answers.append(list(asked.stream(QUESTION))[-1].text)) for _ in range(128)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["ab"] * 128


def test_a_stream_may_end_without_the_done_mark(provider):
    with raw_server(lambda exchange: exchange.begin().event("Hi", "stop").end()) as server:
        assert list(provider(server.base_url).stream(QUESTION))[-1].text == "Hi"


def test_the_tokens_are_counted_after_the_end_of_the_answer(provider):
    def answer(exchange):
        exchange.begin().event("Hi", "stop")
        exchange.send('data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}\n\n')
        exchange.send("data: [DONE]\n\n").end()

    with raw_server(answer) as server:
        assert list(provider(server.base_url).stream(QUESTION))[-1].usage == Usage(3, 1)


@pytest.mark.parametrize("trouble", ["silence", "reset", "garbage"])
def test_a_failure_after_the_end_of_the_answer_is_ignored(provider, trouble):
    def answer(exchange):
        exchange.begin().event("Hi", "stop")
        if trouble == "silence":
            exchange.wait_for_client_to_leave()
        elif trouble == "reset":
            exchange.cut()
        else:
            exchange.send("data: {\n\n").end()

    with raw_server(answer) as server:
        *deltas, completion = provider(server.base_url, timeout=0.5).stream(QUESTION)
    assert deltas == [TextDelta("Hi")]
    assert (completion.text, completion.usage) == ("Hi", None)


def test_the_completion_does_not_wait_for_the_end_of_the_body(provider):
    gone = []

    def answer(exchange):
        exchange.begin().event("Hi", "stop").send("data: [DONE]\n\n")
        gone.append(exchange.wait_for_client_to_leave())

    with raw_server(answer) as server:
        stream = provider(server.base_url).stream(QUESTION)
        assert [next(stream).text, next(stream).text] == ["Hi", "Hi"]
        stream.close()
    assert gone == [True]


def test_closing_the_generator_is_seen_by_the_server_at_once(provider):
    gone = []

    def answer(exchange):
        exchange.begin().event("Hi")
        gone.append(exchange.wait_for_client_to_leave())

    with raw_server(answer) as server:
        stream = provider(server.base_url).stream(QUESTION)
        next(stream)
        stream.close()
    assert gone == [True]


def test_closing_the_providers_ends_what_still_runs():
    began, gone = threading.Event(), []

    def answer(exchange):
        exchange.begin().event("Hi")
        began.set()
        gone.append(exchange.wait_for_client_to_leave())

    with raw_server(answer) as server:
        with Providers(None, server.base_url) as providers:
            stream = providers.get("openai").stream(QUESTION)
            next(stream)
            assert began.wait(10)
        assert failure(stream)[0] == []
    assert gone == [True]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ('data: {"error": {"message": "Slow down", "code": "rate_limit_exceeded"}}', ProviderRateLimited),
        ('data: {"error": {"message": "Slow down", "code": 502}, "choices": []}', ProviderError),
        ('data: {"error": "Slow down"}', ProviderError),
        ('data: {"object": "error", "message": "Slow down", "code": 400}', ProviderRejected),
        ('event: error\ndata: {"message": "Slow down"}', ProviderError),
    ],
)
def test_an_error_inside_the_stream(provider, event, kind):
    with raw_server(lambda exchange: exchange.begin().event("Hi").send(event + "\n\n").end()) as server:
        seen, error = failure(provider(server.base_url).stream(QUESTION))
    assert (seen, type(error)) == (["Hi"], kind)
    assert "Slow down" in error.detail


@pytest.mark.parametrize(
    "body",
    [
        "data: [1, 2]\n\n",
        "data: null\n\n",
        "data: " + "[" * 100_000 + "\n\n",
        'data: "text"\n\n',
        "data: hm\n\n",
    ],
)
def test_an_event_that_is_no_object(provider, body):
    with raw_server(lambda exchange: exchange.begin().event("Hi").send(body).end()) as server:
        assert type(failure(provider(server.base_url).stream(QUESTION))[1]) is ProviderIncomplete


def test_a_stream_of_nothing(provider):
    with raw_server(lambda exchange: exchange.begin().end()) as server:
        assert type(failure(provider(server.base_url).stream(QUESTION))[1]) is ProviderIncomplete


@pytest.mark.parametrize("body", ["<html>Welcome</html>", '{"choices": [{"message": {"content": "Hi"}}]}', ""])
def test_an_answer_that_is_no_stream(provider, body):
    with raw_server(lambda exchange: exchange.answer(200, body, content_type="text/html")) as server:
        _, error = failure(provider(server.base_url).stream(QUESTION))
    assert type(error) is ProviderError
    assert "base URL" in error.detail


def test_a_connection_that_is_reset_within_the_answer(provider):
    def answer(exchange):
        exchange.begin().event("Hi")
        exchange.cut()

    with raw_server(answer) as server:
        stream = provider(server.base_url, max_retries=2).stream(QUESTION)
        seen, error = failure(stream)
        assert (seen, type(error)) == (["Hi"], ProviderIncomplete)
        assert len(server.requests) == 1


def test_a_connection_reset_before_the_answer_is_retried(provider):
    with raw_server(Exchange.cut, Exchange.whole) as server:
        assert list(provider(server.base_url, max_retries=1).stream(QUESTION))[-1].text == "Hi"
        assert len(server.requests) == 2


def test_a_connection_that_is_always_reset(provider):
    with raw_server(Exchange.cut) as server:
        assert type(failure(provider(server.base_url).stream(QUESTION))[1]) is ProviderError


def test_an_unreachable_server(provider):
    with raw_server(Exchange.whole) as server:
        base_url = server.base_url
    _, error = failure(provider(base_url).stream(QUESTION))
    assert type(error) is ProviderError
    assert "cannot be reached" in error.detail


def test_what_is_not_http(provider):
    def answer(exchange):
        exchange.wfile.write(b"+OK POP3 server ready\r\n\r\n")
        exchange.close_connection = True

    with raw_server(answer) as server:
        assert type(failure(provider(server.base_url).stream(QUESTION))[1]) is ProviderError


def test_a_server_that_only_pings_is_silent(provider, monkeypatch):
    monkeypatch.setattr(openai_provider, "_PINGS_FOR", 2)
    left = threading.Event()

    def answer(exchange):
        exchange.begin().event("Hi")
        try:
            while not left.wait(0.05):
                exchange.send(": ping\n\n")
        except OSError:
            exchange.close_connection = True

    with raw_server(answer) as server:
        seen, error = failure(provider(server.base_url, timeout=0.3).stream(QUESTION))
        left.set()
    assert (seen, type(error)) == (["Hi"], ProviderTimeout)


def test_pings_keep_a_thinking_model_alive(provider):
    def answer(exchange):
        exchange.begin()
        for _ in range(8):
            threading.Event().wait(0.1)
            exchange.send(": ping\n\n")
        exchange.event("Hi", "stop").end()

    with raw_server(answer) as server:
        assert list(provider(server.base_url, timeout=0.5).stream(QUESTION))[-1].text == "Hi"


def test_calls_without_index_and_id(provider):
    calls = [{"function": {"name": "f", "arguments": '{"x":1}'}}, {"function": {"name": "f", "arguments": '{"x":2}'}}]

    def answer(exchange):
        exchange.begin().event(delta={"tool_calls": calls}).event(finish="stop").end()

    with raw_server(answer) as server:
        (first,) = provider(server.base_url).stream(WITH_TOOL)
        (again,) = provider(server.base_url).stream(WITH_TOOL)
    assert [call.arguments for call in first.tool_calls] == ['{"x":1}', '{"x":2}']
    assert first.finish_reason == "tool_calls"
    assert first == again


def test_an_error_page_without_an_end(provider):
    def answer(exchange):
        exchange.send_response(400)
        exchange.send_header("content-type", "text/plain")
        exchange.end_headers()
        exchange.close_connection = True
        with contextlib.suppress(OSError):
            while True:
                exchange.wfile.write(b"x" * 10_000)

    with raw_server(answer) as server:
        assert type(failure(provider(server.base_url).stream(QUESTION))[1]) is ProviderError


def test_a_slow_reader_is_not_a_silent_server(provider, monkeypatch):
    monkeypatch.setattr(openai_provider, "_PINGS_FOR", 1)
    with raw_server(lambda exchange: exchange.begin().event("a").event("b").event("c", "stop").end()) as server:
        stream = provider(server.base_url, timeout=0.2).stream(QUESTION)
        next(stream)
        threading.Event().wait(0.5)
        assert [item.text for item in stream] == ["b", "c", "abc"]


@pytest.mark.parametrize("answer", [Exchange.whole, lambda exchange: exchange.answer(401, {"error": {"message": KEY}})])
def test_no_log_holds_the_key(caplog, answer):
    caplog.set_level(logging.DEBUG)
    with raw_server(answer) as server, Providers(KEY, server.base_url, max_retries=0) as providers:
        asked = providers.get("openai")
        try:
            list(asked.stream(QUESTION))
        except ProviderError:
            logging.getLogger("test").exception("failed")
    assert "POST" in caplog.text
    assert KEY not in caplog.text + repr(asked)


def test_a_redirect_is_not_followed(provider):
    with (
        raw_server(Exchange.whole) as elsewhere,
        raw_server(lambda exchange: exchange.answer(307, "", location=elsewhere.base_url)) as server,
    ):
        _, error = failure(provider(server.base_url).stream(QUESTION))
        assert elsewhere.requests == []
    assert "redirect" in error.detail


def test_retry_after_as_a_date(provider):
    headers = {"retry_after": "Thu, 05 Nov 2015 12:00:00 GMT"}
    with raw_server(lambda exchange: exchange.answer(429, {"error": {"message": "later"}}, **headers)) as server:
        _, error = failure(provider(server.base_url).stream(QUESTION))
    assert (type(error), error.retry_after) == (ProviderRateLimited, 0.0)


def test_a_gateways_dialect_is_learned_from_its_refusals(provider):
    refused_limit = "Unsupported parameter: 'max_tokens' is not supported with this model."
    refused_reasoning = "Function tools with reasoning_effort are not supported. Set reasoning_effort to 'none'."

    def answer(exchange):
        if "max_tokens" in exchange.body:
            exchange.answer(400, {"error": {"message": refused_limit}})
        elif exchange.body.get("reasoning_effort") != "none":
            exchange.answer(400, {"error": {"message": refused_reasoning}})
        else:
            exchange.whole()

    request = ModelRequest("m", QUESTION.messages, tools=({"name": "f"},), max_tokens=5)
    with raw_server(answer) as server:
        asked = provider(server.base_url, max_retries=2)
        assert list(asked.stream(request))[-1].text == "Hi"
        assert len(server.requests) == 3
        list(asked.stream(request))
        assert len(server.requests) == 4
        assert server.requests[-1].body["max_completion_tokens"] == 5


def test_a_server_that_refuses_both_forms_is_not_retried_forever(provider):
    def answer(exchange):
        field = "max_tokens" if "max_tokens" in exchange.body else "max_completion_tokens"
        exchange.answer(400, {"error": {"message": f"Unknown parameter: {field}"}})

    with raw_server(answer) as server:
        _, error = failure(provider(server.base_url).stream(ModelRequest("m", QUESTION.messages, max_tokens=5)))
        assert len(server.requests) == 2
    assert type(error) is ProviderRejected


def test_a_cookie_from_one_answer_is_not_sent_with_the_next_request(provider):
    def answer(exchange):
        exchange.begin(set_cookie="session=1; Path=/").event("Hi", "stop").end()

    with raw_server(answer) as server:
        asked = provider(server.base_url)
        list(asked.stream(QUESTION))
        list(asked.stream(QUESTION))
        assert "cookie" not in server.requests[1].headers


def test_only_the_users_own_key_is_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-the-deployment")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-of-the-deployment")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Secret: of-the-deployment\nAuthorization: Bearer of-the-deployment")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with (
        raw_server(Exchange.whole) as server,
        Providers("sk-of-the-deployment", server.base_url, allow_private_base_urls=True) as providers,
    ):
        list(providers.get("openai", Credentials("sk-of-the-user")).stream(QUESTION))
        list(providers.get("openai", Credentials("sk-of-the-user", server.base_url)).stream(QUESTION))
        list(providers.get("openai", Credentials("", server.base_url)).stream(QUESTION))
        list(providers.get("openai").stream(QUESTION))
        *users, deployments = [request.headers for request in server.requests]
    assert "of-the-deployment" not in str(users)
    assert [headers["authorization"] for headers in users] == ["Bearer sk-of-the-user"] * 2 + ["Bearer no-key-needed"]
    assert deployments["authorization"] == "Bearer sk-of-the-deployment"
    assert deployments["openai-organization"] == "org-of-the-deployment"
    assert deployments["x-secret"] == "of-the-deployment"


def test_a_users_host_with_a_private_address_is_not_connected_to(monkeypatch):
    with raw_server(Exchange.whole) as server, Providers() as providers:
        port = server.server_address[1]
        address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
        asked = providers.get("openai", Credentials("sk-of-the-user", f"https://rebinding.test:{port}/v1"))
        assert type(failure(asked.stream(QUESTION))[1]) is ProviderRejected
        assert server.connections == 0


def test_the_embedded_model_is_reached_past_a_proxy_and_without_functions(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with (
        raw_server(Exchange.whole) as server,
        Providers(embedded_base_url=server.base_url, embedded_model="tiny") as providers,
    ):
        embedded = providers.get("embedded")
        assert list(embedded.stream(WITH_TOOL))[-1].text == "Hi"
        assert "tools" not in server.requests[0].body
    assert not embedded.supports_tools
