"""Shared agents through the API: users talk to them, but see neither their configuration nor one another."""

from pathlib import Path
from typing import Any

import pytest
from flask_openapi import OpenAPI

from bot.llm.providers import Providers
from models.measure.probe import Probe
from models.table.connection import TableSettings
from tests.integration.api.caller import Caller
from tests.integration.api.conftest import make_app
from tests.model_server import ModelServer, _model_server, model_server

__all__ = ["_model_server", "model_server"]

MARKER = "The vault's code is 4711."
SECRET = "sk-of-the-owner-0123456789abcdef"
SETUP = {
    "system_message": MARKER,
    "functions": [{"name": "open_vault", "description": "Opens it."}],
    "settings": {"temperature": 0.25},
    "description": "Knows the town.",
}


def shared(owner: Caller, *friends: Caller, **details: Any) -> str:
    """Return the id of a new agent of `owner`, shared with `friends`."""
    agent_id = owner.agent(**{**SETUP, **details})
    for friend in friends:
        owner.make(f"/agents/{agent_id}/shares", user_id=friend.id)
    return agent_id


def missing(agent_id: str) -> str:
    """Return an id that was never issued."""
    return agent_id[:-1] + ("0" if agent_id[-1] != "0" else "1")


def told(caller: Caller, method: str, path: str, body: Any = None) -> Any:
    """Return the status and the body of an answer, without the request id."""
    answer = caller.call(method, path, body)
    document = answer.get_json()
    document.pop("request_id", None)
    return answer.status_code, document


def test_a_shared_agent_shows_only_its_name_and_description(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann, bob)
    shown = {"id": agent_id, "name": "Ada", "description": "Knows the town.", "published": False}
    assert bob.get(f"/shared-agents/{agent_id}") == shown
    assert shown in bob.get("/shared-agents")["data"]
    assert told(bob, "GET", f"/agents/{agent_id}")[0] == 404
    assert agent_id not in str(bob.get("/agents"))
    mine = ann.get(f"/agents/{agent_id}")
    assert (mine["shared_with"], mine["published"]) == ([bob.id], False)


def test_others_talk_to_it_without_seeing_its_configuration(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann, bob)
    conversation = f"/conversations/{bob.conversation(agent_id)}"
    answers = [
        bob.call("POST", f"{conversation}/messages", {"content": "Hello"}),
        bob.call("POST", f"{conversation}/messages", {"content": "And now?"}),
        bob.call("GET", conversation),
        bob.call("GET", f"{conversation}/messages"),
        bob.call("GET", f"/agents/{agent_id}/conversations"),
        bob.call("GET", "/shared-agents"),
        bob.call("GET", f"/shared-agents/{agent_id}"),
    ]
    answers.append(bob.call("GET", f"/turns/{answers[0].get_json()['turn']['id']}"))
    for answer in answers:
        assert answer.status_code in (200, 201), answer.text
        for hidden in (MARKER, "open_vault", "temperature", "0.25", ann.id, ann.user.email):
            assert hidden not in answer.text, answer.request.path
    assert answers[2].get_json()["message_count"] == 4


def test_its_owner_sees_nothing_of_other_users_conversations(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann, bob)
    conversation_id = bob.conversation(agent_id)
    result = bob.make(f"/conversations/{conversation_id}/messages", content="My secret wish")
    paths = [
        f"/conversations/{conversation_id}",
        f"/conversations/{conversation_id}/messages",
        f"/conversations/{conversation_id}/messages/{result['input'][0]['id']}",
        f"/turns/{result['turn']['id']}",
    ]
    for path in paths:
        assert told(ann, "GET", path)[0] == 404, path
    assert told(ann, "DELETE", f"/conversations/{conversation_id}")[0] == 404
    assert ann.get(f"/agents/{agent_id}/conversations")["data"] == []
    assert ann.get("/conversations")["data"] == []
    assert bob.get(f"/conversations/{conversation_id}")["message_count"] == 2


@pytest.mark.parametrize("known", [True, False])
def test_an_unshared_agent_no_longer_answers_but_messages_can_be_read(
    ann: Caller, bob: Caller, table: TableSettings, tmp_path: Path, known: bool
) -> None:
    agent_id = shared(ann, bob)
    conversation = f"/conversations/{bob.conversation(agent_id)}"
    bob.make(f"{conversation}/messages", content="Hello")

    ann.delete(f"/agents/{agent_id}/shares/{bob.id}")

    # In the process that has cached the conversation, and in one that has not.
    caller = bob if known else Caller(make_app(table, tmp_path), bob.user)
    for path, body in ((f"{conversation}/messages", {"content": "And now?"}), (f"{conversation}/turns", {})):
        caller.refused(409, "agent_unavailable", "POST", path, body)
    assert [each["content"] for each in caller.get(conversation)["messages"]] == ["Hello", "You said: Hello"]
    assert told(caller, "POST", "/conversations", {"agent_id": agent_id}) == told(
        caller, "POST", "/conversations", {"agent_id": missing(agent_id)}
    )
    assert told(caller, "GET", f"/shared-agents/{agent_id}")[0] == 404
    assert told(caller, "GET", f"/agents/{agent_id}/conversations")[0] == 404
    ann.make(f"/agents/{agent_id}/shares", email=bob.user.email.upper())
    assert caller.make(f"{conversation}/messages", content="And now?")["turn"]["status"] == "completed"


def test_when_the_agent_is_deleted_other_users_keep_their_conversations(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann, bob)
    mine = ann.conversation(agent_id)
    conversation = f"/conversations/{bob.conversation(agent_id)}"
    bob.make(f"{conversation}/messages", content="Hello")

    ann.call("DELETE", f"/agents/{agent_id}")

    bob.refused(409, "agent_unavailable", "POST", f"{conversation}/messages", {"content": "And now?"})
    assert bob.get(conversation)["message_count"] == 2
    assert agent_id not in str(bob.get("/shared-agents"))
    assert told(ann, "GET", f"/conversations/{mine}")[0] == 404
    bob.call("DELETE", conversation)
    assert told(bob, "GET", conversation)[0] == 404


def test_a_published_agent_is_usable_by_everybody(ann: Caller, bob: Caller, new_caller: Any) -> None:
    agent_id = shared(ann)
    assert ann.put(f"/agents/{agent_id}/publication", published=True)["published"]
    for caller in (bob, new_caller()):
        assert agent_id in [each["id"] for page in caller.pages("/shared-agents", limit=2) for each in page]
        conversation = f"/conversations/{caller.conversation(agent_id)}"
        assert caller.make(f"{conversation}/messages", content="Hello")["turn"]["status"] == "completed"
    assert not ann.put(f"/agents/{agent_id}/publication", published=False)["published"]
    bob.refused(404, "not_found", "GET", f"/shared-agents/{agent_id}")


def test_a_published_agent_opens_no_conversation_of_others(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann)
    ann.put(f"/agents/{agent_id}/publication", published=True)
    conversation_id = ann.conversation(agent_id)
    ann.make(f"/conversations/{conversation_id}/messages", content="Hello")
    path = f"/conversations/{conversation_id}/messages"
    other = f"/conversations/{missing(conversation_id)}/messages"
    assert told(bob, "POST", path, {"content": "x"}) == told(bob, "POST", other, {"content": "x"})
    ann.put(f"/agents/{agent_id}/publication", published=False)


def test_using_an_agent_does_not_include_changing_it(ann: Caller, bob: Caller) -> None:
    agent_id = shared(ann, bob)
    for method, path, body in (
        ("PATCH", f"/agents/{agent_id}", {"name": "Mine"}),
        ("DELETE", f"/agents/{agent_id}", None),
        ("POST", f"/agents/{agent_id}/shares", {"email": "nobody@example.com"}),
        ("POST", f"/agents/{agent_id}/shares", {"user_id": bob.id}),
        ("DELETE", f"/agents/{agent_id}/shares/{bob.id}", None),
        ("PUT", f"/agents/{agent_id}/publication", {"published": True}),
    ):
        other = path.replace(agent_id, missing(agent_id))
        assert told(bob, method, path, body) == told(bob, method, other, body)
        assert told(bob, method, path, body)[0] == 404
    assert ann.get(f"/agents/{agent_id}")["name"] == "Ada"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "user_id"),
        ({"user_id": "usr_none"}, "user_id"),
        ({"email": "nobody@example.com"}, "email"),
        ({"email": "nobody@example.com", "user_id": "usr_none"}, "user_id"),
        ({"email": "no email"}, "email"),
        ({"user_id": "a#b"}, "user_id"),
    ],
)
def test_it_is_shared_only_with_an_existing_user(ann: Caller, body: Any, field: str) -> None:
    assert field in ann.refused(422, "validation_failed", "POST", f"/agents/{ann.agent()}/shares", body)


def test_it_is_not_shared_with_oneself(ann: Caller) -> None:
    path = f"/agents/{ann.agent()}/shares"
    for body in ({"user_id": ann.id}, {"email": ann.user.email}):
        assert set(body) == set(ann.refused(422, "validation_failed", "POST", path, body))


def test_a_missing_share_cannot_be_removed(ann: Caller, bob: Caller) -> None:
    agent_id = ann.agent()
    assert told(ann, "DELETE", f"/agents/{agent_id}/shares/{bob.id}") == told(
        ann, "DELETE", f"/agents/{agent_id}/shares/usr_none"
    )


def test_a_turn_with_another_users_agent_costs_no_more_than_with_ones_own(ann: Caller, bob: Caller) -> None:
    costs = []
    for caller, agent_id in ((ann, ann.agent()), (bob, shared(ann, bob, system_message=None, functions=[]))):
        path = f"/conversations/{caller.conversation(agent_id)}/messages"
        caller.make(path, content="Hello")
        probe = Probe()
        with probe.recording() as exchanges:
            caller.make(path, content="Hello")
        costs.append([exchange.operation for exchange in exchanges])
    assert costs[0] == costs[1]
    assert len(costs[1]) == 4


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, model_server: ModelServer) -> Any:
    """The credentials of the provider calls; None are the deployment's."""
    seen: list[Any] = []
    plain = Providers.get

    def get(self: Providers, name: str, credentials: Any = None) -> Any:
        seen.append(credentials)
        return plain(self, name, credentials)

    monkeypatch.setattr(Providers, "get", get)
    return seen


DEPLOYMENT = None


@pytest.mark.parametrize(
    ("agent", "stored", "expected"),
    [
        ({}, {}, DEPLOYMENT),
        ({"credentials": "own"}, {}, DEPLOYMENT),
        ({"credentials": "own", "share_credentials": True}, {}, SECRET),
        ({"credentials": "own", "share_credentials": True}, {"base_url": "https://models.example.com/v1"}, DEPLOYMENT),
        ({"credentials": "own", "share_credentials": True}, None, DEPLOYMENT),
        ({"credentials": "deployment", "share_credentials": True}, {}, DEPLOYMENT),
    ],
)
def test_the_owners_credentials_are_used_for_others_only_if_lent(
    table: TableSettings,
    tmp_path: Path,
    asked: Any,
    model_server: ModelServer,
    agent: dict[str, Any],
    stored: dict[str, str] | None,
    expected: str | None,
) -> None:
    app = make_app(table, tmp_path, openai_api_key="sk-of-the-deployment", openai_base_url=model_server.base_url)
    owner, friend = Caller(app), Caller(app)
    if stored is not None:
        owner.patch("/users/me", api_integration_details={"openai": {"api_key": SECRET, **stored}})
    # The friend also has a key, but the owner chose where the agent's requests go, so it is never sent there.
    friend.patch("/users/me", api_integration_details={"openai": {"api_key": "sk-of-the-friend-0123456789"}})
    agent_id = shared(owner, friend, provider="openai", model="gpt-test", **agent)
    friend.make(f"/conversations/{friend.conversation(agent_id)}/messages", content="Hello")
    (credentials,) = asked
    assert (credentials.api_key if credentials else None) == expected
    app.extensions["bot"].providers.close()


def test_without_usable_credentials_the_turn_says_so(app: OpenAPI, ann: Caller, bob: Caller) -> None:
    ann.patch("/users/me", api_integration_details={"openai": {"api_key": SECRET}})
    bob.patch("/users/me", api_integration_details={"openai": {"api_key": SECRET}})
    agent_id = shared(ann, bob, provider="openai", model="gpt-test", credentials="own")
    path = f"/conversations/{bob.conversation(agent_id)}/messages"
    bob.refused(503, "not_configured", "POST", path, {"content": "Hello"})
