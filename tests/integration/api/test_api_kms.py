"""The API while KMS does not answer: requests that need a key say so, and all others work."""

from collections.abc import Iterator

import pytest
from flask_openapi import OpenAPI

from models.access_patterns.users import get_user, update_user
from models.table.connection import TableSettings
from models.table.tenancy import acting_for
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import serving

API_KEY = "sk-proj-abcdefghijklmnopqrstuvwxyz-0123456789"
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def without_kms(table: TableSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAPI]:
    kms = {"kms_key_id": "alias/turntable", "kms_endpoint_url": NOBODY}
    with serving(table, tmp_path_factory.mktemp("data"), **kms) as made:
        yield made


@pytest.fixture
def eve(without_kms: OpenAPI) -> Caller:
    """A user of that deployment."""
    return Caller(without_kms)


def sealed_by_kms(caller: Caller) -> None:
    sealed = "kms1.arn:aws:kms:us-east-1:123456789012:key/1.AAAA.AAAA"
    update_user(acting_for(caller.id), {"api_integration_details": {"openai": sealed}})


def test_storing_details_is_refused_with_503_and_retry_after(eve: Caller) -> None:
    answer = eve.call("PATCH", "/users/me", {"api_integration_details": {"openai": {"api_key": API_KEY}}})
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (503, "secrets_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert API_KEY not in answer.text
    assert NOBODY not in answer.text
    assert eve.get("/users/me")["api_integration_details"] == {}


def test_a_turn_with_own_credentials_fails_with_503_and_its_message_stays(eve: Caller) -> None:
    sealed_by_kms(eve)
    conversation = f"/conversations/{eve.conversation(eve.agent(provider='openai', model='m', credentials='own'))}"
    answer = eve.call("POST", f"{conversation}/messages", {"content": "Hello"})
    problem = answer.get_json()
    assert (answer.status_code, problem["code"], problem["turn"]["status"]) == (503, "secrets_unavailable", "failed")
    assert answer.headers["Retry-After"] == "5"
    assert eve.get(conversation)["message_count"] == 1


def test_a_profile_is_shown_without_the_hint(eve: Caller) -> None:
    sealed_by_kms(eve)
    shown = eve.get("/users/me")["api_integration_details"]
    assert shown == {"openai": {"api_key_hint": None, "base_url": None}}


def test_requests_without_credentials_still_work(eve: Caller) -> None:
    conversation_id = eve.conversation()
    assert eve.make(f"/conversations/{conversation_id}/messages", content="Hello")["turn"]["status"] == "completed"
    assert eve.patch("/users/me", name="Eve")["name"] == "Eve"


def test_details_encrypted_with_kms_are_missing_credentials_without_kms(ann: Caller) -> None:
    sealed_by_kms(ann)
    path = f"/conversations/{ann.conversation(ann.agent(provider='openai', model='m', credentials='own'))}/messages"
    assert ann.refused(409, "credentials_missing", "POST", path, {"content": "Hello"}) == {}


def test_details_of_another_user_or_name_are_missing_credentials_and_no_500(ann: Caller, bob: Caller) -> None:
    ann.patch("/users/me", api_integration_details={"openai": {"api_key": API_KEY}, "other": {"api_key": API_KEY}})
    stored = get_user(acting_for(ann.id)).api_integration_details
    for caller, sealed in ((bob, stored["openai"]), (ann, stored["other"])):
        update_user(acting_for(caller.id), {"api_integration_details": {"openai": sealed}})
        agent_id = caller.agent(provider="openai", model="m", credentials="own")
        path = f"/conversations/{caller.conversation(agent_id)}/messages"
        assert caller.refused(409, "credentials_missing", "POST", path, {"content": "Hello"}) == {}
        assert caller.get("/users/me")["api_integration_details"]["openai"]["api_key_hint"] is None
