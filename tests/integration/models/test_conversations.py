"""Conversations: opened with one Query, listed by activity, closed and reopened."""

from datetime import datetime, timedelta
from functools import partial

import pytest

from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_agent_conversations,
    list_conversations,
    open_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.messages import Draft, append_messages, delete_message
from models.conversation import STATUSES, Conversation, ConversationStatus
from models.table.errors import Contended, ItemNotFound
from tests.factories import make_agent, make_conversation, make_user, say
from tests.fake_clock import FakeClock
from tests.raw import hide, stored
from tests.together import at_once
from tests.wire import others_come_first, recorded

pytestmark = pytest.mark.usefixtures("table")


def listed(conversation: Conversation, status: ConversationStatus | None = None) -> list[str]:
    page = list_conversations(conversation.user_id, 100, status=status)
    return [each.conversation_id for each in page.items]


def listed_at(conversation: Conversation) -> datetime:
    """Return the time of the last activity, which must be the same in both indexes."""
    (by_user,) = list_conversations(conversation.user_id, 10).items
    (by_agent,) = list_agent_conversations(conversation.user_id, conversation.agent_id, 10).items
    assert by_user.listed_at == by_agent.listed_at == header(conversation).listed_at
    moment: datetime = by_user.listed_at
    return moment


def header(conversation: Conversation) -> Conversation:
    return get_conversation(conversation.user_id, conversation.conversation_id)


def test_a_conversation_reads_back_unchanged(fake_clock: FakeClock) -> None:
    agent = make_agent()
    made = create_conversation(agent.user_id, agent.agent_id, title="On tables", metadata={"a.b": [1]})
    found = header(made)
    assert found.serialize() == made.serialize()
    assert (found.user_id, found.agent_id, found.title) == (agent.user_id, agent.agent_id, "On tables")
    assert (found.metadata, found.status) == ({"a.b": [1]}, "active")
    assert found.started_at == found.last_active_at == found.listed_at == fake_clock.moment
    assert found.last_message_at is None
    assert (found.message_count, found.turn_count, found.input_tokens, found.output_tokens) == (0, 0, 0, 0)
    assert (found.fence, found.leased()) == (0, False)


def test_a_conversation_needs_an_agent_of_the_same_user() -> None:
    mine, theirs = make_agent(), make_agent()
    for agent_id in (theirs.agent_id, "agt_none"):
        with pytest.raises(ItemNotFound, match="agent"):
            create_conversation(mine.user_id, agent_id)
    assert list_conversations(mine.user_id, 10).items == ()


def test_opening_reads_the_header_and_the_newest_messages_with_one_query() -> None:
    conversation = make_conversation(title="T")
    said = say(conversation, *[str(number) for number in range(30)])
    with recorded() as sent:
        opened = open_conversation(conversation.user_id, conversation.conversation_id, 20)
    assert [request.operation for request in sent] == ["Query"]
    assert (opened.conversation.title, opened.conversation.message_count) == ("T", 30)
    assert [each.message_id for each in opened.messages] == [each.message_id for each in said[10:]]
    assert opened.more


@pytest.mark.parametrize("count", [0, 1, 4, 5, 12])
def test_opening_says_whether_older_messages_exist(count: int) -> None:
    conversation = make_conversation()
    said = say(conversation, *[str(number) for number in range(count)])
    opened = open_conversation(conversation.user_id, conversation.conversation_id, 4)
    assert [each.content for each in opened.messages] == [each.content for each in said[-4:]]
    assert opened.more == (count > 4)


def test_opening_reads_a_window_larger_than_a_megabyte() -> None:
    conversation = make_conversation()
    said = say(conversation, *["x" * 100_000] * 25)
    opened = open_conversation(conversation.user_id, conversation.conversation_id, 20)
    assert [each.message_id for each in opened.messages] == [each.message_id for each in said[5:]]
    assert opened.more


def test_opening_without_messages_reads_only_the_header() -> None:
    conversation = make_conversation()
    say(conversation, "a")
    opened = open_conversation(conversation.user_id, conversation.conversation_id, 0)
    assert (opened.conversation.message_count, opened.messages, opened.more) == (1, (), True)


def test_opening_skips_an_unknown_item_and_still_fills_the_window() -> None:
    conversation = make_conversation()
    said = say(conversation, *"abcd")
    hide(said[2], "unknown")
    opened = open_conversation(conversation.user_id, conversation.conversation_id, 3)
    assert [each.content for each in opened.messages] == ["a", "b", "d"]
    assert not opened.more


def test_a_list_shows_what_a_person_needs_to_choose(fake_clock: FakeClock) -> None:
    agent = make_agent()
    made = make_conversation(agent, title="T")
    say(made, "Hello")
    (by_user,) = list_conversations(agent.user_id, 10).items
    (by_agent,) = list_agent_conversations(agent.user_id, agent.agent_id, 10).items
    for entry in (by_user, by_agent):
        assert (entry.conversation_id, entry.user_id, entry.agent_id) == (
            made.conversation_id,
            agent.user_id,
            agent.agent_id,
        )
        assert (entry.title, entry.status, entry.started_at) == ("T", "active", fake_clock.moment)


def test_lists_come_latest_activity_first(fake_clock: FakeClock) -> None:
    agent = make_agent()
    first = make_conversation(agent)
    fake_clock.advance(seconds=1)
    second = make_conversation(agent)
    assert listed(first) == [second.conversation_id, first.conversation_id]
    fake_clock.advance(seconds=1)
    say(first, "Still here")
    assert listed(first) == [first.conversation_id, second.conversation_id]
    assert [each.conversation_id for each in list_agent_conversations(agent.user_id, agent.agent_id, 10).items] == [
        first.conversation_id,
        second.conversation_id,
    ]


class TestActivity:
    """`last_active_at` is exact; the index keys follow with the first message, and then at most once a minute."""

    def test_the_first_message_updates_the_lists_immediately(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        moment = fake_clock.advance(seconds=1)
        say(conversation, "Hello")
        assert header(conversation).last_active_at == listed_at(conversation) == moment

    def test_within_a_minute_only_the_header_is_updated(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        moment = fake_clock.moment
        say(conversation, "one")
        for second in (1, 30, 59):
            fake_clock.moment = moment + timedelta(seconds=second)
            say(conversation, "more")
            assert header(conversation).last_active_at == fake_clock.moment
            assert listed_at(conversation) == moment
        fake_clock.moment = moment + timedelta(seconds=60)
        say(conversation, "a minute later")
        assert header(conversation).last_active_at == listed_at(conversation) == fake_clock.moment

    def test_of_twenty_messages_in_a_minute_one_updates_the_lists(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        seen = set()
        for _ in range(20):
            say(conversation, "and again")
            seen.add(listed_at(conversation))
            fake_clock.advance(seconds=2.9)
        assert len(seen) == 1

    def test_reading_and_renaming_are_no_activity(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        moment = fake_clock.moment
        fake_clock.advance(hours=1)
        open_conversation(conversation.user_id, conversation.conversation_id, 20)
        update_conversation(conversation.user_id, conversation.conversation_id, {"title": "New"})
        set_conversation_status(conversation.user_id, conversation.conversation_id, "archived")
        assert header(conversation).last_active_at == listed_at(conversation) == moment

    def test_deleting_a_message_is_no_activity(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        moment = fake_clock.moment
        first, _ = say(conversation, "one", "two")
        fake_clock.advance(hours=1)
        delete_message(conversation.user_id, conversation.conversation_id, first.message_id)
        assert header(conversation).last_active_at == moment + timedelta(microseconds=1)


def test_the_title_and_single_names_of_the_metadata_change() -> None:
    conversation = make_conversation(title="Old", metadata={"a": 1, "b": 2})
    changed = update_conversation(
        conversation.user_id, conversation.conversation_id, {"title": "New", "metadata": {"a": None, "c": {"S": "x"}}}
    )
    assert (changed.title, changed.metadata) == ("New", {"b": 2, "c": {"S": "x"}})
    assert header(conversation).serialize() == changed.serialize()
    (entry,) = list_conversations(conversation.user_id, 10).items
    assert entry.title == "New"
    removed = update_conversation(conversation.user_id, conversation.conversation_id, {"title": None})
    assert (removed.title, removed.metadata) == (None, {"b": 2, "c": {"S": "x"}})


@pytest.mark.parametrize("changes", [{}, {"metadata": {}}])
def test_an_empty_change_is_not_an_error(changes: dict[str, dict[str, str]]) -> None:
    conversation = make_conversation(title="T")
    before = stored(conversation)
    assert update_conversation(conversation.user_id, conversation.conversation_id, changes).title == "T"
    assert stored(conversation) == before
    with pytest.raises(ItemNotFound):
        update_conversation(make_user().user_id, conversation.conversation_id, changes)


def test_a_status_moves_the_conversation_between_the_lists() -> None:
    conversation = make_conversation()
    statuses: tuple[ConversationStatus, ...] = ("completed", "archived", "active")
    for status in statuses:
        changed = set_conversation_status(conversation.user_id, conversation.conversation_id, status, {"title": status})
        assert (changed.status, changed.title) == (status, status)
        for each in STATUSES:
            assert listed(conversation, each) == ([conversation.conversation_id] if each == status else [])
        assert listed(conversation) == [conversation.conversation_id]
        (entry,) = list_agent_conversations(conversation.user_id, conversation.agent_id, 10).items
        assert (entry.status, entry.title) == (status, status)


def test_a_reopened_conversation_keeps_its_activity(fake_clock: FakeClock) -> None:
    conversation = make_conversation()
    moment = fake_clock.moment
    set_conversation_status(conversation.user_id, conversation.conversation_id, "archived")
    fake_clock.advance(hours=1)
    set_conversation_status(conversation.user_id, conversation.conversation_id, "active")
    assert listed_at(conversation) == moment


def test_the_list_and_the_header_agree_on_the_status_under_concurrent_changes(fake_clock: FakeClock) -> None:
    conversation = make_conversation()

    def talk() -> None:
        for _ in range(4):
            fake_clock.advance(minutes=2)
            append_messages(conversation.user_id, conversation.conversation_id, [Draft("user", "Hello")])

    def put_away() -> None:
        for status in ("archived", "active", "completed"):
            set_conversation_status(conversation.user_id, conversation.conversation_id, status)

    at_once([talk, put_away, talk, put_away])
    status = header(conversation).status
    assert listed(conversation, status) == [conversation.conversation_id]
    assert listed(conversation) == [conversation.conversation_id]


def test_a_status_change_gives_up_if_the_conversation_keeps_changing(
    fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation = make_conversation()
    monkeypatch.setattr("models.access_patterns.conversations.pause", lambda _attempt: None)

    def talk() -> None:
        fake_clock.advance(minutes=1)
        say(conversation, "Hello")

    with others_come_first("UpdateItem", talk), pytest.raises(Contended):
        set_conversation_status(conversation.user_id, conversation.conversation_id, "completed")
    assert header(conversation).status == "active"
    with others_come_first("UpdateItem", talk, times=1):
        set_conversation_status(conversation.user_id, conversation.conversation_id, "completed")
    assert listed(conversation, "completed") == [conversation.conversation_id]


def test_eight_concurrently_set_names_of_metadata_are_all_kept() -> None:
    conversation = make_conversation()
    at_once(
        [
            partial(
                update_conversation,
                conversation.user_id,
                conversation.conversation_id,
                {"metadata": {f"name{number}": number}},
            )
            for number in range(8)
        ]
    )
    assert header(conversation).metadata == {f"name{number}": number for number in range(8)}
