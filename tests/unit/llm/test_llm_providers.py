"""The registry gives what the deployment has, and says clearly what it lacks."""

import json

import httpx2
import pytest

from bot.errors import NotConfigured, ProviderAuthFailed, ProviderRejected
from bot.llm.dialects import Dialects
from bot.llm.openai_provider import OpenAIProvider
from bot.llm.providers import DEFAULT_OPENAI_MODEL, Providers, UnknownProvider
from bot.llm.types import ChatMessage, Credentials, ModelRequest
from bot.llm.wire import request_params

KEY = "sk-test-0123456789"


@pytest.fixture
def providers():
    opened = []

    def make(**arguments):
        opened.append(Providers(**arguments))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def test_credentials_keep_their_key_to_themselves():
    credentials = Credentials(KEY, "https://x.test/v1")
    assert KEY not in repr(credentials) + str(credentials) + f"{credentials}"
    assert "https://x.test/v1" in repr(credentials)


def test_without_configuration_only_the_echo_is_available(providers):
    registry = providers()
    assert registry.names() == ("echo",)
    assert registry.default() == ("echo", "echo")
    assert registry.get("echo").name == "echo"


def test_with_a_key_there_is_openai(providers):
    registry = providers(openai_api_key=KEY)
    assert registry.names() == ("openai", "echo")
    assert registry.default() == ("openai", DEFAULT_OPENAI_MODEL)
    assert registry.get("openai").supports_tools


def test_with_a_base_url_alone_there_is_openai(providers):
    registry = providers(openai_base_url="http://127.0.0.1:11434/v1", default_model="llama3")
    assert registry.default() == ("openai", "llama3")


def test_the_embedded_model_comes_first(providers):
    registry = providers(openai_api_key=KEY, embedded_base_url="http://127.0.0.1:8081/v1", embedded_model="smollm2")
    assert registry.names() == ("embedded", "openai", "echo")
    assert registry.default() == ("embedded", "smollm2")
    assert not registry.get("embedded").supports_tools


def test_what_is_not_configured_says_what_to_do(providers):
    with pytest.raises(NotConfigured, match="OPENAI_API_KEY"):
        providers().get("openai")
    with pytest.raises(NotConfigured, match="embedded"):
        providers().get("embedded")


def test_an_unknown_provider_is_a_key_error(providers):
    with pytest.raises(UnknownProvider) as caught:
        providers().get("gemini")
    assert isinstance(caught.value, KeyError)
    assert (caught.value.name, "openai" in caught.value.known) == ("gemini", True)
    assert str(caught.value).startswith("There is no provider 'gemini'")


def test_a_user_may_bring_a_key_where_the_deployment_has_none(providers):
    assert providers().get("openai", Credentials(KEY)).name == "openai"


def test_an_empty_key_is_accepted_only_for_a_users_own_server(providers):
    registry = providers(openai_api_key=KEY)
    with pytest.raises(ProviderAuthFailed, match="empty"):
        registry.get("openai", Credentials(""))
    assert registry.get("openai", Credentials("", "https://model.example.com/v1"))


@pytest.mark.parametrize("key", ["sk-line\nbreak", "sk-ünicode", "sk with spaces", "sk-\x00"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_quoted(providers, key):
    registry = providers()
    with pytest.raises(ProviderAuthFailed) as caught:
        registry.get("openai", Credentials(key))
    assert key not in str(caught.value)
    with pytest.raises(ValueError, match="characters") as refused:
        Providers(openai_api_key=key)
    assert key not in str(refused.value)


def test_white_space_around_a_key_is_removed(providers):
    assert providers().get("openai", Credentials(f" {KEY}\n"))


def test_a_users_base_url_is_checked(providers):
    private = Credentials(KEY, "http://127.0.0.1:11434/v1")
    with pytest.raises(ProviderRejected, match="https"):
        providers().get("openai", private)
    assert providers(allow_private_base_urls=True).get("openai", private)


@pytest.mark.parametrize("argument", ["openai_base_url", "embedded_base_url"])
def test_a_deployments_base_url_must_be_one(argument):
    with pytest.raises(ValueError, match="base URL"):
        Providers(**{argument: "localhost:11434"})


def test_the_echo_and_the_embedded_model_never_see_a_key(providers):
    registry = providers(embedded_base_url="http://127.0.0.1:8081/v1")
    assert registry.get("embedded", Credentials(KEY)) is registry.get("embedded")
    assert registry.get("echo", Credentials(KEY)) is registry.get("echo")


def test_the_body_goes_out_as_it_was_made():
    """The SDK is given the messages as `extra_body`, past its own walk through them; what is sent is all of them."""
    request = ModelRequest(
        "gpt-test",
        (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello")),
        tools=({"name": "weather", "parameters": {"type": "object", "properties": {}}},),
        temperature=0.5,
    )
    sent = []

    def answer(message):
        sent.append(json.loads(message.content))
        chunk = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]}
        body = f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n"
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, text=body)

    with httpx2.Client(transport=httpx2.MockTransport(answer), timeout=5) as client:
        provider = OpenAIProvider(
            name="openai",
            api_key="k",
            base_url="https://api.example.com/v1",
            http_client=client,
            max_retries=0,
            retry_seconds=0,
        )
        list(provider.stream(request))
    expected = request_params(request, Dialects().get("https://api.example.com/v1", "gpt-test"))
    assert sent == [{**expected, "stream": True, "stream_options": {"include_usage": True}}]
