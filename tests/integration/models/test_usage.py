"""Usage: the tokens of a turn stay counted, once, after its record is deleted, until the user is deleted."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from models.access_patterns.messages import Draft, delete_message, list_messages
from models.access_patterns.removal import pages
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turns import end_turn
from models.access_patterns.usage import Usage, usage
from models.conversation import Conversation
from models.table.writing import delete_batch
from tests.erasing import delete_agent, delete_conversation, delete_user
from tests.factories import make_agent, make_conversation
from tests.fake_clock import FakeClock
from tests.integration.models.everything import LEASE
from tests.raw import whole_table
from tests.together import at_once

pytestmark = pytest.mark.usefixtures("empty_table")

SECRET = "The launch code is 0000"
TOOK = {"model": "echo-1", "input_tokens": 7, "output_tokens": 3}
ENDS = (
    ("completed", [Draft("agent", SECRET)], TOOK),
    ("failed", [], {**TOOK, "partial_text": SECRET, "error": {"code": "provider_error", "detail": SECRET}}),
)


@pytest.fixture
def talked(fake_clock: FakeClock) -> Conversation:
    """A conversation with a completed turn and a failed one."""
    fake_clock.moment = fake_clock.moment.replace(hour=12)
    return talk()


def talk(retention_days: int | None = None) -> Conversation:
    conversation = make_conversation(make_agent())
    for status, drafts, record in ENDS:
        begun = begin_turn(
            conversation.user_id,
            conversation.conversation_id,
            lambda _: [Draft("user", SECRET)],
            window=20,
            lease=LEASE,
            retention_days=retention_days,
        )
        end_turn(begun.lease, status, drafts, record)
    return conversation


def used(conversation: Conversation) -> list[Usage]:
    day = conversation.started_at.date()
    return usage(conversation.user_id, day, day)


def delete_messages(conversation: Conversation) -> None:
    ids = conversation.user_id, conversation.conversation_id
    for message in list_messages(*ids, 10).items:
        delete_message(*ids, message.message_id)


REMOVALS: dict[str, Callable[[Conversation], object]] = {
    "messages": delete_messages,
    "conversation": lambda made: delete_conversation(made.user_id, made.conversation_id),
    "agent": lambda made: delete_agent(made.user_id, made.agent_id),
    "messages, then the agent": lambda made: (delete_messages(made), delete_agent(made.user_id, made.agent_id)),
}


@pytest.mark.parametrize("remove", REMOVALS.values(), ids=REMOVALS)
def test_token_counts_are_kept_but_no_content(talked: Conversation, remove: Callable[[Conversation], object]) -> None:
    before = used(talked)
    assert [(each.turns, each.input_tokens, each.output_tokens) for each in before] == [(2, 14, 6)]
    remove(talked)
    assert used(talked) == before
    assert SECRET not in str(whole_table())
    assert not [keys for keys in whole_table() if keys[1].startswith("TURN#")]


def test_nothing_is_kept_of_a_deleted_user(talked: Conversation) -> None:
    delete_conversation(talked.user_id, talked.conversation_id)
    removed = delete_user(talked.user_id).removed
    assert removed["TurnCount"] == 2
    assert not [keys for keys in whole_table() if talked.user_id in keys[0] and "AUDIT" not in keys[0]]


def test_a_late_worker_keeps_nothing_of_a_deleted_user(talked: Conversation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation's erasure pauses right before it stores the counts, and the user's erasure overtakes it."""
    leave = pages._store_counts

    def late(*args: object) -> None:
        monkeypatch.setattr(pages, "_store_counts", leave)
        at_once([partial(delete_user, talked.user_id)])
        leave(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pages, "_store_counts", late)
    delete_conversation(talked.user_id, talked.conversation_id)
    assert not [keys for keys in whole_table() if keys[1].startswith("COUNTED#")]


def test_nothing_is_counted_twice_if_a_worker_dies_between_count_and_record(
    talked: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = used(talked)

    def die(keys: list[tuple[str, str]]) -> None:
        if any(key[1].startswith("TURN#") for key in keys):
            raise KeyboardInterrupt
        delete_batch(keys)

    monkeypatch.setattr(pages, "delete_batch", die)
    with pytest.raises(KeyboardInterrupt):
        delete_conversation(talked.user_id, talked.conversation_id)
    kinds = [keys[1].partition("#")[0] for keys in whole_table()]
    assert (kinds.count("TURN"), kinds.count("COUNTED")) == (2, 2)
    assert used(talked) == before


def test_the_tokens_of_an_expired_record_stay_counted(fake_clock: FakeClock) -> None:
    fake_clock.moment = fake_clock.moment.replace(hour=12)
    conversation = talk(retention_days=2)
    before = used(conversation)
    assert before[0].turns == 2
    fake_clock.advance(days=3)
    assert used(conversation) == before


def test_the_record_of_a_running_turn_is_kept_until_it_ends(talked: Conversation) -> None:
    """Its question is deleted; the worker still ends it, and its conversation's erasure finds the record."""
    ids = talked.user_id, talked.conversation_id
    begun = begin_turn(*ids, lambda _: [Draft("user", SECRET)], window=20, lease=timedelta(hours=1), announced=True)
    delete_message(*ids, begun.messages[0].message_id)
    turn, _ = end_turn(begun.lease, "failed", [], {**TOOK, "partial_text": SECRET})
    assert turn.status == "failed"
    assert used(talked)[0].turns == 3
    delete_conversation(*ids)
    assert SECRET not in str(whole_table())
    assert used(talked)[0].turns == 3
