"""Agents: only the name is required, and everything else can be set."""

from typing import Any, get_args

import pytest

from bot.api.agents import ProviderName
from bot.llm.providers import PROVIDER_NAMES
from tests.integration.api.caller import Caller

FUNCTION = {
    "name": "get_weather",
    "description": "The weather in a place.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"type": "string"}, "unit": {"enum": ["C", "F", None], "default": None}},
        "required": ["place"],
    },
    "strict": True,
}
SETTINGS = {
    "temperature": 0.5,
    "top_p": 1,
    "max_tokens": 200,
    "stop": ["END"],
    "presence_penalty": -2,
    "frequency_penalty": 0.25,
    "seed": 7,
    "tool_choice": "auto",
    "parallel_tool_calls": False,
    "window": 10,
    "context_tokens": 4000,
}


def test_a_name_is_enough(ann: Caller) -> None:
    made = ann.make("/agents", name="Ada")
    assert made == {
        "id": made["id"],
        "user_id": ann.id,
        "name": "Ada",
        "description": None,
        "provider": "echo",
        "model": "echo",
        "credentials": "deployment",
        "published": False,
        "shared_with": [],
        "share_credentials": False,
        "system_message": None,
        "functions": [],
        "settings": {},
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert ann.get(f"/agents/{made['id']}") == made


def test_an_agents_fields_are_stored_as_sent(ann: Caller) -> None:
    said: dict[str, Any] = {
        "name": "Ada",
        "description": "Knows the weather.",
        "provider": "openai",
        "model": "gpt-test",
        "credentials": "own",
        "system_message": "You are Ada.",
        "functions": [FUNCTION, {"name": "now", "parameters": {"type": "object", "properties": {}}}],
        "settings": SETTINGS,
    }
    made = ann.make("/agents", **said)
    assert {name: made[name] for name in said} == said
    assert ann.get(f"/agents/{made['id']}") == made


def test_an_agent_may_name_every_existing_provider() -> None:
    assert get_args(ProviderName) == PROVIDER_NAMES


def test_a_provider_without_a_model_has_that_providers_default(ann: Caller) -> None:
    assert ann.make("/agents", name="Ada", provider="openai")["model"].startswith("gpt-")
    assert ann.make("/agents", name="Ada", provider="embedded")["model"] == "embedded"


def test_a_patch_changes_what_it_names_counts_up_and_merges_the_settings(ann: Caller) -> None:
    agent_id = ann.agent(system_message="Old.", settings=SETTINGS, functions=[FUNCTION])

    after = ann.patch(f"/agents/{agent_id}", system_message="New.", settings={"temperature": None, "seed": 8})

    assert after["version"] == 2
    assert after["system_message"] == "New."
    assert after["functions"] == [FUNCTION]
    assert after["settings"] == {**{n: v for n, v in SETTINGS.items() if n != "temperature"}, "seed": 8}
    assert after["updated_at"] > after["created_at"]
    assert ann.get(f"/agents/{agent_id}") == after


def test_null_removes_an_optional_field(ann: Caller) -> None:
    agent_id = ann.agent(description="A", system_message="B", functions=[FUNCTION])
    after = ann.patch(f"/agents/{agent_id}", description=None, system_message=None, functions=None)
    assert (after["description"], after["system_message"], after["functions"]) == (None, None, [])


def test_null_leaves_a_required_field_unchanged(ann: Caller) -> None:
    agent_id = ann.agent(settings=SETTINGS)
    before = ann.get(f"/agents/{agent_id}")
    nulls = dict.fromkeys(("name", "provider", "model", "credentials", "settings"))
    assert ann.patch(f"/agents/{agent_id}", **nulls) == before


def test_a_patch_of_nothing_changes_nothing(ann: Caller) -> None:
    agent_id = ann.agent()
    before = ann.get(f"/agents/{agent_id}")
    assert ann.patch(f"/agents/{agent_id}") == before
    assert ann.call("PATCH", f"/agents/{agent_id}").get_json() == before


@pytest.mark.parametrize(
    ("details", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"provider": "skynet"}, "provider"),
        ({"model": "two words"}, "model"),
        ({"credentials": "stolen"}, "credentials"),
        ({"system_message": "x" * 65_537}, "system_message"),
        ({"functions": {}}, "functions"),
        ({"functions": [{"name": "a b"}]}, "functions.0.name"),
        ({"functions": [FUNCTION, {"description": "no name"}]}, "functions.1.name"),
        ({"functions": [{"name": "f", "parameters": []}]}, "functions.0.parameters"),
        ({"functions": [{"name": "f", "unknown": 1}]}, "functions.0.unknown"),
        ({"functions": [{"name": f"f{n}"} for n in range(129)]}, "functions"),
        ({"settings": {"temperature": 2.1}}, "settings.temperature"),
        ({"settings": {"temperature": "1"}}, "settings.temperature"),
        ({"settings": {"temperature": True}}, "settings.temperature"),
        ({"settings": {"top_p": 0}}, "settings.top_p"),
        ({"settings": {"max_tokens": 0}}, "settings.max_tokens"),
        ({"settings": {"max_tokens": 1.5}}, "settings.max_tokens"),
        ({"settings": {"seed": 2**60}}, "settings.seed"),
        ({"settings": {"stop": ["a", "b", "c", "d", "e"]}}, "settings.stop"),
        ({"settings": {"stop": [""]}}, "settings.stop.0"),
        ({"settings": {"stop": "END"}}, "settings.stop"),
        ({"settings": {"tool_choice": "maybe"}}, "settings.tool_choice"),
        ({"settings": {"window": 201}}, "settings.window"),
        ({"settings": {"context_tokens": 255}}, "settings.context_tokens"),
        ({"settings": {"unknown": 1}}, "settings.unknown"),
        ({"version": 3}, "version"),
        ({"user_id": "usr_x"}, "user_id"),
    ],
)
def test_what_is_not_allowed_is_refused_by_its_path(ann: Caller, details: dict[str, Any], field: str) -> None:
    assert list(ann.refused(422, "validation_failed", "POST", "/agents", {"name": "Ada", **details})) == [field]


def test_a_whole_number_may_be_written_with_a_point(ann: Caller) -> None:
    assert ann.make("/agents", name="Ada", settings={"max_tokens": 5.0, "seed": -1.0})["settings"] == {
        "max_tokens": 5,
        "seed": -1,
    }


def test_a_deleted_agent_is_gone_with_its_conversations(ann: Caller) -> None:
    agent_id, other = ann.agent(), ann.agent()
    conversation_id, kept = ann.conversation(agent_id), ann.conversation(other)
    ann.say(conversation_id, "Hello")

    ann.delete(f"/agents/{agent_id}")

    ann.refused(404, "not_found", "GET", f"/agents/{agent_id}")
    ann.refused(404, "not_found", "DELETE", f"/agents/{agent_id}")
    ann.refused(404, "not_found", "GET", f"/conversations/{conversation_id}")
    assert [each["id"] for each in ann.get("/agents")["data"]] == [other]
    assert [each["id"] for each in ann.get("/conversations")["data"]] == [kept]


def test_agents_are_listed_in_the_order_of_their_creation(ann: Caller, bob: Caller) -> None:
    made = [ann.agent(name=f"Agent {number}") for number in range(3)]
    bob.agent()
    assert [each["id"] for each in ann.get("/agents")["data"]] == made
