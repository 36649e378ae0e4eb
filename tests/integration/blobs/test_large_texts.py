"""Texts of any length, plain, compressed or in S3, are returned unchanged and leave no objects behind."""

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.access_patterns import messages
from models.access_patterns.conversations import get_conversation, open_conversation
from models.access_patterns.erasure import Hold, list_pending_erasures, take_erasure
from models.access_patterns.large_texts import named_objects
from models.access_patterns.messages import Draft, append_messages, delete_message, get_message, list_messages
from models.access_patterns.removal.erase import erase
from models.access_patterns.states import Owner, delete_state, get_state, list_states, put_state
from models.conversation import Conversation
from models.erasure import OBJECT, Erasure
from models.message import Message
from models.table import blobs
from models.table.blobs import BlobSettings, key_of
from models.table.errors import Contended, ContentUnavailable, ItemNotFound, ItemTooLarge, VersionMismatch
from models.table.long_text import MAX_PLAIN, load
from models.table.tenancy import UserId, acting_for
from tests import raw, wire
from tests.buckets import s3_of
from tests.contract_watch import past_the_models
from tests.erasing import delete_conversation, delete_user
from tests.factories import append, make_conversation, make_user, noise, say
from tests.fake_clock import FakeClock

Stored = Callable[[], dict[str, bytes]]
LARGE = noise(350_000)
TEXTS = {
    "empty": "",
    "short": "Hello é😀",
    "the longest plain": "é" * (MAX_PLAIN // 2),
    "the shortest packed": "é" * (MAX_PLAIN // 2) + "x",
    "packed": "All work and no play. " * 5000,
    "the first in S3": noise(20_000),
    "large": LARGE,
    "larger than an item": noise(2_000_000),
    "characters of all lengths": "é😀x\x00" * 100_000 + noise(100_000),
}


@pytest.fixture
def conversation(bucket: BlobSettings) -> Conversation:
    return make_conversation()


def owner_of(conversation: Conversation) -> UserId:
    return acting_for(conversation.user_id)


def page(conversation: Conversation, **options: Any) -> list[Message]:
    return list(list_messages(owner_of(conversation), conversation.conversation_id, 100, **options).items)


def where(item: Any) -> str:
    """Return where an item's text is, according to the table."""
    found = raw.stored(item)
    (name,) = {"content", "packed", "blob"} & found.keys()
    return str(name)


class TestMessages:
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_any_text_is_returned_unchanged(self, conversation: Conversation, text: str) -> None:
        (message,) = say(conversation, text)
        opened = open_conversation(owner_of(conversation), conversation.conversation_id, 5)
        read = get_message(owner_of(conversation), conversation.conversation_id, message.message_id)
        assert [message.content, opened.messages[0].content, read.content] == [text] * 3
        assert [each.content for each in page(conversation)] == [text]

    def test_a_short_text_is_stored_in_clear_and_a_long_one_compressed(self, conversation: Conversation) -> None:
        short, longest, packed, large = say(conversation, "Hello", "x" * MAX_PLAIN, "x" * 100_000, LARGE)
        assert [where(each) for each in (short, longest, packed, large)] == ["content", "content", "packed", "blob"]
        assert raw.stored(short)["content"] == {"S": "Hello"}
        assert raw.stored(short).keys() == raw.stored(longest).keys()
        assert len(raw.stored(packed)["packed"]["B"]) < 500

    def test_an_object_is_the_compressed_text_and_its_item_describes_it(
        self, conversation: Conversation, stored: Stored
    ) -> None:
        (message,) = say(conversation, LARGE)
        (key, body) = stored().popitem()
        assert zlib.decompress(body).decode() == LARGE
        assert key_of(raw.stored(message)) == key
        blob = message.blob
        assert (blob.size, blob.preview) == (350_000, LARGE[:200])
        assert blob.sha256 == hashlib.sha256(LARGE.encode()).hexdigest()
        assert blobs.item_of(key) == (message.PK, message.SK)

    def test_without_a_bucket_a_large_text_stays_on_the_item_while_it_fits(self, conversation: Conversation) -> None:
        blobs.configure(None)
        (message,) = say(conversation, LARGE)
        assert where(message) == "packed"
        assert [each.content for each in page(conversation)] == [LARGE]
        with pytest.raises(ItemTooLarge):
            say(conversation, noise(600_000))

    def test_deleting_a_message_deletes_its_object(self, conversation: Conversation, stored: Stored) -> None:
        gone, stays = say(conversation, LARGE, noise(50_000, seed=2))
        delete_message(owner_of(conversation), conversation.conversation_id, gone.message_id)
        assert list(stored()) == [stays.blob.key]
        assert [each.content for each in page(conversation)] == [noise(50_000, seed=2)]

    def test_a_message_whose_object_is_lost_can_be_deleted(self, conversation: Conversation) -> None:
        (message,) = say(conversation, LARGE)
        blobs.delete([message.blob.key])
        delete_message(owner_of(conversation), conversation.conversation_id, message.message_id)
        assert page(conversation) == []

    def test_many_large_texts_at_once(self, conversation: Conversation, stored: Stored) -> None:
        texts = [noise(100_000, seed=number) for number in range(40)]
        append(conversation, [Draft("user", text) for text in texts])
        assert len(stored()) == 40
        assert [each.content for each in page(conversation)] == texts

    def test_the_arguments_and_the_result_of_a_function_call_may_be_large_too(self, conversation: Conversation) -> None:
        drafts = [
            Draft(
                "agent",
                f'{{"text":"{"x" * 50_000}"}}',
                type="function_call",
                attributes={"call_id": "1", "function_name": "f"},
            ),
            Draft("tool", LARGE, type="function_result", attributes={"call_id": "1"}),
        ]
        append(conversation, drafts)
        assert [each.content for each in page(conversation)] == [each.content for each in drafts]


class TestFiftyOf350KB:
    """A conversation of 50 messages of 350 KB: open, page, append and delete work, within the budgets."""

    @pytest.fixture
    def full(self, conversation: Conversation) -> list[Message]:
        texts = [noise(350_000, seed=number) for number in range(50)]
        return append(conversation, [Draft("user", text) for text in texts])

    def test_opening_reads_one_page_of_items_and_8_mb_of_texts(
        self, conversation: Conversation, full: list[Message]
    ) -> None:
        with wire.recorded() as sent:
            opened = open_conversation(owner_of(conversation), conversation.conversation_id, 50)
        assert [each.operation for each in sent] == ["Query"]
        assert len(opened.messages) == 50
        whole = [each.content for each in opened.messages if each.unavailable is None]
        assert whole == [noise(350_000, seed=number) for number in range(27, 50)], "the newest"
        for left_out in opened.messages[:27]:
            assert left_out.unavailable.left_out
            assert left_out.blob.size == 350_000
            with pytest.raises(ContentUnavailable):
                _ = left_out.content

    def test_every_one_of_them_can_be_read_page_by_page_or_alone(
        self, conversation: Conversation, full: list[Message]
    ) -> None:
        after, seen = None, []
        while True:
            found = list_messages(owner_of(conversation), conversation.conversation_id, 20, after=after)
            seen += [each.content for each in found.items]
            if not found.more:
                break
            after = found.items[-1].ts
        assert [hashlib.sha256(each.encode()).digest() for each in seen] == [
            hashlib.sha256(noise(350_000, seed=number).encode()).digest() for number in range(50)
        ]
        read = get_message(owner_of(conversation), conversation.conversation_id, full[0].message_id)
        assert read.content == noise(350_000, seed=0)

    def test_appending_and_deleting_cost_the_same_as_in_any_conversation(
        self, conversation: Conversation, full: list[Message], stored: Stored
    ) -> None:
        with wire.recorded() as sent:
            say(conversation, "Hello")
            delete_message(owner_of(conversation), conversation.conversation_id, full[7].message_id)
        assert [each.operation for each in sent] == [
            "GetItem", "TransactWriteItems", "BatchGetItem", "TransactWriteItems",
        ]  # fmt: skip
        assert len(stored()) == 49

    def test_without_a_bucket_they_are_read_a_megabyte_per_request(self, conversation: Conversation) -> None:
        blobs.configure(None)
        for _ in range(12):
            say(conversation, LARGE)
        with wire.recorded() as sent:
            opened = open_conversation(owner_of(conversation), conversation.conversation_id, 12)
        assert [each.content for each in opened.messages] == [LARGE] * 12
        assert {each.operation for each in sent} == {"Query"}
        assert len(sent) > 1


@pytest.mark.parametrize(
    "read",
    [
        lambda who, talk, _: open_conversation(who, talk, 5),
        lambda who, talk, _: list_messages(who, talk, 5),
        lambda who, talk, _: list_messages(who, talk, 5, descending=True),
        lambda who, talk, message: get_message(who, talk, message.message_id),
        lambda who, talk, _: list_states(Owner(who, talk), 5),
        lambda who, talk, _: get_state(Owner(who, talk), "session", "notes"),
    ],
    ids=["open", "list", "list the newest", "a message", "list state", "state"],
)
def test_another_users_texts_are_not_fetched(
    read: Callable[[UserId, str, Message], object], conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    fetch = blobs.fetch

    def noted(keys: Iterable[str]) -> Iterator[bytes | ContentUnavailable]:
        wanted = list(keys)
        fetched.extend(wanted)
        return fetch(wanted)

    monkeypatch.setattr(blobs, "fetch", noted)
    (message,) = say(conversation, LARGE)
    put_state(Owner(owner_of(conversation), conversation.conversation_id), "session", "notes", LARGE)
    with pytest.raises(ItemNotFound, match="conversation"):
        read(acting_for(make_user().user_id), conversation.conversation_id, message)
    assert fetched == []
    read(owner_of(conversation), conversation.conversation_id, message)
    assert len(fetched) == 1


def test_small_items_with_large_texts_do_not_fill_the_memory(conversation: Conversation) -> None:
    append(conversation, [Draft("user", "x" * 3_000_000) for _ in range(5)])
    found = page(conversation)
    assert [each.unavailable is None for each in found] == [True, True, False, False, False]
    assert all(where(each) == "packed" for each in found)


class TestWhatGoesWrong:
    def test_a_missing_object_affects_only_its_message(self, conversation: Conversation) -> None:
        _, lost, _ = say(conversation, "before", LARGE, "after")
        blobs.delete([lost.blob.key])
        found = page(conversation)
        assert [each.unavailable is None for each in found] == [True, False, True]
        assert found[1].unavailable.lasting
        assert "missing" in str(found[1].unavailable)
        assert found[1].blob.preview == LARGE[:200]

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"not zlib",
            zlib.compress(b"another text"),
            zlib.compress(b"x" * 50_000_000),
            zlib.compress(LARGE.encode())[:-9],
        ],
        ids=["empty", "foreign", "another", "a bomb", "cut"],
    )
    def test_a_damaged_object_is_noticed_by_its_checksum(
        self, conversation: Conversation, bucket: BlobSettings, body: bytes
    ) -> None:
        (message,) = say(conversation, LARGE)
        s3_of(bucket).put_object(Bucket=bucket.bucket, Key=message.blob.key, Body=body)
        (found,) = page(conversation)
        assert found.unavailable.lasting
        assert "checksum" in str(found.unavailable)

    def test_an_unreachable_bucket_is_no_error_for_a_page_and_nothing_is_written(
        self, conversation: Conversation, bucket: BlobSettings
    ) -> None:
        say(conversation, "before", LARGE)
        blobs.configure(replace(bucket, endpoint_url="http://127.0.0.1:1", max_attempts=1))
        found = page(conversation)
        assert [each.unavailable is None for each in found] == [True, False]
        assert not found[1].unavailable.lasting
        with pytest.raises(ContentUnavailable, match="cannot be reached"):
            say(conversation, LARGE)
        assert len(page(conversation)) == 2

    def test_without_the_bucket_its_texts_are_unavailable(self, conversation: Conversation) -> None:
        say(conversation, LARGE)
        blobs.configure(None)
        (found,) = page(conversation)
        assert "no bucket" in str(found.unavailable)

    def test_a_refused_write_leaves_no_object(self, conversation: Conversation, stored: Stored) -> None:
        stranger = acting_for(make_user().user_id)
        with pytest.raises(ItemNotFound):
            append_messages(stranger, conversation.conversation_id, [Draft("user", LARGE)])
        owner = Owner(owner_of(conversation), conversation.conversation_id)
        put_state(owner, "session", "key", 1)
        with pytest.raises(VersionMismatch):
            put_state(owner, "session", "key", LARGE, if_version=7)
        assert stored() == {}

    def test_a_write_retried_after_a_conflict_leaves_one_object(
        self, conversation: Conversation, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        extend, rival = messages.extend, [True]

        def late(*arguments: Any) -> None:
            extend(*arguments)
            if rival.pop() if rival else False:
                say(conversation, "rival")

        monkeypatch.setattr(messages, "extend", late)
        say(conversation, LARGE)
        assert [each.content for each in page(conversation)] == ["rival", LARGE]
        assert len(stored()) == 1

    def test_a_lost_answer_leaves_the_message_and_its_object(self, conversation: Conversation, stored: Stored) -> None:
        with wire.lost_answers("TransactWriteItems") as lost:
            say(conversation, LARGE)
        assert lost
        assert [each.content for each in page(conversation)] == [LARGE]
        assert len(stored()) == 1

    def test_a_batch_with_one_object_refused_by_the_bucket_leaves_nothing(
        self, conversation: Conversation, stored: Stored, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put, left = blobs._put, [2]

        def failing(item: tuple[str, bytes]) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise ContentUnavailable("it is full")
            put(item)

        monkeypatch.setattr(blobs, "_put", failing)
        with pytest.raises(ContentUnavailable):
            say(conversation, *[LARGE] * 4)
        assert stored() == {}
        assert page(conversation) == []


@pytest.fixture(params=["a user", "a conversation"])
def owner(request: pytest.FixtureRequest, conversation: Conversation) -> Owner:
    return Owner(owner_of(conversation), conversation.conversation_id if request.param == "a conversation" else None)


class TestState:
    @pytest.mark.parametrize(
        "value", [None, {"a": [1, "é"]}, "x" * 50_000, {"text": LARGE}], ids=["null", "short", "packed", "large"]
    )
    def test_any_value_comes_back_and_replaces_any_other(self, owner: Owner, value: Any, stored: Stored) -> None:
        for before in (None, "short", "y" * 60_000, noise(90_000, seed=3)):
            put_state(owner, "session", "key", before)
            assert put_state(owner, "session", "key", value).value == value
            assert get_state(owner, "session", "key").value == value
            assert [each.value for each in list_states(owner, 10).items] == [value]
            assert len(stored()) == (1 if value == {"text": LARGE} else 0), "what was replaced is gone"

    def test_deleting_it_deletes_its_object(self, owner: Owner, stored: Stored) -> None:
        put_state(owner, "session", "key", LARGE)
        delete_state(owner, "session", "key")
        assert stored() == {}


class TestKeys:
    @pytest.mark.parametrize("sort", ["MSG#2026-11-22T11:20:58.123456Z", "KV#session#a!b/c%23 é", "!", "/"])
    def test_an_object_leads_back_to_its_item(self, sort: str) -> None:
        key = blobs.new_key("CONV#conv_1", sort)
        assert key.startswith("CONV!conv_1/")
        assert blobs.item_of(key) == ("CONV#conv_1", sort)

    @pytest.mark.parametrize("key", ["", "a", "a/b", "a/b/", "/b/c", "a/b/c/d"])
    def test_a_foreign_key_leads_to_no_item(self, key: str) -> None:
        assert blobs.item_of(key) is None

    def test_an_item_without_an_object_names_none(self, conversation: Conversation) -> None:
        (message,) = say(conversation, "Hello")
        assert key_of(raw.stored(message)) is None


def test_a_prefix_lists_all_objects_of_a_partition_even_unnamed_ones(
    conversation: Conversation, stored: Stored
) -> None:
    say(conversation, LARGE, noise(40_000))
    blobs.put({blobs.new_key(conversation.PK, "MSG#lost"): b"left by a crash"})
    say(make_conversation(), LARGE)
    found = blobs.of_partition(conversation.PK)
    assert len(found) == 3
    assert found == sorted(key for key in stored() if blobs.item_of(key)[0] == conversation.PK)


def test_items_list_the_objects_that_they_name(conversation: Conversation) -> None:
    (message,) = say(conversation, LARGE)
    state = put_state(Owner(owner_of(conversation)), "session", "key", LARGE)
    lost = blobs.new_key(message.PK, message.SK)
    nobody = blobs.new_key(message.PK, "MSG#2000")
    assert named_objects([message.blob.key, state.blob.key, lost, nobody, "foreign"]) == {
        message.blob.key,
        state.blob.key,
    }
    assert named_objects(["foreign"]) == set()


def test_a_text_of_1200_characters_is_stored_as_it_is(conversation: Conversation) -> None:
    (message,) = say(conversation, "é" * 600 + "x" * 600)
    assert raw.stored(message).keys() == {"PK", "SK", "entity", "message_id", "sender", "role", "type", "content"}


def test_deleting_a_conversation_or_user_deletes_its_objects(conversation: Conversation, stored: Stored) -> None:
    owner = owner_of(conversation)
    say(conversation, LARGE)
    put_state(Owner(owner, conversation.conversation_id), "session", "key", LARGE)
    put_state(Owner(owner), "application", "key", LARGE)
    other = make_conversation()
    say(other, LARGE)

    receipt = delete_conversation(owner, conversation.conversation_id)
    assert len(stored()) == 2
    assert receipt.removed[OBJECT] == 2
    assert delete_user(owner).removed[OBJECT] == 1

    assert [blobs.item_of(key) for key in stored()] == [(message.PK, message.SK) for message in page(other)]


@pytest.mark.parametrize("deleted", [False, True])
def test_objects_are_counted_once_wherever_a_removal_is_interrupted(
    deleted: bool, stored: Stored, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each page of two objects, right before S3 deletes it, or right after."""
    monkeypatch.setattr(blobs, "_DELETE_BATCH", 2)
    delete = blobs.delete

    def deletions(left: Iterator[int]) -> Callable[[list[str]], None]:
        def cut(keys: list[str]) -> None:
            if next(left, None) is not None:
                return delete(keys)
            if deleted:
                delete(keys)
            raise wire.Cut

        return cut

    for after in range(3):
        conversation = make_conversation()
        say(conversation, *[noise(40_000)] * 5)
        ids = owner_of(conversation), conversation.conversation_id
        monkeypatch.setattr(blobs, "delete", deletions(iter(range(after))))
        with pytest.raises(wire.Cut):
            delete_conversation(*ids)
        monkeypatch.setattr(blobs, "delete", delete)
        fake_clock.advance(seconds=31)
        receipt = delete_conversation(*ids)
        assert (receipt.removed[OBJECT], receipt.removed["Message"], stored()) == (5, 5, {}), after


def test_with_objects_nothing_is_counted_twice_after_any_last_write(stored: Stored, fake_clock: FakeClock) -> None:
    for after in range(20):
        conversation = make_conversation()
        say(conversation, *[noise(40_000)] * 2)
        ids = owner_of(conversation), conversation.conversation_id
        try:
            with wire.cut_off(after):
                receipt, cut = delete_conversation(*ids), False
        except wire.Cut:
            fake_clock.advance(seconds=31)
            receipt, cut = delete_conversation(*ids), True
        assert receipt.removed == {"Conversation": 1, "Message": 2, OBJECT: 2}, after
        assert stored() == {}
        if not cut:
            break
    assert 4 <= after < 19


def test_an_erasure_that_the_bucket_refuses_is_resumed_later(
    conversation: Conversation, bucket: BlobSettings, stored: Stored
) -> None:
    owner = owner_of(conversation)
    say(conversation, LARGE)
    blobs.configure(replace(bucket, endpoint_url="http://127.0.0.1:1", max_attempts=1))
    with pytest.raises(Contended):
        delete_conversation(owner, conversation.conversation_id)
    with pytest.raises(ItemNotFound):
        get_conversation(owner, conversation.conversation_id)

    blobs.configure(bucket)
    (pending,) = list_pending_erasures(10).items
    mine = Hold("worker_later", timedelta(seconds=30))
    with past_the_models():
        raw.change(
            Erasure.from_key(erasure_id=pending.erasure_id), "lease_expires_at", {"S": "2020-01-01T00:00:00.000000Z"}
        )
    job = take_erasure(pending.erasure_id, mine)
    assert job is not None
    assert erase(job, mine).completed
    assert stored() == {}


class TestPynamodbMethods:
    """PynamoDB's own methods with items whose text is in S3; for others see test_pynamodb_methods.py."""

    def read(self, message: Message) -> Message:
        with past_the_models():
            return Message.get(message.PK, message.SK, consistent_read=True)

    def test_a_text_in_s3_says_how_to_load_it(self, conversation: Conversation) -> None:
        (message,) = say(conversation, LARGE)
        read = self.read(message)
        with pytest.raises(ContentUnavailable, match=r"long_text\.load"):
            _ = read.content
        load([read])
        assert read.content == LARGE

    @pytest.mark.parametrize("loaded", [True, False])
    def test_it_stays_in_s3_when_the_item_is_saved(
        self, conversation: Conversation, stored: Stored, loaded: bool
    ) -> None:
        (message,) = say(conversation, LARGE)
        before = stored()
        read = self.read(message)
        if loaded:
            load([read])
        read.turn_id = "turn_1"
        with past_the_models():
            read.save()
        assert stored() == before
        assert [(each.content, each.turn_id) for each in page(conversation)] == [(LARGE, "turn_1")]

    @pytest.mark.parametrize("text", ["short", "long " * 1000, noise(100_000, seed=9)])
    def test_another_text_replaces_it_on_the_item(self, conversation: Conversation, text: str) -> None:
        (message,) = say(conversation, LARGE)
        read = self.read(message)
        read.content = text
        with past_the_models():
            read.save()
        assert [each.content for each in page(conversation)] == [text]
        assert where(message) in ("content", "packed")

    def test_one_that_fits_in_no_item_is_refused(self, conversation: Conversation) -> None:
        (message,) = say(conversation, "short")
        message.content = noise(2_000_000)
        with past_the_models(), pytest.raises(ItemTooLarge, match=r"messages\.append_messages"):
            message.save()
        assert [each.content for each in page(conversation)] == ["short"]
