"""API keys: shown once, listed by their hints, revoked at once."""

from datetime import timedelta

import pytest
from flask_openapi import OpenAPI

from tests.fake_clock import FakeClock
from tests.integration.api.caller import Caller


def test_a_key_is_shown_once_and_authenticates(app: OpenAPI, ann: Caller) -> None:
    made = ann.make("/api-keys", name="laptop")
    assert made["key"].startswith("tt_")
    assert made["hint"] == f"…{made['key'][-4:]}"
    assert made["expires_at"] is None

    client = app.test_client()
    answer = client.get("/api/v1/users/me", headers={"Authorization": f"bearer {made['key']}"})
    assert answer.get_json()["id"] == ann.id

    listed = ann.call("GET", "/api-keys")
    assert made["key"] not in listed.text
    assert [each["id"] for each in listed.get_json()["data"]] == [ann.key_entry.key_id, made["id"]]
    assert {name: made[name] for name in made if name != "key"} == listed.get_json()["data"][1]


def test_a_revoked_key_no_longer_works_and_is_not_listed(ann: Caller) -> None:
    made = ann.make("/api-keys")
    ann.delete(f"/api-keys/{made['id']}")
    assert [each["id"] for each in ann.get("/api-keys")["data"]] == [ann.key_entry.key_id]
    ann.refused(404, "not_found", "DELETE", f"/api-keys/{made['id']}")
    ann.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made['key']}"
    assert ann.call("GET", "/users/me").status_code == 401


def test_a_key_may_revoke_itself(ann: Caller) -> None:
    ann.delete(f"/api-keys/{ann.key_entry.key_id}")
    assert ann.call("GET", "/users/me").status_code == 401


def test_a_key_stops_when_it_expires(ann: Caller, fake_clock: FakeClock) -> None:
    ends = (fake_clock.moment + timedelta(seconds=90)).replace(microsecond=0)
    made = ann.make("/api-keys", expires_at=ends.isoformat())
    assert made["expires_at"] == ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z")
    ann.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made['key']}"
    assert ann.call("GET", "/users/me").status_code == 200

    fake_clock.advance(seconds=91)

    assert ann.call("GET", "/users/me").status_code == 401


@pytest.mark.parametrize(
    "moment",
    [
        "2020-01-01T00:00:00Z",
        "2099-01-01T00:00:00",
        "2099-01-01",
        "2099-13-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "tomorrow",
        "",
        4_070_908_800,
        4_070_908_800.5,
        [],
    ],
)
def test_an_expiry_that_is_not_in_the_future_is_refused(ann: Caller, moment: object) -> None:
    assert "expires_at" in ann.refused(422, "validation_failed", "POST", "/api-keys", {"expires_at": moment})


def test_an_expiry_may_be_given_in_any_zone(ann: Caller) -> None:
    assert ann.make("/api-keys", expires_at="2099-01-01T00:00:00+02:00")["expires_at"] == "2098-12-31T22:00:00.000000Z"
    assert ann.make("/api-keys", expires_at="2099-01-01t00:00:00z")["expires_at"] == "2099-01-01T00:00:00.000000Z"


def test_a_users_key_has_the_users_role(admin: Caller, ann: Caller) -> None:
    for caller, status in ((admin, 200), (ann, 403)):
        caller.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {caller.make('/api-keys')['key']}"
        assert caller.call("GET", "/users").status_code == status
