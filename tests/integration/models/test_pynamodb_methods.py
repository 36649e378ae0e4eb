"""PynamoDB's own methods on our items: calling `save()` and the like loses no data."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pynamodb.transactions import TransactGet, TransactWrite

from models.access_patterns.conversations import list_conversations
from models.access_patterns.messages import get_message
from models.access_patterns.states import Owner, get_state, put_state
from models.conversation import Conversation
from models.message import Message
from models.state import ConversationState, UserState
from models.table import clock
from models.table.changes import text_actions
from models.table.connection import client, low_level, settings
from models.table.errors import ContentUnavailable, InvalidValue, ItemTooLarge
from models.table.ids import new_id
from models.table.tenancy import acting_for
from tests.contract_watch import past_the_models
from tests.factories import make_conversation, make_user, noise, say
from tests.raw import stored

pytestmark = pytest.mark.usefixtures("table")

SHORT, LONG, OTHER = "short", "long " * 1000, "other " * 2000
TEXTS = {"short": SHORT, "long": LONG, "another long": OTHER, "incompressible": noise(300_000), "empty": ""}


@pytest.fixture(autouse=True)
def _by_hand() -> Iterator[None]:
    with past_the_models():
        yield


def save(item: Any) -> None:
    item.save()


def batch(item: Any) -> None:
    with type(item).batch_write() as writes:
        writes.save(item)


def transact(item: Any) -> None:
    with TransactWrite(connection=low_level()) as write:
        write.save(item)


def update(item: Any) -> None:
    item.update(actions=text_actions(item))


def transact_update(item: Any) -> None:
    with TransactWrite(connection=low_level()) as write:
        write.update(item, actions=text_actions(item))


WAYS = (save, batch, transact, update, transact_update)


def get(item: Any) -> Any:
    return type(item).get(item.PK, item.SK, consistent_read=True)


def query(item: Any) -> Any:
    (found,) = type(item).query(item.PK, type(item).SK == item.SK, consistent_read=True)
    return found


def batch_get(item: Any) -> Any:
    (found,) = type(item).batch_get([(item.PK, item.SK)], consistent_read=True)
    return found


def transact_get(item: Any) -> Any:
    with TransactGet(connection=low_level()) as read:
        found = read.get(type(item), item.PK, item.SK)
    return found.get()


def refresh(item: Any) -> Any:
    empty = type(item).from_raw_data(stored(item))
    empty.refresh(consistent_read=True)
    return empty


READS = (get, query, batch_get, transact_get, refresh)


def message_of(conversation: Conversation, text: str) -> Message:
    moment = clock.now()
    return Message(
        conversation_id=conversation.conversation_id,
        ts=moment,
        message_id=new_id("msg", moment),
        sender="user",
        role="user",
        content=text,
    )


def content_of(conversation: Conversation, message: Message) -> Any:
    return get_message(acting_for(conversation.user_id), conversation.conversation_id, message.message_id).content


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_a_new_message_can_be_saved(way: Callable[[Any], None], text: str) -> None:
    conversation = make_conversation()
    message = message_of(conversation, text)
    way(message)
    assert content_of(conversation, message) == message.content == text


@pytest.mark.parametrize("after", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("before", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_text_of_a_message_that_was_read_can_be_replaced(
    way: Callable[[Any], None], before: str, after: str
) -> None:
    conversation = make_conversation()
    (message,) = say(conversation, before)
    read = get(message)
    read.content = after
    way(read)
    assert content_of(conversation, message) == read.content == after
    assert len({"content", "packed", "blob"} & stored(message).keys()) == 1


@pytest.mark.parametrize("read", READS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_read_method_returns_the_text(read: Callable[[Any], Any], text: str) -> None:
    (message,) = say(make_conversation(), text)
    assert read(message).content == text


@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_saving_an_item_as_it_was_read_changes_nothing(way: Callable[[Any], None]) -> None:
    (message,) = say(make_conversation(), LONG)
    before = stored(message)
    way(get(message))
    assert stored(message) == before


def test_an_update_loads_the_new_item() -> None:
    (message,) = say(make_conversation(), LONG)
    read, other = get(message), get(message)
    assert other.content == LONG
    read.content = OTHER
    read.save()
    other.update(actions=[Message.turn_id.set("turn_1")])
    assert other.content == OTHER


VALUES: list[Any] = ["x", ["y" * 5000], {"a": {"b": "z" * 9000}}, None, 0]


@pytest.mark.parametrize("after", VALUES, ids=["text", "list", "map", "null", "zero"])
@pytest.mark.parametrize("before", VALUES[:2], ids=["text", "list"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_value_of_state_that_was_read_can_be_replaced(way: Callable[[Any], None], before: Any, after: Any) -> None:
    owner = Owner(acting_for(make_user().user_id))
    state = put_state(owner, "application", "cart", before)
    read = get(state)
    read.value = after
    way(read)
    assert get_state(owner, "application", "cart").value == read.value == after


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_state_that_is_changed_in_place_is_saved(way: Callable[[Any], None]) -> None:
    owner = Owner(acting_for(make_user().user_id))
    state = put_state(owner, "application", "cart", {"items": ["a" * 5000]})
    read = get(state)
    read.value["items"].append("b")
    way(read)
    read.value["items"].append("c")
    way(read)
    assert get_state(owner, "application", "cart").value == {"items": ["a" * 5000, "b", "c"]}


def test_new_state_can_be_saved() -> None:
    conversation = make_conversation()
    moment = clock.now()
    details = {"kind": "session", "key": "k", "version": 1, "created_at": moment, "updated_at": moment}
    value = {"long": "v" * 5000}
    ConversationState(conversation_id=conversation.conversation_id, value=value, **details).save()
    owner = Owner(acting_for(conversation.user_id), conversation.conversation_id)
    assert get_state(owner, "session", "k").value == value
    UserState(user_id=conversation.user_id, value=value, **details).save()
    assert get_state(Owner(acting_for(conversation.user_id)), "session", "k").value == value


@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_the_error_of_a_text_that_fits_in_no_item_names_the_function_that_stores_it(way: Callable[[Any], None]) -> None:
    conversation = make_conversation()
    message = message_of(conversation, noise(600_000))
    with pytest.raises(ItemTooLarge, match=r"content is 600,000 bytes long.*messages\.append_messages"):
        way(message)
    owner = Owner(acting_for(conversation.user_id))
    state = put_state(owner, "session", "k", SHORT)
    state.value = noise(600_000)
    with pytest.raises(ItemTooLarge, match=r"value is.*states\.put_state"):
        way(state)
    assert get_state(owner, "session", "k").value == SHORT


def test_the_text_attribute_cannot_be_set_on_its_own() -> None:
    for refused in (lambda: Message.content.set(SHORT), Message.content.remove, lambda: UserState.value.set(1)):
        with pytest.raises(InvalidValue, match="text_actions"):
            refused()
    with pytest.raises(InvalidValue, match="a condition can compare"):
        Message.content == LONG  # noqa: B015 - a condition


def test_a_condition_can_compare_a_short_text() -> None:
    (message,) = say(make_conversation(), SHORT)
    message.update(actions=[Message.turn_id.set("turn_1")], condition=Message.content == SHORT)


def test_of_two_texts_that_an_older_version_saved_the_plain_one_is_newer() -> None:
    conversation = make_conversation()
    (message,) = say(conversation, LONG)
    both = {**stored(message), "content": {"S": SHORT}}
    client().put_item(TableName=settings().name, Item=both)
    assert content_of(conversation, message) == get(message).content == SHORT
    save(get(message))
    assert "packed" not in stored(message)


def test_the_dictionary_of_an_item_makes_the_same_item() -> None:
    (message,) = say(make_conversation(), LONG)
    again = Message()
    again.from_dynamodb_dict(get(message).to_dynamodb_dict())
    assert (again.content, again.message_id) == (LONG, message.message_id)


@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_attributes_of_a_newer_version_are_kept(way: Callable[[Any], None]) -> None:
    (message,) = say(make_conversation(), SHORT)
    newer = {**stored(message), "reactions": {"SS": ["+1"]}, "thread": {"M": {"a": {"N": "1"}}}}
    client().put_item(TableName=settings().name, Item=newer)
    read = get(message)
    read.content = LONG
    way(read)
    after = stored(message)
    assert (after["reactions"], after["thread"]) == (newer["reactions"], newer["thread"])
    assert get(message).content == LONG


@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_a_partly_read_item_cannot_replace_the_whole_item(way: Callable[[Any], None]) -> None:
    conversation = make_conversation(title="Capitals")
    before = stored(conversation)
    listed = list_conversations(acting_for(conversation.user_id), 1).items[0]
    some = Conversation.get(conversation.PK, conversation.SK, attributes_to_get=["PK", "SK", "title"])
    for part in (listed, some):
        part.title = "Rivers"
        with pytest.raises(InvalidValue, match="only a part of it was read"):
            way(part)
        part.update(actions=[Conversation.title.set("Capitals")])
    assert stored(conversation) == before


@pytest.mark.parametrize("way", [save, batch, transact], ids=lambda way: way.__name__)
def test_an_item_without_a_required_field_is_refused(way: Callable[[Any], None]) -> None:
    (message,) = say(make_conversation(), SHORT)
    with pytest.raises(InvalidValue, match="message_id: must have a value"):
        way(Message.from_key(conversation_id=message.conversation_id, ts=message.ts))
    assert get(message).content == SHORT


def test_delete_deletes_the_item() -> None:
    (message, other) = say(make_conversation(), LONG, LONG)
    get(message).delete()
    with Message.batch_write() as writes:
        writes.delete(get(other))
    for each in (message, other):
        with pytest.raises(Message.DoesNotExist):
            get(each)


def test_text_actions_need_the_text() -> None:
    (message,) = say(make_conversation(), LONG)
    read = get(message)
    read.drop()
    with pytest.raises(ContentUnavailable):
        text_actions(read)
    save(read)
    assert get(message).content == LONG
