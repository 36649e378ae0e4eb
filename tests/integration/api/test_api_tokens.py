"""Tokens of an OpenID Connect issuer: a valid one identifies its own user; anything else is 401."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from flask_openapi import OpenAPI
from joserfc import jwe
from joserfc.jwk import ECKey, RSAKey
from werkzeug.test import TestResponse

from bot.access.authentication import tokens_of
from bot.settings import Settings
from models.access_patterns.identities import readmit_identity
from models.table.connection import TableSettings
from models.table.errors import ItemNotFound
from tests.factories import make_user, new_email
from tests.integration.api.caller import PREFIX, Caller
from tests.integration.api.conftest import make_app
from tests.integration.api.test_api_routes import BODIES, routes, things_of
from tests.issuer import AUDIENCE, LocalIssuer, local_issuer
from tests.together import at_once
from tests.wire import recorded


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with local_issuer() as made:
        yield made


@pytest.fixture
def make(table: TableSettings, tmp_path: Path, issuer: LocalIssuer) -> Callable[..., OpenAPI]:
    """Make an application that accepts the issuer's tokens."""

    def made(**options: Any) -> OpenAPI:
        return make_app(table, tmp_path, **{"oidc_issuers": (issuer.url,), "oidc_audiences": (AUDIENCE,), **options})

    return made


@pytest.fixture
def app(make: Callable[..., OpenAPI]) -> OpenAPI:
    return make()


def ask(app: OpenAPI, token: str, method: str = "GET", path: str = "/users/me", body: Any = None) -> TestResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return app.test_client().open(PREFIX + path, method=method, headers=headers, json=body)


def me(app: OpenAPI, token: str) -> dict[str, Any]:
    answer = ask(app, token)
    assert answer.status_code == 200, answer.text
    return answer.get_json()  # type: ignore[no-any-return]


def encoded(part: dict[str, Any] | bytes) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hand_made(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """Return a token whose signature is an HMAC or missing."""
    text = f"{encoded(header)}.{encoded(claims)}"
    mac = b"" if secret is None else hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return f"{text}.{encoded(mac)}"


def tampered(issuer: LocalIssuer) -> str:
    header, _, signature = issuer.token().split(".")
    return f"{header}.{encoded(issuer.claims(sub='bob'))}.{signature}"


def critical(issuer: LocalIssuer) -> str:
    header = {"alg": "RS256", "kid": issuer.key.kid, "crit": ["mine"], "mine": 1}
    text = f"{encoded(header)}.{encoded(issuer.claims())}"
    return f"{text}.{encoded(issuer.key.private_key.sign(text.encode(), PKCS1v15(), SHA256()))}"  # type: ignore[union-attr]


def encrypted(issuer: LocalIssuer) -> str:
    header = {"alg": "RSA-OAEP", "enc": "A256GCM"}
    return jwe.encrypt_compact(header, json.dumps(issuer.claims()), RSAKey.generate_key(2048))


NOW = time.time
FORGERIES: dict[str, Callable[[LocalIssuer], str]] = {
    "signed by somebody else under the same key id": lambda i: i.token(key=i.new_key(i.key.kid)),
    "signed by somebody else": lambda i: i.token(key=i.new_key()),
    "claims changed after signing": tampered,
    "signature cut off": lambda i: i.token().rpartition(".")[0] + ".",
    "signature broken": lambda i: i.token()[:-8] + "AAAAAAAA",
    "expired": lambda i: i.token(exp=int(NOW()) - 31),
    "expired long ago": lambda i: i.token(exp=1),
    "without an end": lambda i: i.token(exp=None),
    "an end that is no number": lambda i: i.token(exp="soon"),
    "not yet valid": lambda i: i.token(nbf=int(NOW()) + 60),
    "made in the future": lambda i: i.token(iat=int(NOW()) + 60),
    "for somebody else": lambda i: i.token(aud="another-service"),
    "for several others": lambda i: i.token(aud=["another-service", "turntable2"]),
    "for nobody": lambda i: i.token(aud=None),
    "for a number": lambda i: i.token(aud=1),
    "a client without being Cognito's": lambda i: i.token(aud=None, client_id=AUDIENCE),
    "a client of Cognito's that is another": lambda i: i.token(aud=None, client_id="other", token_use="access"),
    "Cognito's id token": lambda i: i.token(token_use="id"),
    "of another issuer": lambda i: i.token(iss="https://accounts.example.com"),
    "of the issuer with a slash": lambda i: i.token(iss=f"{i.url}/"),
    "of no issuer": lambda i: i.token(iss=None),
    "an issuer that is a list": lambda i: i.token(iss=[i.url]),
    "without a subject": lambda i: i.token(sub=None),
    "an empty subject": lambda i: i.token(sub=""),
    "a subject that is a number": lambda i: i.token(sub=7),
    "a subject without end": lambda i: i.token(sub="x" * 256),
    "alg none": lambda i: hand_made({"alg": "none"}, i.claims(), None),
    "alg None": lambda i: hand_made({"alg": "None", "kid": i.key.kid}, i.claims(), None),
    "alg none with a key id": lambda i: hand_made({"alg": "none", "kid": i.key.kid}, i.claims(), None),
    "alg none with a signature": lambda i: hand_made({"alg": "none", "kid": i.key.kid}, i.claims(), b"x"),
    "no alg": lambda i: hand_made({"kid": i.key.kid}, i.claims(), None),
    "alg that is a list": lambda i: hand_made({"alg": ["RS256"], "kid": i.key.kid}, i.claims(), None),
    "the public key as a secret, PEM": lambda i: hand_made(
        {"alg": "HS256", "kid": i.key.kid}, i.claims(), i.key.as_pem(private=False)
    ),
    "the public key as a secret, DER": lambda i: hand_made(
        {"alg": "HS256", "kid": i.key.kid}, i.claims(), i.key.as_der(private=False)
    ),
    "the public key as a secret, JWK": lambda i: hand_made(
        {"alg": "HS256", "kid": i.key.kid}, i.claims(), json.dumps(i.public(i.key)).encode()
    ),
    "another algorithm under the key's id": lambda i: i.token(
        key=ECKey.generate_key("P-256"), header={"alg": "ES256", "kid": i.key.kid}
    ),
    "an algorithm that is not allowed": lambda i: i.token(
        key=RSAKey.import_key({k: v for k, v in i.key.as_dict(private=True).items() if k != "alg"}),
        header={"alg": "RS512"},
    ),
    "an unknown key id": lambda i: i.token(header={"kid": "made-up"}),
    "a key id that is a number": lambda i: hand_made({"alg": "RS256", "kid": 7}, i.claims(), b"x"),
    "a key in the header": lambda i: i.token(key=(k := i.new_key()), header={"jwk": i.public(k), "kid": i.key.kid}),
    "a critical header that nobody knows": critical,
    "encrypted": encrypted,
    "no JSON": lambda i: "YQ.YQ.YQ",
    "a list": lambda i: f"{encoded(b'[]')}.{encoded(b'[]')}.{encoded(b'x')}",
    "nested without end": lambda i: f"{encoded(b'[' * 3000)}.{encoded(b'{}')}.x",
    "not base64": lambda i: "e-Ä.b.c",
    "empty parts": lambda i: "..",
    "longer than any": lambda i: i.token(extra="x" * 9000),
}

# Why the log says that it was refused.
REASONS = {
    "signed by somebody else under the same key id": "token_signature",
    "claims changed after signing": "token_signature",
    "expired": "token_expired",
    "without an end": "token_claims",
    "not yet valid": "token_claims",
    "for somebody else": "token_audience",
    "Cognito's id token": "token_use",
    "of another issuer": "token_issuer",
    "a subject without end": "token_subject",
    "alg none": "token_algorithm",
    "the public key as a secret, PEM": "token_algorithm",
    "an unknown key id": "token_key",
    "no JSON": "token_unreadable",
    "longer than any": "token_unreadable",
    "encrypted": "malformed_key",  # with five parts it does not look like a token
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_invalid_token_is_401(
    app: OpenAPI, issuer: LocalIssuer, forgery: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = FORGERIES[forgery](issuer)
    caplog.set_level("INFO")
    with recorded() as sent:
        answer = ask(app, token)
    assert (answer.status_code, answer.get_json()["code"]) == (401, "unauthenticated"), answer.text
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert [each.operation for each in sent] in ([], ["GetItem"]), "nobody was made"
    for part in token.split("."):
        assert len(part) < 20 or (part not in answer.text and part not in caplog.text)
    (reason,) = [each.refused["reason"] for each in caplog.records if hasattr(each, "refused")]
    assert reason == REASONS.get(forgery, reason)
    assert forgery in REASONS or reason.startswith("token_")


SOUND: dict[str, Callable[[LocalIssuer], str]] = {
    "plain": lambda i: i.token(),
    "for several": lambda i: i.token(aud=["another-service", AUDIENCE]),
    "Cognito's access token": lambda i: i.token(aud=None, client_id=AUDIENCE, token_use="access", nbf=None),
    "expired within the leeway": lambda i: i.token(exp=int(NOW()) - 10),
    "valid within the leeway": lambda i: i.token(nbf=int(NOW()) + 10, iat=int(NOW()) + 10),
    "without a key id, of one key": lambda i: i.token(header={"kid": None}),
    "with names of the issuer's own in the header": lambda i: i.token(header={"x5t": "abc", "nonce": "n"}),
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_valid_token_is_accepted(app: OpenAPI, issuer: LocalIssuer, kind: str) -> None:
    found = me(app, SOUND[kind](issuer))
    assert (found["role"], found["email"]) == ("user", None)


def test_an_issuer_may_sign_with_elliptic_curves(app: OpenAPI, issuer: LocalIssuer) -> None:
    key = ECKey.generate_key("P-256", {"use": "sig", "kid": "curve"})
    issuer.published.append(issuer.public(key))
    assert me(app, issuer.token(key=key, header={"alg": "ES256", "kid": "curve"}))


def test_with_several_keys_a_token_says_which(app: OpenAPI, issuer: LocalIssuer) -> None:
    issuer.rotate()
    assert ask(app, issuer.token(header={"kid": None})).status_code == 401
    assert ask(app, issuer.token()).status_code == 200


def test_a_forged_token_is_refused_on_every_route(app: OpenAPI, issuer: LocalIssuer, ann: Caller) -> None:
    things = things_of(ann)
    chosen = ("signed by somebody else under the same key id", "alg none", "expired")
    forged = {forgery: FORGERIES[forgery](issuer) for forgery in chosen}
    for route in routes(app):
        for forgery, token in forged.items():
            answer = ask(app, token, route.method, route.filled(things), BODIES.get(tuple(route), {}))
            assert answer.status_code == 401, f"{route} with a token that is {forgery}: {answer.text}"


def test_a_token_reaches_only_its_own_users_data(app: OpenAPI, issuer: LocalIssuer) -> None:
    ann, bob = Caller(app), Caller(app)
    anns = things_of(ann)
    bob.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {issuer.token(sub='bob')}"
    for route in routes(app):
        for slot in set(route.slots) - {"key"}:
            answer = bob.call(route.method, route.filled({**anns, "user_id": ann.id}), BODIES.get(tuple(route)))
            assert answer.status_code == 404, f"{route}: {slot}: {answer.text}"


def test_new_keys_are_fetched_when_first_seen(app: OpenAPI, issuer: LocalIssuer) -> None:
    old = issuer.token()
    assert ask(app, old).status_code == 200
    issuer.rotate()
    services = app.extensions["bot"]
    source = next(iter(services.authentication._tokens._issuers.values()))
    source._fetched_at -= 11  # the last fetch was a while ago
    assert ask(app, issuer.token()).status_code == 200
    assert ask(app, old).status_code == 200
    assert issuer.key_requests == 2


def test_made_up_key_ids_do_not_flood_the_issuer(app: OpenAPI, issuer: LocalIssuer) -> None:
    assert ask(app, issuer.token()).status_code == 200
    for number in range(50):
        assert ask(app, issuer.token(header={"kid": f"made-up-{number}"})).status_code == 401
    assert issuer.key_requests == 1


def test_a_token_of_another_issuer_sends_no_request(app: OpenAPI, issuer: LocalIssuer) -> None:
    with local_issuer() as other:
        assert ask(app, other.token()).status_code == 401
        assert (other.asked, issuer.asked) == ({}, {})


def test_an_unreachable_issuer_is_503_and_not_401(app: OpenAPI, issuer: LocalIssuer) -> None:
    issuer.away = True
    for _ in range(3):
        answer = ask(app, issuer.token())
        assert (answer.status_code, answer.get_json()["code"]) == (503, "issuer_unavailable"), answer.text
        assert int(answer.headers["Retry-After"]) > 0
    assert issuer.asked == {"/.well-known/openid-configuration": 1}, "the others were told at once"
    assert Caller(app).call("GET", "/users/me").status_code == 200, "keys work all the same"


def test_an_issuers_configuration_must_name_itself(app: OpenAPI, issuer: LocalIssuer) -> None:
    issuer.named = "https://accounts.example.com"
    assert ask(app, issuer.token()).status_code == 503


@pytest.mark.parametrize("address", ["http://keys.example.com/", "file:///etc/passwd", "https://a:b@c.example.com/", 7])
def test_keys_are_fetched_only_from_a_trustworthy_url(app: OpenAPI, issuer: LocalIssuer, address: Any) -> None:
    issuer.jwks_uri = address
    assert ask(app, issuer.token()).status_code == 503


def test_a_user_is_created_on_first_use_and_found_again(app: OpenAPI, issuer: LocalIssuer) -> None:
    email = new_email()
    first = me(app, issuer.token(sub="auth0|ann", name="Ann", email=email.upper(), email_verified=True))
    assert (first["name"], first["email"], first["role"]) == ("Ann", email, "user")
    assert me(app, issuer.token(sub="auth0|ann", name="Another", email=new_email(), email_verified=True)) == first
    assert me(app, issuer.token(sub="auth0|bob"))["id"] != first["id"]


@pytest.mark.parametrize("said", [{}, {"email_verified": False}, {"email_verified": "no"}, {"email_verified": 1.5}])
def test_an_unverified_email_is_not_stored(app: OpenAPI, issuer: LocalIssuer, said: dict[str, Any]) -> None:
    assert me(app, issuer.token(email=new_email(), **said))["email"] is None


def test_no_email_identifies_an_existing_user(app: OpenAPI, issuer: LocalIssuer) -> None:
    owner = make_user()
    for verified in (True, False):
        found = me(app, issuer.token(sub=f"thief-{verified}", email=owner.email, email_verified=verified))
        assert (found["id"] != owner.user_id, found["email"]) == (True, None)


@pytest.mark.parametrize(
    "email",
    ["not an email", "a,b@example.com", "\u212aate@example.com", "", 7, ["a@example.com"], "x" * 400],
)
def test_an_invalid_email_does_not_lock_anybody_out(app: OpenAPI, issuer: LocalIssuer, email: Any) -> None:
    assert me(app, issuer.token(email=email, email_verified=True, name=["x"]))["email"] is None


def test_the_same_subject_of_two_issuers_is_two_users(make: Callable[..., OpenAPI], issuer: LocalIssuer) -> None:
    with local_issuer() as other:
        app = make(oidc_issuers=(issuer.url, other.url))
        assert me(app, issuer.token())["id"] != me(app, other.token())["id"]
        # Each issuer's tokens are verified with its own keys.
        assert ask(app, issuer.token(iss=other.url)).status_code == 401


def test_concurrent_first_requests_create_one_user(app: OpenAPI, issuer: LocalIssuer) -> None:
    token = issuer.token(sub="crowd", email=new_email(), email_verified=True)
    found = at_once([lambda: me(app, token)["id"]] * 8)
    assert len(set(found)) == 1


def test_a_deleted_user_stays_locked_out_until_readmitted(
    app: OpenAPI, issuer: LocalIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    token, subject = issuer.token(sub="leaver"), "leaver"
    first = me(app, token)
    assert ask(app, token, "DELETE").status_code == 204
    for method, path in (("GET", "/users/me"), ("GET", "/agents"), ("DELETE", "/users/me")):
        answer = ask(app, token, method, path)
        assert (answer.status_code, answer.get_json()["code"]) == (403, "account_closed")
    refused = [each.refused["reason"] for each in caplog.records if hasattr(each, "refused")]
    assert refused == ["account_closed"] * 3
    assert ask(app, issuer.token(sub="somebody-else")).status_code == 200

    readmit_identity(issuer.url, subject)
    assert me(app, token)["id"] != first["id"]
    for gone in (subject, "nobody"):
        with pytest.raises(ItemNotFound):
            readmit_identity(issuer.url, gone)


def test_no_token_makes_an_administrator_unless_the_deployment_says_so(
    make: Callable[..., OpenAPI], issuer: LocalIssuer
) -> None:
    claims: dict[str, Any] = {"groups": ["admins"], "cognito:groups": ["admins"], "role": "admin", "admin": True}
    plain, with_claim = make(), make(oidc_admin_claim="cognito:groups=admins")
    assert ask(plain, issuer.token(**claims), path="/users").status_code == 403
    assert ask(with_claim, issuer.token(**claims), path="/users").status_code == 200
    for others in (
        {"cognito:groups": ["admins2", "users"]},
        {"cognito:groups": "administrators"},
        {"groups": "admins"},
    ):
        assert ask(with_claim, issuer.token(**others), path="/users").status_code == 403
    assert ask(with_claim, issuer.token(**{"cognito:groups": "admins"}), path="/users").status_code == 200


def test_a_key_created_with_a_token_belongs_to_its_user(app: OpenAPI, issuer: LocalIssuer) -> None:
    token = issuer.token()
    made = ask(app, token, "POST", "/api-keys", {"scope": "read"}).get_json()
    assert me(app, made["key"])["id"] == me(app, token)["id"]


def test_a_turn_with_a_token_takes_as_many_requests_as_one_with_a_key(app: OpenAPI, issuer: LocalIssuer) -> None:
    token = issuer.token(sub="talker")
    agent = ask(app, token, "POST", "/agents", {"name": "Ada", "provider": "echo"}).get_json()["id"]
    conversation = ask(app, token, "POST", "/conversations", {"agent_id": agent}).get_json()["id"]
    with recorded() as sent:
        answer = ask(app, token, "POST", f"/conversations/{conversation}/messages", {"content": "Hello"})
    assert answer.status_code == 201
    assert [(each.pattern, each.operation) for each in sent] == [
        ("AP-28", "BatchGetItem"),
        ("AP-50", "Query"),
        ("AP-50", "TransactWriteItems"),
        ("AP-52", "TransactWriteItems"),
    ]


def test_without_an_issuer_no_token_is_accepted(make: Callable[..., OpenAPI], issuer: LocalIssuer) -> None:
    assert ask(make(oidc_issuers=(), oidc_audiences=()), issuer.token()).status_code == 401
    assert issuer.asked == {}


def test_issuers_without_an_audience_are_refused_at_startup() -> None:
    with pytest.raises(ValueError, match="BOT_OIDC_AUDIENCE"):
        tokens_of(Settings(oidc_issuers=("https://auth.example.com",)))
