"""A reader sees each item as its own type, or not at all; items of unknown types are skipped and logged."""

import logging
from datetime import timedelta
from typing import Any

import pytest
from pynamodb.exceptions import AttributeDeserializationError
from pynamodb.models import Model

from models.conversation import Conversation
from models.export.samples import sample_of
from models.message import Message
from models.table import clock
from models.table.item import DELETING, Item, decode, expiry
from models.user import User
from tests.fake_clock import FakeClock


def raw(item: Item, **more: Any) -> dict[str, Any]:
    return {**item.serialize(), **more}


def message(**fields: Any) -> Message:
    details = {"conversation_id": "conv_1", "ts": clock.now(), "message_id": "msg_1", "sender": "user", "role": "user"}
    return Message(**{**details, "content": "Hello", **fields})


def conversation(**fields: Any) -> Conversation:
    moment = clock.now()
    details = {"conversation_id": "conv_1", "user_id": "usr_1", "agent_id": "agt_1", "started_at": moment}
    return Conversation(**{**details, "last_active_at": moment, "listed_at": moment, **fields})


def test_a_mixed_page_is_decoded_item_by_item() -> None:
    assert [type(decode(raw(each))) for each in (message(), conversation())] == [Message, Conversation]


def test_an_item_reads_back_unchanged() -> None:
    before = message(attributes={"call_id": "c1", "deep": {"a": [1, None]}}, turn_id="turn_1")
    after = decode(raw(before))
    assert isinstance(after, Message)
    assert after.serialize() == before.serialize()
    assert (after.ts, after.conversation_id, after.attributes) == (before.ts, "conv_1", before.attributes)


def test_an_unknown_attribute_of_a_newer_version_is_harmless() -> None:
    assert isinstance(decode(raw(message(), reactions={"SS": ["+1"]})), Message)


@pytest.mark.parametrize("entity", [{"S": "Reaction"}, {"S": ""}, None])
def test_an_unknown_type_is_skipped_and_logged(entity: dict[str, str] | None, caplog: pytest.LogCaptureFixture) -> None:
    item = raw(message())
    del item["entity"]
    with caplog.at_level(logging.WARNING, "models"):
        assert decode({**item, **({"entity": entity} if entity else {})}) is None
    (record,) = caplog.records
    assert "CONV#conv_1" in record.getMessage()
    assert repr((entity or {}).get("S", "")) in record.getMessage()
    assert "Hello" not in record.getMessage()


def test_an_item_is_hidden_from_the_second_it_expires(fake_clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    ends = fake_clock.moment + timedelta(seconds=10)
    item = raw(message(expires_at=expiry(ends)))
    assert decode(item) is not None
    fake_clock.moment = ends
    fake_clock.advance(seconds=-0.001)
    assert decode(item) is not None
    fake_clock.advance(seconds=1)
    assert decode(item) is None
    assert not caplog.records


def test_expiry_is_rounded_up_so_that_nothing_expires_early(fake_clock: FakeClock) -> None:
    moment = fake_clock.moment.replace(microsecond=1)
    seconds = expiry(moment)
    assert seconds is not None
    assert moment.timestamp() < seconds < moment.timestamp() + 1
    assert expiry(moment.replace(microsecond=0)) == int(moment.timestamp())
    assert expiry(None) is None


def test_an_item_whose_removal_has_begun_is_hidden() -> None:
    moment = clock.now()
    user = User(user_id="usr_1", email="a@b.c", created_at=moment, updated_at=moment, last_active_at=moment)
    assert decode(raw(user)) is not None
    for item in (user, conversation()):
        assert decode(raw(item, status={"S": DELETING})) is None


def test_an_index_entry_has_the_fields_of_its_keys() -> None:
    before = conversation(status="archived", title="T")
    names = {"PK", "SK", "user_id", "user_activity", "agent_id", "title", "started_at"}
    after = decode({name: value for name, value in raw(before).items() if name in names}, Conversation)
    assert isinstance(after, Conversation)
    assert (after.conversation_id, after.status, after.listed_at) == ("conv_1", "archived", before.listed_at)


@pytest.mark.parametrize("entity", Item.entities().values(), ids=lambda entity: entity.ENTITY)
@pytest.mark.parametrize("part", ["whole", "keys alone", "with nulls"])
def test_an_entity_is_decoded_like_pynamodb_does(entity: type[Item], part: str) -> None:
    given = dict(sample_of(entity).serialize())
    if part == "keys alone":
        given = {name: value for name, value in given.items() if name in ("PK", "SK")}
    if part == "with nulls":
        given = {name: value if name in ("PK", "SK") else {"NULL": True} for name, value in given.items()}
    ours, pynamodbs = Item.from_raw_data.__func__(entity, given), Model.from_raw_data.__func__(entity, given)  # type: ignore[attr-defined]
    assert ours.attribute_values == pynamodbs.attribute_values
    assert type(ours) is type(pynamodbs) is entity


def test_a_value_of_another_type_is_refused_as_pynamodb_refuses_it() -> None:
    with pytest.raises(AttributeDeserializationError, match="message_id"):
        decode(raw(message(), message_id={"N": "1"}))


def test_default_values_are_not_shared_between_items() -> None:
    first, second = (decode({"entity": {"S": "Conversation"}}) for _ in range(2))
    assert isinstance(first, Conversation)
    assert isinstance(second, Conversation)
    assert first.metadata == {}
    assert first.metadata is not second.metadata
