"""HTTP clients for the providers: timeouts, connection limits, and the headers that are sent.

Importing this module and reading the certificates take a while; `bot.llm.providers` does both when a model provider is
first needed.
"""

import ssl
import time
from collections.abc import Iterator
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from .public_only import PublicOnlyTransport
from .sliced import make_interruptible

_CONNECT_TIMEOUT = 10.0
_LONGEST_ERROR_PAGE = 256 * 1024
_LONGEST_WAIT_FOR_ERROR_PAGE = 10.0
_POOL_LIMITS = httpx2.Limits(
    # A stream holds its connection from the first byte to the last. The number of threads limits the streams; the pool
    # is large enough that none of them waits for a connection.
    max_connections=1000,
    max_keepalive_connections=128,
    # Longer than the usual pause between two turns, shorter than the idle timeout of load balancers (60 s on AWS).
    keepalive_expiry=45.0,
)
_NO_KEEPALIVE = httpx2.Limits(max_connections=1000, max_keepalive_connections=0)

# The only headers that are sent with a user's own key. The SDK adds OPENAI_ORG_ID, OPENAI_PROJECT_ID and
# OPENAI_CUSTOM_HEADERS from the environment to every request; those are the deployment's, and may be secrets.
_NEUTRAL_HEADERS = frozenset(
    {
        *("host", "connection", "transfer-encoding", "user-agent", "authorization", "idempotency-key"),
        *("accept", "accept-encoding", "content-type", "content-length"),
    }
)


class Clients:
    """The clients of a process, one for each kind of connection; they share the certificates."""

    def __init__(self, silence: float) -> None:
        """Create the clients, which let a provider be silent for `silence` seconds; sends no request."""
        # Reading the certificates takes 40 ms.
        tls: ssl.SSLContext = httpx2.create_ssl_context()
        self.deployment = deployment_client(tls, silence)
        self.neutral = neutral_client(tls, silence)
        self.guarded = guarded_client(tls, silence)
        self.loopback = loopback_client(tls, silence)

    def close(self) -> None:
        """Close every connection."""
        for client in (self.deployment, self.neutral, self.guarded, self.loopback):
            client.close()


def timeouts(silence: float) -> httpx2.Timeout:
    """Return timeouts under which a provider may be silent for `silence` seconds between two pieces of an answer."""
    return httpx2.Timeout(silence, connect=min(silence, _CONNECT_TIMEOUT), pool=min(silence, _CONNECT_TIMEOUT))


def deployment_client(tls: ssl.SSLContext, silence: float) -> httpx2.Client:
    """Return the client for the deployment's own key: the environment's proxies and OPENAI_* headers apply."""
    return _client(silence, verify=tls, limits=_POOL_LIMITS)


def neutral_client(tls: ssl.SSLContext, silence: float) -> httpx2.Client:
    """Return the client for a user's key at an address that the deployment trusts."""
    return _neutral(_client(silence, verify=tls, limits=_POOL_LIMITS))


def guarded_client(tls: ssl.SSLContext, silence: float) -> httpx2.Client:
    """Return the client for a user's key at an address that the user gave: direct, and to public addresses only."""
    transport = PublicOnlyTransport(verify=tls, limits=_NO_KEEPALIVE)
    return _neutral(_client(silence, verify=tls, limits=_NO_KEEPALIVE, transport=transport, trust_env=False))


def loopback_client(tls: ssl.SSLContext, silence: float) -> httpx2.Client:
    """Return the client for the embedded model: without a proxy, which could not reach this machine's loopback."""
    return _neutral(_client(silence, verify=tls, limits=_POOL_LIMITS, trust_env=False))


def _client(
    silence: float,
    *,
    verify: ssl.SSLContext,
    limits: httpx2.Limits,
    transport: httpx2.BaseTransport | None = None,
    trust_env: bool = True,
) -> httpx2.Client:
    client = httpx2.Client(
        verify=verify,
        limits=limits,
        transport=transport,
        trust_env=trust_env,
        timeout=timeouts(silence),
        # A redirect would send the key to wherever it points.
        follow_redirects=False,
        # One client serves many users; a cookie set for one of them would be sent with another's request.
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
    )
    client.event_hooks = {"response": [_bound_error_page]}
    return make_interruptible(client)


def _neutral(client: httpx2.Client) -> httpx2.Client:
    client.event_hooks = {**client.event_hooks, "request": [_keep_neutral_headers]}
    return client


def _keep_neutral_headers(request: httpx2.Request) -> None:
    for name in list(request.headers):
        if name not in _NEUTRAL_HEADERS and not name.startswith("x-stainless-"):
            del request.headers[name]


class _BoundedStream(httpx2.SyncByteStream):
    """A body that raises an error if it is too long, or takes too long."""

    def __init__(self, stream: httpx2.SyncByteStream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        left, deadline = _LONGEST_ERROR_PAGE, time.monotonic() + _LONGEST_WAIT_FOR_ERROR_PAGE
        for chunk in self._stream:
            left -= len(chunk)
            if left < 0 or time.monotonic() > deadline:
                raise httpx2.ReadError("The error page has no end.")
            yield chunk

    def close(self) -> None:
        self._stream.close()


def _bound_error_page(response: httpx2.Response) -> None:
    # The SDK reads the whole body of an error response, and that of a user's server may never end.
    if response.status_code >= 300 and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _BoundedStream(response.stream)
