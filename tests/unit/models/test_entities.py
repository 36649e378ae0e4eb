"""Each entity has the attributes of the design, under their names, and stores nothing twice."""

import pytest

from models.agent import Agent
from models.conversation import Conversation
from models.message import Message
from models.state import ConversationState, UserState
from models.table.item import Item
from models.table.keys import Key, KeyField, KeyMoment
from models.turn import Turn
from models.user import EmailClaim, User

# The names of the source documents, in our spelling, and those of the design's table.
DESIGN: dict[type[Item], set[str]] = {
    User: {
        "user_id",
        "name",
        "email",
        "preferences",
        "settings",
        "api_integration_details",
        "created_at",
        "last_active_at",
        "status",
    },
    EmailClaim: {"email", "user_id"},
    Agent: {"user_id", "agent_id", "provider", "model", "system_message", "functions", "settings", "version", "name"},
    Conversation: {
        "conversation_id",
        "user_id",
        "agent_id",
        "title",
        "status",
        "started_at",
        "last_active_at",
        "message_count",
        "turn_count",
        "input_tokens",
        "output_tokens",
        "fence",
        "lease_turn",
        "lease_expires_at",
    },
    Message: {
        "conversation_id",
        "message_id",
        "sender",
        "role",
        "type",
        "content",
        "attributes",
        "llm_response_id",
        "turn_id",
        "ts",
    },
    Turn: {"turn_id", "user_id", "conversation_id", "agent_id", "status", "error", "partial_text"},
    UserState: {"user_id", "kind", "key", "value", "version", "expires_at"},
    ConversationState: {"conversation_id", "kind", "key", "value", "version", "expires_at"},
}
KEYS = {
    "User": ("USER#{user_id}", "PROFILE"),
    "EmailClaim": ("EMAIL#{email}", "EMAIL"),
    "Agent": ("USER#{user_id}", "AGENT#{agent_id}"),
    "ApiKey": ("APIKEY#{key_hash}", "KEY"),
    "ApiKeyEntry": ("USER#{user_id}", "KEY#{key_id}"),
    "Conversation": ("CONV#{conversation_id}", "THREAD"),
    "Message": ("CONV#{conversation_id}", "MSG#{ts}"),
    "Turn": ("USER#{user_id}#TURNS", "TURN#{turn_id}"),
    "UserState": ("USER#{user_id}", "KV#{kind}#{key}"),
    "ConversationState": ("CONV#{conversation_id}", "KV#{kind}#{key}"),
}
ENTITIES = [pytest.param(entity, id=name) for name, entity in Item.entities().items()]


@pytest.mark.parametrize(("entity", "names"), [pytest.param(*each, id=each[0].__name__) for each in DESIGN.items()])
def test_the_attributes_are_those_of_the_design(entity: type[Item], names: set[str]) -> None:
    assert names <= entity.get_attributes().keys()


def test_the_keys_are_those_of_the_design() -> None:
    stored = {name: (entity.PK.template.text, entity.SK.template.text) for name, entity in Item.entities().items()}
    assert KEYS.items() <= stored.items()


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_entity_has_type_and_ttl(entity: type[Item]) -> None:
    assert {"entity", "expires_at", "PK", "SK"} <= entity.get_attributes().keys()
    assert Item.entities()[entity.ENTITY] is entity


@pytest.mark.parametrize("entity", ENTITIES)
def test_a_field_that_is_stored_only_in_keys_is_in_a_key_of_the_table(entity: type[Item]) -> None:
    attributes = entity.get_attributes()
    in_keys = {field for each in attributes.values() if isinstance(each, Key) for field in each.template.fields}
    alone = {name for name, each in attributes.items() if isinstance(each, KeyField | KeyMoment)}
    assert alone <= in_keys


@pytest.mark.parametrize("entity", ENTITIES)
def test_the_fields_of_every_key_are_attributes(entity: type[Item]) -> None:
    attributes = entity.get_attributes()
    for each in attributes.values():
        if isinstance(each, Key):
            assert set(each.template.fields) <= attributes.keys()


def test_two_entities_cannot_have_the_same_name() -> None:
    with pytest.raises(TypeError, match="Message"):
        type("Another", (Item,), {"ENTITY": "Message"})
