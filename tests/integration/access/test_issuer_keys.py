"""An issuer's keys: cached, refreshed at a limited rate, and kept for a while during an outage."""

from collections.abc import Iterator

import httpx2
import pytest

from bot.access.issuers import FAILURE_PAUSE, FRESH, STALE, UNKNOWN_KEY_INTERVAL, Issuer, new_client
from bot.errors import IssuerUnavailable
from tests.issuer import LocalIssuer, local_issuer
from tests.together import at_once


class Seconds:
    """A clock that only the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def server() -> Iterator[LocalIssuer]:
    with local_issuer() as made:
        yield made


@pytest.fixture
def client() -> Iterator[httpx2.Client]:
    with new_client() as made:
        yield made


@pytest.fixture
def issuer(server: LocalIssuer, client: httpx2.Client, seconds: Seconds) -> Issuer:
    return Issuer(server.url, client, seconds)


def test_keys_are_fetched_once_and_again_when_they_are_old(
    issuer: Issuer, server: LocalIssuer, seconds: Seconds
) -> None:
    assert server.asked == {}
    for _ in range(5):
        assert issuer.key(server.key.kid, "RS256") is not None
    assert server.key_requests == 1
    seconds.now += FRESH
    assert issuer.key(server.key.kid, "RS256") is not None
    assert server.key_requests == 2


def test_an_unknown_key_triggers_a_rate_limited_fetch(issuer: Issuer, server: LocalIssuer, seconds: Seconds) -> None:
    issuer.key(server.key.kid, "RS256")
    for number in range(20):
        assert issuer.key(f"made-up-{number}", "RS256") is None
    assert server.key_requests == 1
    for rounds in range(3):
        seconds.now += UNKNOWN_KEY_INTERVAL
        for number in range(20):
            assert issuer.key(f"made-up-{number}", "RS256") is None
        assert server.key_requests == 2 + rounds


def test_a_rotated_key_is_found_and_a_withdrawn_one_is_not(
    issuer: Issuer, server: LocalIssuer, seconds: Seconds
) -> None:
    old = server.key.kid
    assert issuer.key(old, "RS256") is not None
    server.rotate()
    seconds.now += UNKNOWN_KEY_INTERVAL
    assert issuer.key(server.key.kid, "RS256") is not None
    assert issuer.key(old, "RS256") is not None
    del server.published[0]
    seconds.now += FRESH
    assert issuer.key(server.key.kid, "RS256") is not None
    assert issuer.key(old, "RS256") is None


def test_cached_keys_survive_an_outage_of_the_issuer_for_a_limited_time(
    issuer: Issuer, server: LocalIssuer, seconds: Seconds
) -> None:
    known = server.key.kid
    issuer.key(known, "RS256")
    server.away = True
    seconds.now += FRESH
    assert issuer.key(known, "RS256") is not None
    with pytest.raises(IssuerUnavailable):
        issuer.key("perhaps-a-new-one", "RS256")
    seconds.now += STALE
    with pytest.raises(IssuerUnavailable):
        issuer.key(known, "RS256")
    server.away = False
    with pytest.raises(IssuerUnavailable):
        issuer.key(known, "RS256")  # for a moment, this fails at once
    seconds.now += FAILURE_PAUSE
    assert issuer.key(known, "RS256") is not None


def test_concurrent_requests_fetch_the_keys_once(issuer: Issuer, server: LocalIssuer) -> None:
    assert all(at_once([lambda: issuer.key(server.key.kid, "RS256")] * 8))
    assert server.key_requests == 1


def test_unsuitable_keys_are_not_used(issuer: Issuer, server: LocalIssuer) -> None:
    sound = server.published[0]
    # An odd number: an even one is not a valid modulus and would be refused for that.
    weak = {**sound, "kid": "weak", "n": sound["n"][:169] + "Q"}
    server.published[:] = [
        "no key",  # type: ignore[list-item]
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "shared"},
        {"kty": "new-kind", "kid": "new"},
        {**sound, "use": "enc", "kid": "enc"},
        {**sound, "n": 7, "kid": "broken"},
        {**server.key.as_dict(private=True), "kid": "private"},
        weak,
        sound,
    ]
    for kid in ("shared", "new", "enc", "broken", "private", "weak"):
        assert issuer.key(kid, "RS256") is None, kid
    assert issuer.key(sound["kid"], "RS256") is not None
    assert issuer.key(sound["kid"], "PS256") is None, "the key names its algorithm"
    assert issuer.key(sound["kid"], "ES256") is None


def test_a_redirect_is_not_followed(issuer: Issuer, server: LocalIssuer) -> None:
    with local_issuer() as other:
        server.moved_to = other.jwks_uri
        with pytest.raises(IssuerUnavailable):
            issuer.key(server.key.kid, "RS256")
        assert other.asked == {}


def test_an_endless_or_invalid_answer_counts_as_none(
    issuer: Issuer, server: LocalIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, keys in enumerate(([], ["x" * 300_000], None)):
        monkeypatch.setattr(server, "published", keys)
        fresh = Issuer(issuer.url, issuer._client, lambda now=float(number): now)
        with pytest.raises(IssuerUnavailable):
            fresh.key("any", "RS256")
