"""Bearer tokens of OpenID Connect issuers: JSON Web Tokens that are trusted only after every check.

Before verification, a token is read only to find its issuer, key and algorithm. The issuer must be one of the
deployment's, the key one of that issuer's, and the algorithm one that the deployment allows, all of them asymmetric. So
neither `none` nor a public key used as a shared secret can pass.

Sources: RFC 7519, RFC 8725 (best current practice), RFC 9068, and for Cognito
https://docs.aws.amazon.com/cognito/latest/developerguide/amazon-cognito-user-pools-using-the-access-token.html
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jws import JWSRegistry

from bot.access.issuers import Issuer
from bot.errors import AuthFailure, Unauthenticated
from models.table import clock
from models.table.values import is_whole

_LONGEST = 8192
_LONGEST_SUBJECT = 255


@dataclass(frozen=True)
class Claims:
    """A verified token's claims about its holder; `email` only if the issuer has verified it."""

    issuer: str
    subject: str
    email: str | None
    name: str | None
    admin: bool


class TokenVerifier:
    """Checks tokens against the issuers and audiences of the deployment; one per process."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        audiences: Sequence[str],
        *,
        algorithms: Sequence[str],
        leeway: int,
        admin_claim: str | None = None,
    ) -> None:
        """Take what the deployment accepts.

        Args:
            issuers: the trusted issuers.
            audiences: a token must be for one of these.
            algorithms: the accepted signature algorithms, all asymmetric.
            leeway: seconds by which the clocks may differ.
            admin_claim: `name=value` of the claim that makes an administrator; without one, no token does.
        """
        self._issuers: Mapping[str, Issuer] = {issuer.url: issuer for issuer in issuers}
        self._audiences = frozenset(audiences)
        self._algorithms = tuple(algorithms)
        self._leeway = leeway
        self._admin_claim = admin_claim.split("=", 1) if admin_claim else None
        # Issuers add header fields of their own; `crit` is still checked.
        self._registry = JWSRegistry(algorithms=self._algorithms, strict_check_header=False)

    def verify(self, token: str) -> Claims:
        """Return a token's claims if it is valid.

        Raises:
            Unauthenticated: it is not; the detail says why, without any content of the token.
            IssuerUnavailable: its issuer's keys are not cached, and the issuer does not answer.
        """
        header, unverified = _peek(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in self._algorithms:
            _refuse("token_algorithm", "its algorithm is not allowed")
        issuer = self._issuers.get(str(unverified.get("iss")))
        if issuer is None:
            _refuse("token_issuer", "its issuer is not one of this deployment's")
        if kid is not None and not isinstance(kid, str):
            _refuse("token_key", "its key id is not a string")
        key = issuer.key(kid, str(algorithm))
        if key is None:
            _refuse("token_key", "its issuer has no such key")
        try:
            claims = jwt.decode(token, key, algorithms=self._algorithms, registry=self._registry).claims
        except (JoseError, ValueError) as error:
            raise _refusal("token_signature", "its signature is not valid") from error
        self._check(claims, issuer)
        return Claims(
            issuer.url,
            claims["sub"],
            _text(claims.get("email"), 320) if claims.get("email_verified") in (True, "true") else None,
            _text(claims.get("name"), 200),
            self._is_admin(claims),
        )

    def _check(self, claims: dict[str, Any], issuer: Issuer) -> None:
        registry = jwt.JWTClaimsRegistry(
            now=int(clock.now().timestamp()),
            leeway=self._leeway,
            iss={"essential": True, "value": issuer.url},
            sub={"essential": True},
            exp={"essential": True},
        )
        try:
            registry.validate(claims)
        except ExpiredTokenError as error:
            raise _refusal("token_expired", "it has expired") from error
        except (JoseError, ValueError, TypeError) as error:
            raise _refusal("token_claims", "its claims are not valid") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not is_whole(subject):
            _refuse("token_subject", "its subject is not valid")
        if not self._audiences.intersection(_audiences(claims)):
            _refuse("token_audience", "it was issued for another audience")
        if claims.get("token_use", "access") != "access":
            _refuse("token_use", "it is not an access token")

    def _is_admin(self, claims: dict[str, Any]) -> bool:
        if self._admin_claim is None:
            return False
        name, wanted = self._admin_claim
        value = claims.get(name)
        return value == wanted or (isinstance(value, list) and wanted in value)


def _audiences(claims: dict[str, Any]) -> list[str]:
    """Return the audiences of a token. Cognito's access tokens have `client_id` instead of `aud`."""
    named = claims.get("aud")
    if named is None and claims.get("token_use") == "access":
        named = claims.get("client_id")
    return [each for each in (named if isinstance(named, list) else [named]) if isinstance(each, str)]


def _text(value: object, longest: int) -> str | None:
    return value if isinstance(value, str) and value.isprintable() and 0 < len(value) <= longest else None


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token that is not verified."""
    parts = token.split(".")
    if len(token) > _LONGEST or len(parts) != 3:
        _refuse("token_unreadable", "it is not a signed token")
    try:
        header, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in parts[:2])
    except (ValueError, RecursionError) as error:
        raise _refusal("token_unreadable", "it cannot be parsed") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        _refuse("token_unreadable", "it cannot be parsed")
    return header, claims


def _refusal(reason: AuthFailure, sentence: str) -> Unauthenticated:
    return Unauthenticated(f"This token is not valid: {sentence}.", reason=reason)


def _refuse(reason: AuthFailure, sentence: str) -> NoReturn:
    raise _refusal(reason, sentence)
