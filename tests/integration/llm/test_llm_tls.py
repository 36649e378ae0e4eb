"""A user's own server is reached by address, and its certificate is checked against its name all the same."""

import datetime
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.errors import ProviderError
from bot.llm import public_only
from bot.llm.clients import guarded_client
from bot.llm.openai_provider import OpenAIProvider
from bot.llm.types import ChatMessage, ModelRequest
from tests.integration.llm.raw_server import Exchange, raw_server

QUESTION = ModelRequest("m", (ChatMessage("user", "Hello"),))


@pytest.fixture
def certificate(tmp_path):
    """A certificate for model.test, signed by itself: the path of the file with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("model.test")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "model.test.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def ask(certificate, monkeypatch):
    """Ask a server on this machine under a name, with the guard's idea of what is public set aside."""

    def ask(name):
        monkeypatch.setattr(public_only, "is_public", lambda _: True)
        with raw_server(Exchange.whole) as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", server.server_address)
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address])
            with guarded_client(ssl.create_default_context(cafile=certificate), 10) as client:
                provider = OpenAIProvider(
                    name="openai",
                    api_key="sk-of-the-user",
                    base_url=f"https://{name}:{server.server_address[1]}/v1",
                    http_client=client,
                    max_retries=0,
                    retry_seconds=0,
                )
                return list(provider.stream(QUESTION)), server.requests

    return ask


def test_the_right_name_is_answered(ask):
    (*_, completion), requests = ask("model.test")
    assert completion.text == "Hi"
    assert requests[0].headers["host"].startswith("model.test:")


def test_another_name_is_not_sent_a_key(ask):
    with pytest.raises(ProviderError, match="cannot be reached"):
        ask("other.test")
