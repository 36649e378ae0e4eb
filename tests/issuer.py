"""An OpenID Connect issuer on loopback that can rotate its keys, give wrong answers and be unavailable."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from threading import Thread
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

AUDIENCE = "turntable"


# Making a key takes a while; this many in a row are different ones.
_KEYS = 6
_numbers = count()


@cache
def _rsa_key(number: int, kid: str | None = None) -> RSAKey:
    if kid is None:
        return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
    return RSAKey.import_key({**_rsa_key(number).as_dict(private=True), "kid": kid})


def _registry(algorithm: str) -> JWSRegistry:
    return JWSRegistry(algorithms=[algorithm], strict_check_header=False)


class LocalIssuer:
    """Signs tokens, and serves the keys that verify them. `asked` counts the requests for each path."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: dict[str, int] = {}
        self.away = False
        self.named = self.url  # what its configuration says that it is
        self.jwks_uri = f"{self.url}/keys"
        self.moved_to: str | None = None  # where a redirect says that the keys are
        self.key = self.new_key()
        self.published: list[dict[str, Any]] = [self.public(self.key)]

    def new_key(self, kid: str | None = None) -> RSAKey:
        return _rsa_key(next(_numbers) % _KEYS, kid)

    @staticmethod
    def public(key: RSAKey | ECKey) -> dict[str, Any]:
        return dict(key.as_dict(private=False))

    def rotate(self) -> None:
        """Sign with a new key from now on; both are published."""
        self.key = self.new_key()
        self.published.append(self.public(self.key))

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return valid claims; a change to None leaves one out."""
        now = int(time.time())
        claims = {"iss": self.url, "sub": "ann", "aud": AUDIENCE, "exp": now + 600, "iat": now, "nbf": now, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, key: Any = None, **changes: Any) -> str:
        """Return a signed token."""
        signer = key or self.key
        protected = {"alg": "RS256", "kid": signer.kid, "typ": "at+jwt", **(header or {})}
        protected = {name: value for name, value in protected.items() if value is not None}
        return jwt.encode(protected, self.claims(**changes), signer, registry=_registry(protected["alg"]))

    def answer(self, path: str) -> tuple[int, Any]:
        self.asked[path] = self.asked.get(path, 0) + 1
        if self.away:
            return 503, {}
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.named, "jwks_uri": self.jwks_uri}
        if path == "/keys" and self.moved_to is not None:
            return 302, {"keys": self.published}
        return (200, {"keys": self.published}) if path == "/keys" else (404, {})

    @property
    def key_requests(self) -> int:
        return self.asked.get("/keys", 0)


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    """Serve an issuer on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, document = issuer.answer(self.path)
            body = json.dumps(document).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", issuer.moved_to or "")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = LocalIssuer(server.server_port)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
