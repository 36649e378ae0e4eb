"""`/v1/models`: agents by id and by slug, and never another user's."""

from typing import Any

import pytest

from bot.access.keys import issue_key
from tests.integration.api.caller import Caller
from tests.integration.openai_api.conftest import Call, refused, v1


def ids(caller: Caller) -> list[str]:
    return [each["id"] for each in v1(caller, "GET", "/models").get_json()["data"]]


def test_a_callers_agents_are_listed_by_their_slugs(ann: Caller, call: Call) -> None:
    first, second = ann.agent(name="Travel guide"), ann.agent(name="Émile & Co. (2)")
    listed = call("GET", "/models").get_json()
    assert listed["object"] == "list"
    assert [(each["id"], each["agent_id"]) for each in listed["data"]] == [
        ("travel-guide", first),
        ("émile-co-2", second),
    ]
    assert all(set(each) == {"id", "object", "created", "owned_by", "agent_id", "name"} for each in listed["data"])
    assert all(each["owned_by"] == ann.id and each["object"] == "model" for each in listed["data"])


@pytest.mark.parametrize("by", ["id", "agent_id"])
def test_a_listed_model_is_read_by_its_slug_and_by_its_agents_id(ann: Caller, call: Call, by: str) -> None:
    ann.agent(name="Travel guide")
    (listed,) = call("GET", "/models").get_json()["data"]
    assert call("GET", f"/models/{listed[by]}").get_json() == {**listed, "id": listed[by]}


def test_an_agent_whose_name_has_no_letters_is_listed_by_its_id(ann: Caller, call: Call) -> None:
    agent = ann.agent(name="!?")
    assert ids(ann) == [agent]
    assert call("GET", f"/models/{agent}").get_json()["name"] == "!?"


def test_a_slug_that_two_agents_have_names_neither(ann: Caller, call: Call) -> None:
    two = [ann.agent(name="Guide"), ann.agent(name="guide!")]
    assert ids(ann) == two
    error = refused(404, "model_not_found", call("GET", "/models/guide"))
    assert all(agent in error["message"] for agent in two)
    assert [call("GET", f"/models/{agent}").get_json()["id"] for agent in two] == two


def test_another_users_agent_has_a_slug_that_cannot_hide_the_callers_own(ann: Caller, bob: Caller, call: Call) -> None:
    mine, theirs = ann.agent(name="Guide"), bob.agent(name="Guide")
    bob.make(f"/agents/{theirs}/shares", user_id=ann.id)
    assert ids(ann) == ["guide", "shared:guide"]
    assert call("GET", "/models/guide").get_json()["agent_id"] == mine
    shared = call("GET", "/models/shared:guide").get_json()
    assert (shared["agent_id"], shared["owned_by"]) == (theirs, "shared")
    assert bob.id not in str(shared)
    assert call("GET", f"/models/{theirs}").get_json() == {**shared, "id": theirs}


def test_an_agent_that_is_no_longer_shared_is_gone(ann: Caller, bob: Caller, call: Call) -> None:
    agent = bob.agent(name="Guide")
    bob.make(f"/agents/{agent}/shares", user_id=ann.id)
    bob.delete(f"/agents/{agent}/shares/{ann.id}")
    assert ids(ann) == []
    for name in (agent, "shared:guide"):
        refused(404, "model_not_found", call("GET", f"/models/{name}"))


def told(caller: Caller, name: str) -> tuple[int, Any]:
    answer = v1(caller, "GET", f"/models/{name}")
    return answer.status_code, answer.text.replace(name, "…")


def test_another_users_agent_answers_exactly_like_a_missing_one(ann: Caller, bob: Caller) -> None:
    bobs = bob.agent(name="Guide")
    missing = bobs[:-1] + ("0" if bobs[-1] != "0" else "1")
    assert told(ann, bobs) == told(ann, missing)
    assert told(ann, "guide") == told(ann, "nobody")
    assert told(ann, bobs)[0] == 404


@pytest.mark.parametrize(
    "name", ["gpt-4o", "ft:gpt-4o:org", "agt_none", "agt_a%23b", "%00", "a/b", "x" * 401, "shared:"]
)
def test_an_unknown_model_is_not_found(call: Call, name: str) -> None:
    answer = call("GET", f"/models/{name}")
    if len(name) > 400:
        assert refused(400, "invalid_value", answer)["param"] == "model"
    else:
        assert refused(404, "model_not_found", answer)["param"] == "model"


def test_a_key_of_one_agent_sees_only_that_agent(ann: Caller, app: Any) -> None:
    mine, other = ann.agent(name="Guide"), ann.agent(name="Cook")
    limited = Caller(app, ann.user)
    key, _ = issue_key(ann.user, scope="agent", agent_id=mine)
    limited.client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {key}"
    assert ids(limited) == ["guide"]
    assert v1(limited, "GET", f"/models/{mine}").get_json()["name"] == "Guide"
    assert v1(limited, "GET", "/models/guide").get_json()["agent_id"] == mine
    for name in (other, "cook"):
        refused(404, "model_not_found", v1(limited, "GET", f"/models/{name}"))
