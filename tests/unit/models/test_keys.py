"""Each key is rendered from the item's fields and parses to them, and no two sets of fields share a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.conversation import Conversation
from models.message import Message
from models.state import ConversationState
from models.table import clock
from models.table.errors import InvalidKeyField
from models.table.indexes import INDEXES
from models.table.item import Item
from models.table.keys import MAX_KEY_BYTES, Key, KeyTemplate
from models.turn import Turn

TEMPLATES = sorted(
    {
        attribute.template.text
        for entity in Item.entities().values()
        for attribute in entity.get_attributes().values()
        if isinstance(attribute, Key)
    }
)
ALLOWED = st.text(st.characters(exclude_characters="#", exclude_categories=("Cc", "Cs")), min_size=1, max_size=60)


@st.composite
def templates_with_fields(draw: st.DrawFn, sets: int = 1) -> tuple[KeyTemplate, list[dict[str, str]]]:
    template = KeyTemplate(draw(st.sampled_from(TEMPLATES)))
    return template, [{field: draw(ALLOWED) for field in template.fields} for _ in range(sets)]


@given(templates_with_fields())
def test_a_key_parses_to_its_fields(case: tuple[KeyTemplate, list[dict[str, str]]]) -> None:
    template, (fields,) = case
    assert template.parse(template.render(**fields)) == fields


@given(templates_with_fields(sets=2))
def test_different_fields_make_different_keys(case: tuple[KeyTemplate, list[dict[str, str]]]) -> None:
    template, (one, other) = case
    assert (template.render(**one) == template.render(**other)) == (one == other)


@given(st.lists(ALLOWED, min_size=3, max_size=3))
def test_no_two_entities_share_the_keys_of_an_item(values: list[str]) -> None:
    def rendered(template: KeyTemplate) -> str:
        return template.render(**dict(zip(template.fields, values, strict=False)))

    for entity in Item.entities().values():
        partition, sort = rendered(entity.PK.template), rendered(entity.SK.template)
        claimed = [
            other
            for other in Item.entities().values()
            if other.PK.template.parse(partition) is not None and other.SK.template.parse(sort) is not None
        ]
        assert claimed == [entity]


@pytest.mark.parametrize("text", [text for text in TEMPLATES if "{" in text])
@pytest.mark.parametrize(
    "value",
    [
        "",
        "#",
        "a#b",
        "\x00",
        "a\nb",
        "\x1f",
        "\x7f",
        "\x85",
        "\x9f",
        "\ud800",
        "a\udfffb",
        None,
        7,
        "x" * 1025,
        "ü" * 513,
    ],
)
def test_a_value_that_is_not_allowed_in_a_key_is_refused_by_field_name(text: str, value: object) -> None:
    template = KeyTemplate(text)
    for field in template.fields:
        fields: dict[str, object] = {**dict.fromkeys(template.fields, "fine"), field: value}
        with pytest.raises(InvalidKeyField) as refusal:
            template.render(**fields)
        if isinstance(value, str) and len(value) > 100:
            assert refusal.value.field in template.fields
        else:
            assert refusal.value.field == field


def test_a_refusal_does_not_quote_the_value() -> None:
    with pytest.raises(InvalidKeyField) as refusal:
        KeyTemplate("EMAIL#{email}").render(email="secret#person@example.com")
    assert "secret" not in str(refusal.value)


def test_a_missing_field_is_refused() -> None:
    with pytest.raises(InvalidKeyField, match="user_id"):
        KeyTemplate("USER#{user_id}").render()


def test_a_key_cannot_be_longer_than_dynamodb_allows() -> None:
    longest = "x" * (MAX_KEY_BYTES - len("USER#"))
    assert len(KeyTemplate("USER#{user_id}").render(user_id=longest)) == MAX_KEY_BYTES
    with pytest.raises(InvalidKeyField, match="1024 bytes"):
        KeyTemplate("USER#{user_id}").render(user_id=longest + "x")


@pytest.mark.parametrize("key", ["", "USER#", "USER", "AGENT#a", "USER#a#b", "XUSER#a"])
def test_a_key_of_another_template_is_not_parsed(key: str) -> None:
    assert KeyTemplate("USER#{user_id}").parse(key) is None


def test_braces_in_a_value_are_only_text() -> None:
    assert KeyTemplate("{status}#{listed_at}").render(status="{listed_at}", listed_at="{0}") == "{listed_at}#{0}"


def test_a_conversation_sorts_state_before_messages_before_its_header() -> None:
    state = ConversationState.SK.template.render(kind="session", key="\U0010ffff")
    first, last = (Message.SK.template.render(ts=ts) for ts in ("0001-01-01T00:00:00.000000Z", "~"))
    assert state < first < last < Conversation.SK.template.text


def test_a_key_cannot_be_assigned_away_from_its_fields() -> None:
    turn = Turn(user_id="usr_1", turn_id="turn_1")
    turn.SK = "TURN#turn_2"
    assert (turn.turn_id, turn.SK) == ("turn_1", "TURN#turn_1")


def test_reading_a_key_fills_its_fields() -> None:
    moment = clock.now()
    message = Message()
    message.PK, message.SK = "CONV#conv_1", f"MSG#{clock.to_timestamp(moment)}"
    assert (message.conversation_id, message.ts) == ("conv_1", moment)


def test_reading_a_key_with_another_format_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not match"):
        Message().SK = "THREAD"


def test_an_index_key_is_absent_until_all_its_fields_have_a_value() -> None:
    conversation = Conversation(conversation_id="conv_1", user_id="usr_1")
    assert conversation.user_activity is None
    assert conversation.user_agent is None
    conversation.listed_at, conversation.agent_id = clock.now(), "agt_1"
    assert conversation.user_activity == f"active#{clock.to_timestamp(conversation.listed_at)}#conv_1"
    assert conversation.user_agent == "USER#usr_1#AGENT#agt_1"


def test_every_index_key_is_an_attribute_that_some_entity_declares() -> None:
    declared = {name for entity in Item.entities().values() for name in entity.get_attributes()}
    for index in INDEXES:
        assert {index.partition_key, *([index.sort_key] if index.sort_key else []), *index.includes} <= declared
