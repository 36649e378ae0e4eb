"""The public keys of an OpenID Connect issuer: discovered, cached, and asked for again within bounds.

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

# Seconds. Within the first, keys are taken from memory; between it and the second only if the issuer does not answer.
FRESH = 3600.0
STALE = 12 * 3600.0
# A key id that nobody knows makes us ask the issuer, but no more often than this: anybody can make one up.
UNKNOWN_KEY_INTERVAL = 10.0
# After a failure, requests are told so at once for so long, and do not each wait for a timeout of their own.
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
    """One issuer, and its keys as this process last saw them. Safe for many threads."""

    def __init__(self, url: str, client: httpx2.Client, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the issuer's address, exactly as its tokens name it. No request goes out yet."""
        self.url = url
        self._client = client
        self._clock = clock
        self._lock = threading.Lock()
        self._keys: tuple[PublicKey, ...] = ()
        self._fetched_at: float | None = None
        self._failed_at: float | None = None

    def key(self, kid: str | None, algorithm: str) -> PublicKey | None:
        """Return the key with this id for this algorithm, or None where the issuer has none.

        Without an id, the issuer's only key for the algorithm.

        Cost: no request as long as the key is known and fresh; else two to the issuer (its configuration, its keys).

        Raises:
            IssuerUnavailable: the issuer had to be asked and does not answer.
        """
        self._refresh(FRESH, block=self._age() >= STALE)
        found = _chosen(self._keys, kid, algorithm)
        if found is None and kid is not None:
            self._refresh(UNKNOWN_KEY_INTERVAL, block=True)
            found = _chosen(self._keys, kid, algorithm)
            if found is None and self._failing():
                raise _unavailable()  # whether it is a new key or a made-up one cannot be told
        return found

    def _refresh(self, max_age: float, *, block: bool) -> None:
        """Ask for the keys if those that are known are older than `max_age` seconds.

        One thread asks at a time; without `block` the others go on with the keys that there are.
        """
        if self._age() < max_age or not self._lock.acquire(blocking=block):
            return
        try:
            if self._age() < max_age:
                return  # another thread has asked meanwhile
            if not self._failing():
                self._ask()
            if self._age() >= STALE:
                raise _unavailable()
        finally:
            self._lock.release()

    def _ask(self) -> None:
        try:
            self._keys = self._fetch()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            self._failed_at = self._clock()
            log.warning("the issuer %s gave no keys: %s", self.url, error)
        else:
            self._fetched_at, self._failed_at = self._clock(), None

    def _age(self) -> float:
        return STALE if self._fetched_at is None else self._clock() - self._fetched_at

    def _failing(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < FAILURE_PAUSE

    def _fetch(self) -> tuple[PublicKey, ...]:
        """Return the keys with which the issuer signs.

        Raises:
            httpx2.HTTPError: it does not answer.
            ValueError: what it answers is not what it should be.
        """
        configuration = self._get(f"{self.url.rstrip('/')}/.well-known/openid-configuration")
        if configuration.get("issuer") != self.url:
            raise ValueError("its configuration names another issuer")
        address = configuration.get("jwks_uri")
        if not isinstance(address, str) or not secure_or_loopback(address):
            raise ValueError("its configuration names no address of keys that can be trusted")
        if urlsplit(self.url).scheme == "https" and urlsplit(address).scheme != "https":
            raise ValueError("its keys are not behind TLS")
        listed = self._get(address).get("keys")
        if not isinstance(listed, list):
            raise ValueError("it has no list of keys")
        found = tuple(key for each in listed[:_MOST_KEYS] if (key := _imported(each)) is not None)
        if not found:
            raise ValueError("none of its keys can be used")
        return found

    def _get(self, address: str) -> dict[str, Any]:
        deadline = time.monotonic() + _LONGEST_FETCH
        body = b""
        with self._client.stream("GET", address, headers={"Accept": "application/json"}) as response:
            if response.status_code != 200:
                raise ValueError(f"it answers {response.status_code}")
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LARGEST or time.monotonic() > deadline:
                    raise ValueError("its answer has no end")
        found = json.loads(body)
        if not isinstance(found, dict):
            raise ValueError("its answer is no JSON object")
        return found


def new_client() -> httpx2.Client:
    """Return an HTTP client for issuers: the operator has named them, so the environment's proxies apply."""
    # A connection that is used once an hour is not kept.
    return httpx2.Client(timeout=_TIMEOUT, follow_redirects=False, limits=httpx2.Limits(max_keepalive_connections=0))


def _unavailable() -> IssuerUnavailable:
    return IssuerUnavailable(retry_after=FAILURE_PAUSE)


def _imported(listed: object) -> PublicKey | None:
    """Return a key of the list, or None where it is no public key for signatures that is strong enough."""
    if not isinstance(listed, dict) or listed.get("use", "sig") != "sig" or "d" in listed:
        return None
    if listed.get("kty") not in ("RSA", "EC", "OKP"):
        return None
    try:
        # Before it is imported, because joserfc takes a weak key and warns of it.
        if listed["kty"] == "RSA" and _bits(listed.get("n")) < _SMALLEST_RSA:
            return None
        key = JWKRegistry.import_key({str(name): value for name, value in listed.items()})
    except (JoseError, ValueError, TypeError):
        return None
    return key if isinstance(key, RSAKey | ECKey | OKPKey) else None


def _bits(modulus: object) -> int:
    """Return how many bits a modulus has that a key set tells in base64url, 0 where it is none."""
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
    # Of several with one id, or several without, which one is meant cannot be told.
    return fitting[0] if len(fitting) == 1 else None
