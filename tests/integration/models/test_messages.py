"""Messages: appended messages are kept in one strict order, whatever other writers do and whatever the clocks say."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import current_thread
from typing import Any, ClassVar

import pytest

from models.access_patterns.conversations import get_conversation, set_conversation_status
from models.access_patterns.messages import (
    MAX_APPEND,
    Draft,
    append_messages,
    delete_message,
    get_message,
    list_messages,
)
from models.conversation import Conversation, ConversationStatus
from models.message import Message
from models.table import clock
from models.table.errors import (
    Contended,
    ConversationNotActive,
    InvalidKeyField,
    ItemNotFound,
    ItemTooLarge,
    TableError,
    TooManyWrites,
)
from models.table.tenancy import acting_for
from tests.factories import append, make_conversation, make_user, noise, say
from tests.fake_clock import FakeClock
from tests.raw import hide, stored
from tests.together import at_once
from tests.wire import others_come_first, recorded, refusals

pytestmark = pytest.mark.usefixtures("table")


def everything(conversation: Conversation) -> list[Message]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 1000)
    assert not page.more
    return list(page.items)


def contents(conversation: Conversation, **choice: Any) -> list[str]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 1000, **choice)
    return [message.content for message in page.items]


def header(conversation: Conversation) -> Conversation:
    return get_conversation(conversation.user_id, conversation.conversation_id)


def test_messages_read_back_as_they_were_appended() -> None:
    conversation = make_conversation()
    drafts = [
        Draft("user", "Hello 😀"),
        Draft("agent", '{"a":1}', type="function_call", attributes={"call_id": "c1", "function_name": "f"}),
        Draft("tool", "", type="function_result", attributes={"call_id": "c1"}),
        Draft("system", "[]", type="parts", role="developer", turn_id="turn_1", llm_response_id="resp_1"),
    ]
    made = append(conversation, drafts)
    found = everything(conversation)
    assert [each.serialize() for each in found] == [each.serialize() for each in made]
    assert [(each.sender, each.role, each.type, each.content) for each in found] == [
        ("user", "user", "text", "Hello 😀"),
        ("agent", "assistant", "function_call", '{"a":1}'),
        ("tool", "tool", "function_result", ""),
        ("system", "developer", "parts", "[]"),
    ]
    assert [each.attributes for each in found] == [None, drafts[1].attributes, {"call_id": "c1"}, None]
    assert (found[3].turn_id, found[3].llm_response_id) == ("turn_1", "resp_1")
    for message in made:
        one = get_message(conversation.user_id, conversation.conversation_id, message.message_id)
        assert one.serialize() == message.serialize()


def test_a_batch_stays_together_a_microsecond_apart(fake_clock: FakeClock) -> None:
    conversation = make_conversation()
    made = say(conversation, *"abc")
    assert [message.ts for message in made] == [fake_clock.moment + number * clock.MICROSECOND for number in range(3)]


def test_the_header_counts_and_remembers_the_last_message() -> None:
    conversation = make_conversation()
    say(conversation, *"abc")
    (last,) = say(conversation, "d")
    found = header(conversation)
    assert (found.message_count, found.last_message_at, found.last_active_at) == (4, last.ts, last.ts)


def test_the_largest_batch_is_written_as_one() -> None:
    conversation = make_conversation()
    drafts = [Draft("user", str(number)) for number in range(MAX_APPEND)]
    append_messages(conversation.user_id, conversation.conversation_id, drafts)
    assert contents(conversation) == [draft.content for draft in drafts]


@pytest.mark.parametrize(
    ("drafts", "refused", "allowed"),
    [
        ([Draft("user", str(number)) for number in range(150)], TooManyWrites, "at most 98"),
        ([Draft("user", noise(400_000, seed=number)) for number in range(12)], ItemTooLarge, "at most 4,194,304 bytes"),
    ],
    ids=["many", "large"],
)
def test_a_batch_that_no_transaction_can_contain_is_refused_before_sending(
    drafts: list[Draft], refused: type[TableError], allowed: str
) -> None:
    conversation = make_conversation()
    with recorded() as requests, pytest.raises(refused, match=allowed):
        append_messages(conversation.user_id, conversation.conversation_id, drafts)
    assert [each.operation for each in requests if "Write" in each.operation] == []
    assert contents(conversation) == []


def test_appending_no_messages_changes_nothing() -> None:
    conversation = make_conversation()
    before = stored(conversation)
    assert append_messages(conversation.user_id, conversation.conversation_id, []) == []
    assert stored(conversation) == before


@pytest.mark.parametrize("status", ["completed", "archived"])
def test_a_closed_conversation_accepts_no_messages(status: ConversationStatus) -> None:
    conversation = make_conversation()
    set_conversation_status(conversation.user_id, conversation.conversation_id, status)
    with pytest.raises(ConversationNotActive, match=status):
        say(conversation, "Hello?")
    assert contents(conversation) == []
    set_conversation_status(conversation.user_id, conversation.conversation_id, "active")
    say(conversation, "Hello!")
    assert contents(conversation) == ["Hello!"]


class TestSize:
    def test_a_text_of_the_maximum_size_reads_back_unchanged(self) -> None:
        conversation = make_conversation()
        text = noise(470_000)
        say(conversation, text)
        assert contents(conversation) == [text]

    def test_a_larger_text_is_refused_by_name_and_nothing_is_written(self) -> None:
        conversation = make_conversation()
        before = stored(conversation)
        with pytest.raises(ItemTooLarge, match=r"content is 500,000 bytes long, .* compressed") as refusal:
            say(conversation, "fine", noise(500_000))
        assert (refusal.value.field, refusal.value.size) == ("content", 500_000)
        assert contents(conversation) == []
        assert stored(conversation) == before

    def test_large_attributes_together_with_a_large_text_are_refused(self) -> None:
        conversation = make_conversation()
        with pytest.raises(ItemTooLarge):
            append(conversation, [Draft("user", noise(470_000), attributes={"more": "x" * 20_000})])
        assert contents(conversation) == []

    def test_a_batch_larger_than_a_transaction_is_refused(self) -> None:
        conversation = make_conversation()
        with pytest.raises(ItemTooLarge, match="4,194,304"):
            say(conversation, *[noise(470_000)] * 11)
        assert contents(conversation) == []
        say(conversation, *[noise(470_000)] * 7)
        assert header(conversation).message_count == 7


class TestBetweenTwoTimes:
    @pytest.fixture
    def conversation(self, fake_clock: FakeClock) -> Conversation:
        """A conversation with a message a second: a at 0, b at 1 … e at 4."""
        self.start = fake_clock.moment
        made = make_conversation()
        for content in "abcde":
            say(made, content)
            fake_clock.advance(seconds=1)
        return made

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def test_the_start_time_is_included(self, conversation: Conversation) -> None:
        assert contents(conversation, since=self.at(1)) == ["b", "c", "d", "e"]
        assert contents(conversation, since=self.at(1) + clock.MICROSECOND) == ["c", "d", "e"]

    def test_the_end_time_is_not_included(self, conversation: Conversation) -> None:
        assert contents(conversation, until=self.at(3)) == ["a", "b", "c"]
        assert contents(conversation, until=self.at(3) + clock.MICROSECOND) == ["a", "b", "c", "d"]

    def test_both_ends_and_both_directions(self, conversation: Conversation) -> None:
        assert contents(conversation, since=self.at(1), until=self.at(3)) == ["b", "c"]
        assert contents(conversation, since=self.at(1), until=self.at(3), descending=True) == ["c", "b"]

    def test_a_time_in_another_zone_is_the_same_time(self, conversation: Conversation) -> None:
        zone = datetime.now(UTC).astimezone().tzinfo
        assert contents(conversation, since=self.at(3).astimezone(zone)) == ["d", "e"]

    @pytest.mark.parametrize("descending", [False, True])
    @pytest.mark.parametrize(("since", "until"), [(1, 1), (3, 1), (1.2, 1.8), (9, 99), (-99, -9)])
    def test_an_empty_range_is_an_empty_page(
        self, conversation: Conversation, since: float, until: float, descending: bool
    ) -> None:
        page = list_messages(
            conversation.user_id,
            conversation.conversation_id,
            10,
            since=self.at(since),
            until=self.at(until),
            descending=descending,
        )
        assert (page.items, page.more) == ((), False)

    def test_the_earliest_and_latest_times_are_not_an_error(self, conversation: Conversation) -> None:
        first, last = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        assert contents(conversation, since=first, until=last) == list("abcde")
        assert contents(conversation, until=first) == []
        assert contents(conversation, since=last) == []


class TestOrder:
    def test_eight_concurrent_writers_lose_nothing_and_share_one_order(self) -> None:
        conversation = make_conversation()

        def write(writer: int) -> None:
            for number in range(5):
                while True:
                    try:
                        batch = [Draft("user", f"{writer} {number} {part}") for part in "ab"]
                        append_messages(conversation.user_id, conversation.conversation_id, batch)
                        break
                    except Contended:
                        continue

        assert at_once([partial(write, writer) for writer in range(8)]) == [None] * 8
        found = everything(conversation)
        said = [message.content for message in found]
        expected = [f"{writer} {number} {part}" for writer in range(8) for number in range(5) for part in "ab"]
        assert sorted(said) == sorted(expected)
        moments = [message.ts for message in found]
        assert moments == sorted(set(moments))
        for writer in range(8):
            mine = [content for content in said if content.startswith(f"{writer} ")]
            assert mine == [content for content in expected if content.startswith(f"{writer} ")]
        # A batch of two stays together.
        assert all(one[:-1] == other[:-1] for one, other in zip(said[::2], said[1::2], strict=True))
        after = header(conversation)
        assert (after.message_count, after.last_message_at) == (80, moments[-1])

    def test_a_clock_that_goes_back_five_minutes_does_not_change_the_order(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        for number in range(12):
            fake_clock.advance(minutes=-5 if number % 3 == 1 else 2)
            say(conversation, str(number))
        assert contents(conversation) == [str(number) for number in range(12)]

    @pytest.fixture
    def one_clock_behind(self) -> Iterator[None]:
        """The clock of the threads named `behind` is five minutes slow."""

        def read() -> datetime:
            present = datetime.now(UTC)
            return present - timedelta(minutes=5) if current_thread().name == "behind" else present

        before = clock.set_clock(read)
        yield
        clock.set_clock(before)

    @pytest.mark.usefixtures("one_clock_behind")
    def test_two_hosts_five_minutes_apart_share_one_order(self) -> None:
        conversation = make_conversation()

        def write(writer: str) -> list[str]:
            current_thread().name = writer
            return [say(conversation, f"{writer} {number}")[0].message_id for number in range(6)]

        written = at_once([partial(write, "behind"), partial(write, "right")])
        said = {message_id for each in written if isinstance(each, list) for message_id in each}
        found = everything(conversation)
        for writer in ("behind", "right"):
            mine = [message.content for message in found if message.content.startswith(writer)]
            assert mine == [f"{writer} {number}" for number in range(6)]
        assert {message.message_id for message in found} == said
        assert header(conversation).message_count == 12

    def test_a_concurrent_writer_with_a_fast_clock_sorts_before(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        say(conversation, "first")

        def come_first() -> None:
            fake_clock.advance(minutes=5)
            say(conversation, "theirs")
            fake_clock.advance(minutes=-5)

        with others_come_first("TransactWriteItems", come_first, times=1):
            say(conversation, "mine")
        assert contents(conversation) == ["first", "theirs", "mine"]
        assert header(conversation).message_count == 3

    def test_constant_contention_ends_in_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("models.access_patterns.messages.pause", lambda _attempt: None)
        conversation = make_conversation()
        with others_come_first("TransactWriteItems", partial(say, conversation, "theirs")), pytest.raises(Contended):
            say(conversation, "mine")
        assert set(contents(conversation)) == {"theirs"}

    def test_a_message_after_a_deletion_sorts_last(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        *_, last = say(conversation, *"abc")
        delete_message(conversation.user_id, conversation.conversation_id, last.message_id)
        fake_clock.advance(minutes=-5)
        (new,) = say(conversation, "d")
        assert new.ts > last.ts
        assert contents(conversation) == ["a", "b", "d"]


class TestOneMessage:
    def test_a_deleted_message_is_gone_and_no_longer_counted(self) -> None:
        conversation = make_conversation()
        _, second, _ = say(conversation, *"abc")
        delete_message(conversation.user_id, conversation.conversation_id, second.message_id)
        assert contents(conversation) == ["a", "c"]
        assert header(conversation).message_count == 2
        for act in (get_message, delete_message):
            with pytest.raises(ItemNotFound, match="message"):
                act(conversation.user_id, conversation.conversation_id, second.message_id)
        assert header(conversation).message_count == 2

    def test_eight_concurrent_deletions_of_one_message_count_once(self) -> None:
        conversation = make_conversation()
        message, _ = say(conversation, *"ab")
        delete = partial(delete_message, conversation.user_id, conversation.conversation_id, message.message_id)
        outcomes = at_once([delete] * 8)
        assert sorted(map(str, outcomes)) == sorted(["None"] + ["There is no such message."] * 7)
        assert header(conversation).message_count == 1

    @pytest.mark.parametrize("message_id", ["", "msg_none", "MSG", "turn_01jgh2qg00ezb8r9p0v1s2t3w4", "a#b", "\x00"])
    def test_an_invalid_message_id_is_not_found(self, message_id: str) -> None:
        conversation = make_conversation()
        for act in (get_message, delete_message):
            with pytest.raises(ItemNotFound, match="message"):
                act(conversation.user_id, conversation.conversation_id, message_id)

    def test_another_id_with_the_same_time_is_not_found(self) -> None:
        conversation = make_conversation()
        (message,) = say(conversation, "a")
        forged = message.message_id[:-1] + ("0" if message.message_id[-1] != "0" else "1")
        for act in (get_message, delete_message):
            with pytest.raises(ItemNotFound, match="message"):
                act(conversation.user_id, conversation.conversation_id, forged)

    def test_a_message_of_another_conversation_is_not_found(self) -> None:
        conversation = make_conversation()
        user = make_user()
        (message,) = say(conversation, "a")
        with pytest.raises(ItemNotFound, match="conversation"):
            get_message(user.user_id, conversation.conversation_id, message.message_id)

    def test_a_conversation_id_that_is_not_allowed_in_a_key_is_refused_by_name(self) -> None:
        with pytest.raises(InvalidKeyField, match="conversation_id"):
            list_messages("usr_1", "a#b", 10)


class TestWhoseTheMessagesAre:
    """Each page checks the conversation's owner, whether it is read with the header or in parallel."""

    PAGES: ClassVar[dict[str, dict[str, Any]]] = {
        "oldest first": {},
        "newest first": {"descending": True},
        "newest first, since a moment": {"descending": True, "since": datetime(2020, 1, 1, tzinfo=UTC)},
        "newest first, until a moment": {"descending": True, "until": datetime(2999, 1, 1, tzinfo=UTC)},
        "a later page": {"descending": True, "after": datetime(2999, 1, 1, tzinfo=UTC)},
        "nothing between the two times": {
            "since": datetime(2030, 1, 1, tzinfo=UTC),
            "until": datetime(2020, 1, 1, tzinfo=UTC),
        },
    }
    every_page = pytest.mark.parametrize("choice", PAGES.values(), ids=PAGES.keys())

    def refused(self, user_id: str, conversation: Conversation, choice: dict[str, Any]) -> None:
        with pytest.raises(ItemNotFound, match="conversation"):
            list_messages(acting_for(user_id), conversation.conversation_id, 5, **choice)

    @every_page
    @pytest.mark.parametrize("count", [0, 3])
    def test_another_users_conversation_looks_missing(self, choice: dict[str, Any], count: int) -> None:
        conversation = make_conversation()
        say(conversation, *"abc"[:count])
        self.refused(make_user().user_id, conversation, choice)

    @every_page
    @pytest.mark.parametrize("how", ["expired", "deleting", "unknown"])
    def test_a_deleted_conversation_is_missing_even_while_its_messages_exist(
        self, choice: dict[str, Any], how: str
    ) -> None:
        conversation = make_conversation()
        say(conversation, *"abc")
        hide(conversation, how)
        self.refused(conversation.user_id, conversation, choice)

    @every_page
    def test_a_conversation_that_never_existed_is_missing(self, choice: dict[str, Any]) -> None:
        self.refused(make_user().user_id, Conversation.from_key(conversation_id="conv_none"), choice)

    @every_page
    def test_an_empty_conversation_has_an_empty_page(self, choice: dict[str, Any]) -> None:
        conversation = make_conversation()
        page = list_messages(conversation.user_id, conversation.conversation_id, 5, **choice)
        assert (page.items, page.more) == ((), False)

    @pytest.mark.parametrize(("limit", "more"), [(1, True), (2, True), (3, False), (100, False)])
    def test_the_newest_page_is_the_same_read_with_the_header_or_in_parallel(self, limit: int, more: bool) -> None:
        conversation = make_conversation()
        say(conversation, *"abc")
        ids = conversation.user_id, conversation.conversation_id
        with recorded() as sent:
            newest = list_messages(*ids, limit, descending=True)
        assert [request.operation for request in sent] == ["Query"]
        assert [message.content for message in newest.items] == ["c", "b", "a"][:limit]
        assert newest.more == more
        beside = list_messages(*ids, limit, descending=True, until=datetime(2999, 1, 1, tzinfo=UTC))
        assert newest.map(Message.serialize) == beside.map(Message.serialize)

    def test_the_newest_page_begins_at_the_right_message(self) -> None:
        conversation = make_conversation()
        said = say(conversation, *"abc")
        assert contents(conversation, descending=True, since=said[1].ts) == ["c", "b"]
        assert contents(conversation, descending=True, since=said[2].ts + clock.MICROSECOND) == []

    def test_a_failed_read_in_parallel_with_the_header_fails_the_page(self) -> None:
        conversation = make_conversation()
        say(conversation, *"abc")
        with refusals("Query", "a 500", times=100), pytest.raises(Exception, match="InternalServerError"):
            everything(conversation)
        assert contents(conversation) == ["a", "b", "c"]

    def test_a_missing_conversation_takes_precedence_over_a_failed_read(self) -> None:
        conversation = make_conversation()
        with refusals("Query", "a 500", times=100):
            self.refused(make_user().user_id, conversation, {})
