"""A user's base URL leads to the public internet, or nowhere."""

import socket

import httpx2
import pytest

from bot.errors import ProviderRejected
from bot.llm.egress import base_url_problem, is_public
from bot.llm.public_only import PublicOnlyTransport


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"])
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:1::1",
        "::127.0.0.1",
        "::ffff:0:0",
        "fec0::1",
        "198.18.0.1",
        "192.0.0.1",
        "64:ff9b:1::7f00:1",
    ],
)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "https://8.8.8.8:8443/v1", "https://[2606:4700:4700::1111]/v1"]
)
def test_valid_base_urls(url):
    assert base_url_problem(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "ftp://a.test",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://[::1",
        "https://exa mple.com/v1",
        "https://a.test:port/v1",
        "https://\x00.test/v1",
        "http://a.test/v1",
        "https://user:pw@a.test/v1",
        "https://a.test/v1?x=1",
        "https://a.test/v1#f",
        "https://a.test:99999/v1",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://localhost/v1",
        "https://x.localhost/v1",
        "https://10.0.0.1/",
        "https://2130706433/v1",
        "https://0x7f000001/v1",
        "https://0177.0.0.1/v1",
        "https://0x7f.1/v1",
        "https://127.1/v1",
        "https://0/v1",
        "https://2852039166/latest/meta-data",
        "https://127.0.0.1./v1",
        "https://localhost./v1",
        "https://LOCALHOST/v1",
        "https://[::ffff:169.254.169.254]/v1",
        "https://[::ffff:a9fe:a9fe]/v1",
        "https://[64:ff9b::169.254.169.254]/v1",
        "https://[::127.0.0.1]/v1",
        "https://[fd00:ec2::254]/v1",
        "https://\uff11\uff12\uff17.0.0.1/v1",
        "gopher://a.test/",
        "https://a.test\\@127.0.0.1/v1",
    ],
)
def test_invalid_base_urls(url):
    assert base_url_problem(url)


def test_a_deployment_may_allow_its_own_network():
    assert base_url_problem("http://127.0.0.1:11434/v1", private_allowed=True) is None
    assert base_url_problem("file:///etc/passwd", private_allowed=True)


HOSTS = ("api.example.com", "*.models.example.org")


@pytest.mark.parametrize("host", ["api.example.com", "API.example.com", "api.example.com.", "eu.models.example.org"])
def test_a_deployment_may_name_the_only_hosts(host):
    assert base_url_problem(f"https://{host}/v1", hosts=HOSTS) is None


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "api.example.com.evil.test",
        "evil-api.example.com",
        "models.example.org",
        "evilmodels.example.org",
        "8.8.8.8",
        "api.example.com@evil.test",
    ],
)
@pytest.mark.parametrize("private_allowed", [True, False])
def test_no_other_host_will_do(host, private_allowed):
    assert base_url_problem(f"https://{host}/v1", hosts=HOSTS, private_allowed=private_allowed)


def resolver(monkeypatch, *addresses):
    def getaddrinfo(host, port, **_):
        if not addresses:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def sent(monkeypatch):
    """What reaches the network, and a network on which only 8.8.8.8 answers."""
    requests = []

    def handle_request(self, request):
        requests.append((request.url.host, request.headers["host"], request.extensions["sni_hostname"]))
        if request.url.host != "8.8.8.8":
            raise httpx2.ConnectError("refused", request=request)
        return httpx2.Response(204)

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", handle_request)
    return requests


def get(url):
    with httpx2.Client(transport=PublicOnlyTransport()) as client:
        return client.get(url)


def test_a_name_is_connected_to_by_the_address_that_was_checked(monkeypatch, sent):
    resolver(monkeypatch, "8.8.8.8")
    assert get("https://model.test:8443/v1").status_code == 204
    assert sent == [("8.8.8.8", "model.test:8443", "model.test")]


def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch, sent):
    resolver(monkeypatch, "2606:4700:4700::1111", "8.8.8.8")
    assert get("https://model.test/v1").status_code == 204
    assert [host for host, *_ in sent] == ["2606:4700:4700::1111", "8.8.8.8"]


@pytest.mark.parametrize("addresses", [("169.254.169.254",), ("8.8.8.8", "127.0.0.1"), ("::1",)])
def test_a_name_that_resolves_to_a_private_address_is_refused_before_anything_is_sent(monkeypatch, sent, addresses):
    resolver(monkeypatch, *addresses)
    with pytest.raises(ProviderRejected):
        get("https://model.test/v1")
    assert sent == []


def test_a_name_without_an_address_cannot_be_connected_to(monkeypatch, sent):
    resolver(monkeypatch)
    with pytest.raises(httpx2.ConnectError):
        get("https://model.test/v1")
    assert sent == []


def test_a_name_is_resolved_once_per_request(monkeypatch, sent):
    answers = iter(["8.8.8.8", "127.0.0.1"])
    asked = []

    def getaddrinfo(host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert get("https://model.test/v1").status_code == 204
    assert asked == ["model.test"], "what was checked is what was connected to"
    with pytest.raises(ProviderRejected):
        get("https://model.test/v1")
    assert [host for host, *_ in sent] == ["8.8.8.8"]
