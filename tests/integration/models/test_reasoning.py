"""Reasoning of models: stored with its answer, read on request, removed with it, and never the loss of an answer."""

from datetime import timedelta

import pytest

from models.access_patterns.messages import Draft, append_messages, delete_message, get_message, list_messages
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_events import append_events, streamed
from models.access_patterns.turn_states import reconcile_turn
from models.access_patterns.turns import end_turn
from models.conversation import Conversation
from models.measure.probe import Probe
from models.message import Message
from models.table.errors import InvalidDraft, InvalidValue, ItemTooLarge
from models.table.item import MAX_TEXT_BYTES
from models.turn import EventId
from tests.erasing import delete_conversation
from tests.factories import make_conversation, noise, say
from tests.raw import whole_table

pytestmark = pytest.mark.usefixtures("table")

LEASE = timedelta(seconds=30)
WHY = "They ask for Lisbon, so the castle."


def answer(conversation: Conversation, *drafts: Draft, retention_days: int | None = None) -> list[Message]:
    """Run a turn that ends with these drafts; return the stored answer."""
    begun = begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", "What to see?")],
        window=20,
        lease=LEASE,
        retention_days=retention_days,
    )
    return end_turn(begun.lease, "completed", drafts, {})[1]


def listed(conversation: Conversation, **options: object) -> list[Message]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 100, **options)
    return list(page.items)


def reasons(messages: list[Message]) -> list[str | None]:
    read_reasoning(messages)
    return [message.reasoning and message.reasoning.text for message in messages]


def items_of(conversation: Conversation) -> list[str]:
    return sorted(sort for partition, sort in whole_table() if conversation.conversation_id in partition)


def test_a_list_includes_reasoning_only_on_request() -> None:
    conversation = make_conversation()
    answer(conversation, Draft("agent", "The castle.", reasoning=WHY))
    answer(conversation, Draft("agent", "You are welcome."))
    found = listed(conversation)
    assert [message.content for message in found] == ["What to see?", "The castle.", "What to see?", "You are welcome."]
    assert [message.reasoning for message in found] == [None] * 4
    assert reasons(found) == [None, WHY, None, None]
    assert reasons(listed(conversation, descending=True)) == [None, None, WHY, None]


def test_a_page_has_the_reasoning_of_its_own_messages() -> None:
    conversation = make_conversation()
    for number in range(5):
        answer(conversation, Draft("agent", f"Answer {number}", reasoning=f"Reason {number}"))
    page = list_messages(conversation.user_id, conversation.conversation_id, 4)
    assert reasons(list(page.items)) == [None, "Reason 0", None, "Reason 1"]
    rest = listed(conversation, after=page.items[-1].ts)
    assert reasons(rest) == [None, "Reason 2", None, "Reason 3", None, "Reason 4"]


def test_a_message_read_by_id_includes_its_reasoning_on_request() -> None:
    conversation = make_conversation()
    (message,) = answer(conversation, Draft("agent", "The castle.", reasoning=WHY))
    ids = (conversation.user_id, conversation.conversation_id, message.message_id)
    assert get_message(*ids).reasoning is None
    assert get_message(*ids, reasoning=True).reasoning.text == WHY


def test_no_request_is_sent_if_no_message_has_reasoning() -> None:
    conversation = make_conversation()
    said = say(conversation, "Hello", "Anybody?")
    with Probe().recording() as sent:
        read_reasoning(said)
        read_reasoning([])
    assert sent == []


def test_reasoning_is_deleted_with_its_message() -> None:
    conversation = make_conversation()
    first, second = answer(conversation, Draft("agent", "The castle.", reasoning=WHY), Draft("agent", "Or the river."))
    before = items_of(conversation)
    delete_message(conversation.user_id, conversation.conversation_id, second.message_id)
    delete_message(conversation.user_id, conversation.conversation_id, first.message_id)
    gone = set(before) - set(items_of(conversation))
    assert len([sort for sort in gone if sort.startswith("MESSAGE_REASONING#")]) == 1
    assert not any(sort.startswith("MESSAGE_REASONING#") for sort in items_of(conversation))


def test_reasoning_is_deleted_with_its_conversation() -> None:
    conversation = make_conversation()
    answer(conversation, Draft("agent", "The castle.", reasoning=WHY))
    delete_conversation(conversation.user_id, conversation.conversation_id)
    assert items_of(conversation) == []


def test_reasoning_expires_with_its_message() -> None:
    conversation = make_conversation()
    (message,) = answer(conversation, Draft("agent", "The castle.", reasoning=WHY), retention_days=1)
    assert message.expires_at is not None
    assert message.reasoning.expires_at == message.expires_at


def test_reasoning_takes_no_room_in_a_window() -> None:
    """It sorts before all messages, and no read of the newest ones looks at it."""
    conversation = make_conversation()
    for number in range(3):
        answer(conversation, Draft("agent", f"Answer {number}", reasoning=noise(20_000, number)))
    begun = begin_turn(
        conversation.user_id, conversation.conversation_id, lambda _: [Draft("user", "?")], window=20, lease=LEASE
    )
    assert len(begun.earlier) == 6
    assert not begun.older


@pytest.mark.parametrize("size", [5_000, MAX_TEXT_BYTES])
def test_long_reasoning_is_stored_whole(size: int) -> None:
    conversation = make_conversation()
    why = "because " * (size // 8)
    answer(conversation, Draft("agent", "The castle.", reasoning=why))
    assert reasons(listed(conversation)) == [None, why]


def test_reasoning_too_large_for_an_item_leaves_the_answer_and_a_note() -> None:
    conversation = make_conversation()
    notes = {"finish_reason": "length"}
    answer(conversation, Draft("agent", "The castle.", reasoning=noise(1_000_000), attributes=notes))
    (_, message) = listed(conversation)
    assert message.content == "The castle."
    assert message.attributes == {"finish_reason": "length", "reasoning_left_out": True}
    assert reasons([message]) == [None]


def test_reasoning_that_would_overfill_the_transaction_is_left_out() -> None:
    """Ten calls of 350 KB fit in a transaction; with 390 KB of reasoning they would be over 4 MB as they are sent."""
    conversation = make_conversation()
    calls = [
        Draft(
            "agent",
            noise(350_000, number),
            type="function_call",
            attributes={"call_id": f"call_{number}", "function_name": "look"},
            reasoning=noise(390_000, 99) if number == 0 else None,
        )
        for number in range(10)
    ]
    stored = answer(conversation, *calls)
    assert len(stored) == 10
    found = listed(conversation)
    assert [message.message_id for message in found[1:]] == [message.message_id for message in stored]
    assert found[1].attributes["reasoning_left_out"] is True
    assert reasons(found) == [None] * 11


def test_an_answer_that_fits_in_no_item_is_refused_with_or_without_reasoning() -> None:
    conversation = make_conversation()
    with pytest.raises(ItemTooLarge):
        answer(conversation, Draft("agent", noise(1_000_000), reasoning=WHY))


def test_only_an_agent_reasons() -> None:
    with pytest.raises(InvalidDraft, match="reasoning"):
        Draft("user", "Hello", reasoning="I wonder.")
    with pytest.raises(InvalidValue, match="reasoning"):
        Draft("agent", "Hello", reasoning="\ud83d")
    with pytest.raises(InvalidValue, match="reasoning"):
        Draft("agent", "Hello", reasoning=5)  # type: ignore[arg-type]


def test_messages_can_be_appended_with_reasoning() -> None:
    conversation = make_conversation()
    drafts = [Draft("agent", f"Answer {number}", reasoning=f"Reason {number}") for number in range(3)]
    append_messages(conversation.user_id, conversation.conversation_id, drafts)
    assert reasons(listed(conversation)) == ["Reason 0", "Reason 1", "Reason 2"]


class TestStreamed:
    """Pieces of reasoning are parts of the event that they follow."""

    def test_texts_keep_their_numbers(self) -> None:
        begun = begin_turn_of(make_conversation())
        events: list[tuple[EventId, list[str]]] = [
            (EventId(1, 2), ["Let ", "me see. "]),
            (EventId(3), ["The ", "castle"]),
            (EventId(3, 1), ["Also?"]),
            (EventId(4), [", early."]),
        ]
        for last, texts in events:
            append_events(begun, last, texts)
        whole = [
            (EventId(1, 1), "Let "),
            (EventId(1, 2), "me see. "),
            (EventId(2), "The "),
            (EventId(3), "castle"),
            (EventId(3, 1), "Also?"),
            (EventId(4), ", early."),
        ]
        for after in (EventId(0), EventId(1), *(event for event, _ in whole)):
            assert streamed(begun, after) == [each for each in whole if each[0] > after]

    def test_more_parts_than_ten_are_in_order(self) -> None:
        begun = begin_turn_of(make_conversation())
        for number in range(1, 31):
            append_events(begun, EventId(1, number), [str(number)])
        assert [text for _, text in streamed(begun, EventId(1, 9))] == [str(number) for number in range(10, 31)]

    def test_the_partial_text_of_an_orphan_has_none_of_it(self) -> None:
        conversation = make_conversation()
        begun = begin_turn(
            conversation.user_id,
            conversation.conversation_id,
            lambda _: [Draft("user", "?")],
            window=20,
            lease=timedelta(0),
            announced=True,
        )
        append_events(begun.lease.turn_id, EventId(1, 1), ["Let me see. "])
        append_events(begun.lease.turn_id, EventId(2), ["The castle"])
        assert reconcile_turn(begun.lease.turn).partial_text == "The castle"


def begin_turn_of(conversation: Conversation) -> str:
    begun = begin_turn(
        conversation.user_id, conversation.conversation_id, lambda _: [], window=20, lease=LEASE, announced=True
    )
    return begun.lease.turn_id
