"""Turns: one at a time per conversation; an end is stored only if the lease still holds, and then completely."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from models.access_patterns.conversations import (
    get_conversation,
    list_conversations,
    open_conversation,
    set_conversation_status,
)
from models.access_patterns.messages import Draft, delete_message
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turn_errors import LeaseExpired, LeaseHeld
from models.access_patterns.turn_states import get_turn, reconcile_turn
from models.access_patterns.turns import end_turn, renew_lease
from models.conversation import Conversation
from models.message import Message
from models.table.errors import Contended, ConversationNotActive, ItemNotFound, ItemTooLarge, LeaseLost
from models.table.ids import new_id
from models.table.item import MAX_TEXT_BYTES
from models.turn import UNKEPT_END, TurnEnd
from tests.erasing import delete_conversation
from tests.factories import make_conversation, make_user, noise, say
from tests.fake_clock import FakeClock
from tests.raw import stored, whole_table
from tests.together import at_once
from tests.wire import others_come_first, recorded

pytestmark = pytest.mark.usefixtures("table")

LEASE = timedelta(seconds=30)
ANSWER = (Draft("agent", "Hi!", llm_response_id="resp_1"),)
USED = {"provider": "echo", "model": "echo-1", "finish_reason": "stop", "input_tokens": 12, "output_tokens": 3}


def composing(*contents: str) -> Callable[[tuple[Message, ...]], Sequence[Draft]]:
    return lambda _earlier: [Draft("user", content) for content in contents]


def begin(conversation: Conversation, *contents: str, window: int = 20, announced: bool = False) -> Begun:
    """Begin a turn as the application does: an orphaned turn is reconciled first."""
    asked = partial(
        begin_turn, conversation.user_id, conversation.conversation_id, composing(*contents), window=window, lease=LEASE
    )
    try:
        return asked(announced=announced)
    except LeaseExpired as found:
        reconcile_turn(found.turn)
        return asked(announced=announced)


def header(conversation: Conversation) -> Conversation:
    return get_conversation(conversation.user_id, conversation.conversation_id)


def contents(conversation: Conversation) -> list[str]:
    opened = open_conversation(conversation.user_id, conversation.conversation_id, 100)
    return [message.content for message in opened.messages]


class TestBegin:
    def test_the_message_is_stored_and_the_lease_is_taken(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        say(conversation, "one", "two")
        moment = fake_clock.advance(seconds=5)
        begun = begin(conversation, "Hello")
        assert [message.content for message in begun.earlier] == ["one", "two"]
        (message,) = begun.messages
        assert (message.content, message.turn_id, message.ts) == ("Hello", begun.lease.turn_id, moment)
        assert contents(conversation) == ["one", "two", "Hello"]
        found = header(conversation)
        assert (found.lease_turn, found.lease_expires_at) == (begun.lease.turn_id, moment + LEASE)
        assert (found.fence, found.turn_count, found.message_count) == (1, 1, 3)
        assert (found.last_message_at, found.last_active_at) == (moment, moment)
        assert found.leased()

    def test_the_window_has_the_earlier_messages(self) -> None:
        conversation = make_conversation()
        say(conversation, *"abcde")
        begun = begin(conversation, "Hello", window=3)
        assert [message.content for message in begun.earlier] == ["c", "d", "e"]
        assert begun.older
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert not begin(conversation, "Again", window=7).older

    def test_a_turn_may_begin_without_a_message(self) -> None:
        conversation = make_conversation()
        say(conversation, "Hello?")
        begun = begin(conversation)
        assert (begun.messages, contents(conversation)) == ((), ["Hello?"])
        assert header(conversation).lease_turn == begun.lease.turn_id
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello?", "Hi!"]

    def test_a_refusal_to_compose_stores_nothing(self) -> None:
        conversation = make_conversation()
        before = stored(conversation)

        def refuse(_earlier: tuple[Message, ...]) -> Sequence[Draft]:
            raise ValueError("too long")

        with pytest.raises(ValueError, match="too long"):
            begin_turn(conversation.user_id, conversation.conversation_id, refuse, window=20, lease=LEASE)
        assert stored(conversation) == before

    def test_messages_appended_in_between_are_seen(self) -> None:
        conversation = make_conversation()
        with others_come_first("TransactWriteItems", partial(say, conversation, "Me first"), times=1):
            begun = begin(conversation, "Hello")
        assert [message.content for message in begun.earlier] == ["Me first"]
        assert contents(conversation) == ["Me first", "Hello"]

    def test_a_second_turn_is_refused_with_the_time_to_wait(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        fake_clock.advance(seconds=10)
        before = whole_table()
        with pytest.raises(LeaseHeld) as refusal:
            begin(conversation, "Me too")
        assert (refusal.value.turn_id, refusal.value.retry_after) == (begun.lease.turn_id, 20)
        assert whole_table() == before

    def test_of_eight_concurrent_turns_one_begins(self) -> None:
        conversation = make_conversation()
        outcomes = at_once([partial(begin, conversation, str(number)) for number in range(8)])
        (begun,) = (each for each in outcomes if isinstance(each, Begun))
        assert sum(isinstance(each, LeaseHeld) for each in outcomes) == 7
        assert contents(conversation) == [begun.messages[0].content]
        found = header(conversation)
        assert (found.fence, found.turn_count, found.lease_turn) == (1, 1, begun.lease.turn_id)

    def test_a_closed_conversation_begins_no_turn(self) -> None:
        conversation = make_conversation()
        set_conversation_status(conversation.user_id, conversation.conversation_id, "completed")
        with pytest.raises(ConversationNotActive):
            begin(conversation, "Hello")

    def test_constant_contention_ends_in_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("models.access_patterns.turns.pause", lambda _attempt: None)
        conversation = make_conversation()
        with others_come_first("TransactWriteItems", partial(say, conversation, "Me first")), pytest.raises(Contended):
            begin(conversation, "Hello")
        assert set(contents(conversation)) == {"Me first"}
        assert not header(conversation).leased()


class TestEnd:
    def test_the_answer_record_and_counters_are_stored_and_the_lease_is_released(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        started = fake_clock.moment
        begun = begin(conversation, "Hello")
        ended = fake_clock.advance(seconds=3)
        turn, (answer,) = end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "Hi!"]
        assert (answer.turn_id, answer.ts, answer.llm_response_id) == (begun.lease.turn_id, ended, "resp_1")
        found = header(conversation)
        assert (found.lease_turn, found.lease_expires_at, found.leased()) == (None, None, False)
        assert (found.message_count, found.turn_count, found.fence) == (2, 1, 1)
        assert (found.input_tokens, found.output_tokens) == (12, 3)
        assert (found.last_message_at, found.last_active_at) == (ended, ended)
        record = get_turn(conversation.user_id, turn.turn_id)
        assert record.serialize() == turn.serialize()
        assert (record.status, record.started_at, record.ended_at) == ("completed", started, ended)
        assert {name: getattr(record, name) for name in USED} == USED
        assert (record.conversation_id, record.agent_id) == (conversation.conversation_id, conversation.agent_id)

    def test_a_running_plain_turn_is_found_without_a_record(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        assert begun.lease.turn_id not in str([key for key in whole_table() if "#TURNS" in str(key)])
        found = get_turn(conversation.user_id, begun.lease.turn_id)
        assert (found.status, found.conversation_id) == ("running", conversation.conversation_id)
        with pytest.raises(ItemNotFound, match="turn"):
            get_turn(make_user().user_id, begun.lease.turn_id)
        with pytest.raises(ItemNotFound, match="turn"):
            get_turn(conversation.user_id, new_id("turn"))

    @pytest.mark.parametrize("status", ["failed", "cancelled", "interrupted"])
    def test_a_turn_that_ends_without_an_answer_keeps_the_partial_text_on_its_record(
        self, status: TurnEnd, fake_clock: FakeClock
    ) -> None:
        conversation = make_conversation()
        said = fake_clock.moment
        begun = begin(conversation, "Hello")
        fake_clock.advance(seconds=3)
        error = {"code": "provider_error", "detail": "It broke."}
        turn, messages = end_turn(begun.lease, status, (), {"error": error, "partial_text": "Hi, I"})
        assert (messages, contents(conversation)) == ([], ["Hello"])
        record = get_turn(conversation.user_id, turn.turn_id)
        assert (record.status, record.error, record.partial_text) == (status, error, "Hi, I")
        found = header(conversation)
        assert (found.last_active_at, found.message_count, found.leased()) == (said, 1, False)
        assert begin(conversation, "Again").lease.fence == 2

    def test_many_turns_count_up(self) -> None:
        conversation = make_conversation()
        for number in range(3):
            begun = begin(conversation, f"question {number}")
            end_turn(begun.lease, "completed", (Draft("agent", f"answer {number}"),), USED)
        found = header(conversation)
        assert (found.turn_count, found.message_count, found.fence) == (3, 6, 3)
        assert (found.input_tokens, found.output_tokens) == (36, 9)
        assert contents(conversation) == [f"{what} {number}" for number in range(3) for what in ("question", "answer")]

    def test_several_messages_of_an_answer_stay_together(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "2 + 2?")
        drafts = [
            Draft("agent", "{}", type="function_call", attributes={"call_id": "c1", "function_name": "add"}),
            Draft("tool", "4", type="function_result", attributes={"call_id": "c1"}),
            Draft("agent", "Four."),
        ]
        _, messages = end_turn(begun.lease, "completed", drafts, USED)
        assert {message.turn_id for message in messages} == {begun.lease.turn_id}
        assert contents(conversation) == ["2 + 2?", "{}", "4", "Four."]

    def test_messages_appended_during_the_turn_sort_before_the_answer(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        say(conversation, "By the way")
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "By the way", "Hi!"]
        assert header(conversation).message_count == 3

    def test_a_message_appended_at_the_last_moment_sorts_before_the_answer(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        with others_come_first("TransactWriteItems", partial(say, conversation, "By the way"), times=1):
            end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "By the way", "Hi!"]
        found = header(conversation)
        assert (found.message_count, found.turn_count, found.output_tokens) == (3, 1, 3)

    def test_concurrent_appends_and_ends_keep_one_order(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        works: list[Callable[[], Any]] = [partial(say, conversation, str(number)) for number in range(3)]
        works.append(partial(end_turn, begun.lease, "completed", ANSWER, USED))
        outcomes = at_once(works)
        assert not [each for each in outcomes if isinstance(each, Exception)]
        opened = open_conversation(conversation.user_id, conversation.conversation_id, 100)
        moments = [message.ts for message in opened.messages]
        assert moments == sorted(set(moments))
        assert sorted(message.content for message in opened.messages) == sorted(["Hello", "Hi!", "0", "1", "2"])
        assert opened.conversation.message_count == 5

    def test_a_clock_that_went_back_does_not_sort_the_answer_before_the_question(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        fake_clock.advance(minutes=-5)
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "Hi!"]

    def test_a_conversation_closed_during_a_turn_keeps_the_answer_and_its_position(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        set_conversation_status(conversation.user_id, conversation.conversation_id, "archived")
        fake_clock.advance(minutes=2)
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "Hi!"]
        assert header(conversation).status == "archived"
        (listed,) = list_conversations(conversation.user_id, 10).items
        assert (listed.status, listed.listed_at) == ("archived", fake_clock.moment)

    def test_an_answer_that_is_too_large_is_refused_and_the_turn_can_still_fail(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        with pytest.raises(ItemTooLarge):
            end_turn(begun.lease, "completed", (Draft("agent", noise(2 * MAX_TEXT_BYTES)),), USED)
        end_turn(begun.lease, "failed", (), {"error": {"code": "too_large", "detail": ""}})
        assert contents(conversation) == ["Hello"]
        assert not header(conversation).leased()


class TestTakeover:
    def test_an_expired_lease_is_taken_over_and_the_orphan_recorded(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        started = fake_clock.moment
        orphan = begin(conversation, "Hello")
        taken = fake_clock.advance(seconds=30)
        begun = begin(conversation, "Anybody there?")
        assert begun.lease.fence == orphan.lease.fence + 1
        assert [message.content for message in begun.earlier] == ["Hello"]
        record = get_turn(conversation.user_id, orphan.lease.turn_id)
        assert (record.status, record.started_at, record.ended_at) == ("interrupted", started, taken)
        assert record.error["code"] == "turn_interrupted"
        found = header(conversation)
        assert (found.lease_turn, found.fence, found.turn_count) == (begun.lease.turn_id, 2, 2)

    def test_a_lease_holds_until_it_expires(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begin(conversation, "Hello")
        fake_clock.advance(seconds=29.999999)
        with pytest.raises(LeaseHeld):
            begin(conversation, "Anybody there?")

    def test_of_eight_concurrent_takeovers_of_an_expired_lease_one_succeeds(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        orphan = begin(conversation, "Hello")
        fake_clock.advance(seconds=31)
        outcomes = at_once([partial(begin, conversation, str(number)) for number in range(8)])
        (begun,) = (each for each in outcomes if isinstance(each, Begun))
        assert sum(isinstance(each, LeaseHeld) for each in outcomes) == 7
        assert begun.lease.fence == 2
        assert contents(conversation) == ["Hello", begun.messages[0].content]
        assert get_turn(conversation.user_id, orphan.lease.turn_id).status == "interrupted"

    @pytest.mark.parametrize("status", ["completed", "failed"])
    def test_a_late_end_is_refused_and_changes_nothing(self, status: TurnEnd, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        late = begin(conversation, "Hello")
        fake_clock.advance(seconds=31)
        begun = begin(conversation, "Anybody there?")
        before = whole_table()
        with pytest.raises(LeaseLost):
            end_turn(late.lease, status, ANSWER if status == "completed" else (), USED)
        assert whole_table() == before
        end_turn(begun.lease, "completed", ANSWER, USED)
        before = whole_table()
        with pytest.raises(LeaseLost):
            end_turn(late.lease, status, ANSWER if status == "completed" else (), USED)
        assert whole_table() == before

    @pytest.mark.parametrize("announced", [False, True])
    def test_a_turn_cannot_end_twice_and_a_second_attempt_returns_the_first_end(self, announced: bool) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello", announced=announced)
        turn, messages = end_turn(begun.lease, "completed", ANSWER, USED)
        before = whole_table()
        again, found = end_turn(begun.lease, "failed", (), {})
        assert (again.status, again.ended_at) == ("completed", turn.ended_at)
        assert [message.message_id for message in found] == [message.message_id for message in messages]
        assert whole_table() == before

    def test_a_slow_worker_whose_expired_lease_nobody_took_may_still_end_its_turn(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        fake_clock.advance(hours=1)
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hello", "Hi!"]
        assert get_turn(conversation.user_id, begun.lease.turn_id).status == "completed"

    def test_of_a_concurrent_late_end_and_takeover_exactly_one_wins(self, fake_clock: FakeClock) -> None:
        for _ in range(5):
            conversation = make_conversation()
            late = begin(conversation, "Hello")
            fake_clock.advance(seconds=31)
            works: list[Callable[[], Any]] = [
                partial(end_turn, late.lease, "completed", ANSWER, USED),
                partial(begin, conversation, "Anybody there?"),
            ]
            ended, begun = at_once(works)
            assert isinstance(begun, Begun)
            record = get_turn(conversation.user_id, late.lease.turn_id)
            if isinstance(ended, LeaseLost):
                assert record.status == "interrupted"
                assert contents(conversation) == ["Hello", "Anybody there?"]
            else:
                assert record.status == "completed"
                assert contents(conversation) == ["Hello", "Hi!", "Anybody there?"]

    def test_a_message_can_be_appended_while_a_turn_is_orphaned(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begin(conversation, "Hello")
        fake_clock.advance(hours=1)
        say(conversation, "By the way")
        assert begin(conversation, "Anybody?").lease.fence == 2
        assert contents(conversation) == ["Hello", "By the way", "Anybody?"]


class TestNotKept:
    def test_its_record_says_so_from_start_to_end(self) -> None:
        conversation = make_conversation()
        begun = begin_unkept(conversation)
        running = get_turn(conversation.user_id, begun.lease.turn_id)
        assert (running.status, running.kept, running.as_begun().kept) == ("running", False, False)
        end_turn(begun.lease, "completed", ANSWER, {**USED, "pieces": b"\x01"})
        ended = get_turn(conversation.user_id, begun.lease.turn_id)
        assert (ended.status, ended.kept, ended.pieces) == ("completed", False, b"\x01")

    @pytest.mark.parametrize(("announced", "kept"), [(True, True), (False, None)])
    def test_so_does_that_of_a_kept_stream_but_not_that_of_a_plain_turn(
        self, announced: bool, kept: bool | None
    ) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello", announced=announced)
        turn, _ = end_turn(begun.lease, "completed", ANSWER, USED)
        assert (turn.kept, get_turn(conversation.user_id, turn.turn_id).kept) == (kept, kept)

    def test_an_orphan_is_recorded_without_reading_events_and_ends_after_all_that_may_have_been_sent(
        self, fake_clock: FakeClock
    ) -> None:
        conversation = make_conversation()
        begun = begin_unkept(conversation)
        fake_clock.advance(hours=1)
        with recorded() as sent:
            turn = reconcile_turn(get_turn(conversation.user_id, begun.lease.turn_id))
        assert (turn.status, turn.last_event, turn.partial_text) == ("interrupted", UNKEPT_END, None)
        assert turn.error["detail"].endswith("Its text was not stored while it ran.")
        assert "Query" not in [request.operation for request in sent]
        assert get_turn(conversation.user_id, begun.lease.turn_id).last_event == UNKEPT_END


def begin_unkept(conversation: Conversation) -> Begun:
    return begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        composing("Hello"),
        window=20,
        lease=LEASE,
        announced=True,
        kept=False,
    )


class TestGivenUp:
    @pytest.mark.parametrize("announced", [False, True])
    def test_a_turn_that_its_worker_abandons_ends_before_its_lease_expires(
        self, fake_clock: FakeClock, announced: bool
    ) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello", announced=announced)
        assert reconcile_turn(begun.lease.turn).status == "running"
        settled = reconcile_turn(begun.lease.turn, abandoned="Nobody runs it.")
        assert (settled.status, settled.error["detail"]) == ("interrupted", "Nobody runs it.")
        assert not header(conversation).leased()
        assert reconcile_turn(begun.lease.turn, abandoned="Again.").error == settled.error
        assert begin(conversation, "Again").lease.fence == begun.lease.fence + 1

    def test_abandoning_an_ended_turn_changes_neither_it_nor_the_next_one(self) -> None:
        conversation = make_conversation()
        first = begin(conversation, "Hello")
        end_turn(first.lease, "completed", ANSWER, USED)
        second = begin(conversation, "Again")
        assert reconcile_turn(first.lease.turn, abandoned="Nobody runs it.").status == "completed"
        assert header(conversation).lease_turn == second.lease.turn_id

    def test_a_turn_that_never_began_is_missing(self) -> None:
        conversation = make_conversation()
        begun = begin(make_conversation(), "Hello")
        never = replace(begun.lease, conversation=conversation, user_id=conversation.user_id).turn
        with pytest.raises(ItemNotFound):
            reconcile_turn(never, abandoned="Nobody runs it.")
        assert stored(conversation)


class TestRenew:
    def test_a_renewed_lease_lasts_longer(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        for _ in range(5):
            fake_clock.advance(seconds=20)
            renew_lease(begun.lease, LEASE)
        with pytest.raises(LeaseHeld) as refusal:
            begin(conversation, "Me too")
        assert refusal.value.retry_after == 30
        end_turn(begun.lease, "completed", ANSWER, USED)

    def test_renewing_changes_only_the_expiry_of_the_lease(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        before = stored(conversation)
        fake_clock.advance(seconds=1)
        renew_lease(begun.lease, LEASE)
        after = stored(conversation)
        assert {name for name in after if after[name] != before[name]} == {"lease_expires_at"}
        assert after.keys() == before.keys()

    def test_a_lease_that_was_taken_over_or_released_is_not_renewed(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        late = begin(conversation, "Hello")
        fake_clock.advance(seconds=31)
        begun = begin(conversation, "Anybody there?")
        before = whole_table()
        with pytest.raises(LeaseLost):
            renew_lease(late.lease, LEASE)
        assert whole_table() == before
        end_turn(begun.lease, "completed", ANSWER, USED)
        with pytest.raises(LeaseLost):
            renew_lease(begun.lease, LEASE)


class TestRemovalMeanwhile:
    def test_the_end_of_a_turn_on_a_deleted_conversation_writes_nothing(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        delete_conversation(conversation.user_id, conversation.conversation_id)
        before = whole_table()
        with pytest.raises(LeaseLost):
            end_turn(begun.lease, "completed", ANSWER, USED)
        with pytest.raises(LeaseLost):
            renew_lease(begun.lease, LEASE)
        with pytest.raises(ItemNotFound):
            begin(conversation, "Hello")
        assert whole_table() == before

    def test_a_deleted_question_may_still_be_answered(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        (message,) = begun.messages
        delete_message(conversation.user_id, conversation.conversation_id, message.message_id)
        end_turn(begun.lease, "completed", ANSWER, USED)
        assert contents(conversation) == ["Hi!"]
        assert header(conversation).message_count == 1

    def test_deleting_a_message_deletes_the_record_of_its_turn(self) -> None:
        conversation = make_conversation()
        begun = begin(conversation, "Hello")
        end_turn(begun.lease, "failed", (), {"partial_text": "You said Hello"})
        (message,) = begun.messages
        delete_message(conversation.user_id, conversation.conversation_id, message.message_id)
        with pytest.raises(ItemNotFound, match="turn"):
            get_turn(conversation.user_id, begun.lease.turn_id)
