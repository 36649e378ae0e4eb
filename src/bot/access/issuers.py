"""The public keys of an OpenID Connect issuer: discovered, cached, and refreshed at a bounded rate.

Sources: https://openid.net/specs/openid-connect-discovery-1_0.html, RFC 7517 (keys), RFC 8414.
"""

import base64
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey

from bot.errors import IssuerUnavailable
from bot.settings import secure_or_loopback

log = logging.getLogger(__name__)

PublicKey = RSAKey | ECKey | OKPKey

# In seconds. Keys are used without a request until FRESH, and until STALE if the issuer does not answer.
FRESH = 3600.0
STALE = 12 * 3600.0
# An unknown key id triggers a refresh, but no more often than this, because anybody can make one up.
UNKNOWN_KEY_INTERVAL = 10.0
# After a failure, requests fail at once for this long instead of each waiting for a timeout.
FAILURE_PAUSE = 5.0

_TIMEOUT = httpx2.Timeout(5.0, connect=3.0)
_LONGEST_FETCH = 10.0
_LARGEST = 256 * 1024
_MOST_KEYS = 100
_SMALLEST_RSA = 2048
_KINDS: dict[str, tuple[str, str | None]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


class Issuer:
    """One issuer, with its keys as this process last fetched them. Thread-safe."""

    def __init__(self, url: str, client: httpx2.Client, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the issuer's URL, exactly as in its tokens. Sends no request."""
        self.url = url
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None

    def key(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key with this id for this algorithm, or None if the issuer has none.

        Without an id, it is the issuer's only key for the algorithm.

        Cost: no request while the key is known and fresh; else two to the issuer (its configuration, its keys).

        Raises:
            IssuerUnavailable: the keys had to be fetched, and the issuer does not answer.
        """
        self._refresh(FRESH, block=self._age() >= STALE)
        found = _chosen(self._keys, kid, algorithm)
        if found is None and kid is not None:
            self._refresh(UNKNOWN_KEY_INTERVAL, block=True)
            found = _chosen(self._keys, kid, algorithm)
            if found is None and self._failing():
                raise _unavailable()  # it may be a new key or a made-up one
        return found

    def _refresh(self, max_age: float, *, block: bool) -> None:
        """Fetch the keys if the cached ones are older than `max_age` seconds.

        One thread fetches at a time; without `block`, the others continue with the cached keys.
        """
        if self._age() < max_age or not self._lock.acquire(blocking=block):
            return
        try:
            if self._age() < max_age:
                return  # another thread has fetched them meanwhile
            if not self._failing():
                self._update()
            if self._age() >= STALE:
                raise _unavailable()
        finally:
            self._lock.release()

    def _update(self) -> None:
        try:
            self._keys = self._fetch()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            self._failed_at = self._clock()
            log.warning("could not fetch the keys of the issuer %s: %s", self.url, error)
        else:
            self._fetched_at, self._failed_at = self._clock(), None

    def _age(self) -> float:
        return STALE if self._fetched_at is None else self._clock() - self._fetched_at

    def _failing(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < FAILURE_PAUSE

    def _fetch(self) -> tuple[PublicKey, ...]:
        """Return the issuer's signing keys.

        Raises:
            httpx2.HTTPError: it does not answer.
            ValueError: its answer is not valid.
        """
        configuration = self._get(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
        if configuration.get("issuer") != self.url:
            raise ValueError("its configuration names another issuer")
        address = configuration.get("jwks_uri")
        if not isinstance(address, str) or not secure_or_loopback(address):
            raise ValueError("its configuration has no jwks_uri that can be trusted")
        if urlsplit(self.url).scheme == "https" and urlsplit(address).scheme != "https":
            raise ValueError("its jwks_uri does not use TLS")
        listed = self._get(address).get("keys")
        if not isinstance(listed, list):
            raise ValueError("its key set has no list of keys")
        found = tuple(key for each in listed[:_MOST_KEYS] if (key := _imported(each)) is not None)
        if not found:
            raise ValueError("none of its keys is usable")
        return found

    def _get(self, address: str) -> dict[str, Any]:
        deadline = time.monotonic() + _LONGEST_FETCH
        body = b""
        with self._client.stream("GET", address, headers={"Accept": "application/json"}) as response:
            if response.status_code != 200:
                raise ValueError(f"it answered {response.status_code}")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LARGEST or time.monotonic() > deadline:
                    raise ValueError("its answer is too large or too slow")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("its answer is not a JSON object")
        return found


def new_client() -> httpx2.Client:
    """Return an HTTP client for issuers; it uses the environment's proxies, because the operator chose the issuers."""
    # A connection that is used once an hour is not worth keeping alive.
    return httpx2.Client(timeout=_TIMEOUT, follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0))


def _unavailable() -> IssuerUnavailable:
    return IssuerUnavailable(retry_after=FAILURE_PAUSE)


def _imported(listed: object) -> PublicKey | None:
    """Return a key of the list, or None unless it is a public signature key that is strong enough."""
    if not isinstance(listed, dict) or listed.get("use", "sig") != "sig" or "d" in listed:
        return None
    if listed.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        # Checked before the import, because joserfc only warns about a weak key.
        if listed["kty"] == "RSA" and _bits(listed.get("n")) < _SMALLEST_RSA:
            return None
        key = JWKRegistry.import_key({str(name): value for name, value in listed.items()})
    except (JoseError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _bits(modulus: object) -> int:
    """Return how many bits a base64url modulus has, 0 if it is none."""
    if not isinstance(modulus, str):
        return 0
    return int.from_bytes(base64.urlsafe_b64decode(modulus + "==")).bit_length()


def _chosen(keys: tuple[PublicKey, ...], kid: str | None, algorithm: str) -> PublicKey | None:
    kind, curve = _KINDS[algorithm]
    fitting = [
        key
        for key in keys
        if key.key_type == kind
        and (curve is None or key.get("crv") == curve)
        and key.get("alg") in (None, algorithm)
        and kid in (None, key.get("kid"))
    ]
    # With several matches it is unclear which one is meant.
    return fitting[0] if len(fitting) == 1 else None
