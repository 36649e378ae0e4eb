"""A conversation's header always has room for a turn: its total metadata is limited, even under concurrent updates."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.messages import Draft, append_messages
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_states import request_cancel
from models.access_patterns.turns import end_turn
from models.conversation import MAX_METADATA, MAX_TITLE, Conversation
from models.table.errors import InvalidValue, ItemNotFound, ItemTooLarge, MapTooLarge
from tests.factories import make_agent, make_conversation, say
from tests.raw import change, stored
from tests.together import at_once
from tests.wire import recorded

pytestmark = pytest.mark.usefixtures("table")
NAMES, BYTES = MAX_METADATA


def metadata(names: int, size: int = 1) -> dict[str, Any]:
    return {f"name {number}": "x" * size for number in range(names)}


def filled(size: int, names: int = 4) -> Conversation:
    """Return a conversation whose metadata was filled before it had a limit."""
    conversation = make_conversation()
    value = {name: {"S": json.dumps(text)} for name, text in metadata(names, size // names).items()}
    change(conversation, "metadata", {"M": value})
    return get_conversation(conversation.user_id, conversation.conversation_id)


def update(conversation: Conversation, **changes: Any) -> Conversation:
    return update_conversation(conversation.user_id, conversation.conversation_id, changes)


def run_a_turn(conversation: Conversation) -> None:
    begun = begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _: [Draft("user", "Hello")],
        window=5,
        lease=timedelta(seconds=30),
        retention_days=36_500,
    )
    assert request_cancel(begun.lease.turn)
    end_turn(begun.lease, "cancelled", [], {"input_tokens": 10**9, "output_tokens": 10**9})


def test_the_fullest_header_has_room_for_turns() -> None:
    conversation = make_conversation(title="😀" * MAX_TITLE, metadata=metadata(NAMES, BYTES // NAMES - 20))
    for _ in range(3):
        run_a_turn(conversation)
    say(conversation, "Hello")
    assert len(get_conversation(conversation.user_id, conversation.conversation_id).metadata) == NAMES


@pytest.mark.parametrize("given", [metadata(NAMES + 1), metadata(1, BYTES)], ids=["names", "bytes"])
def test_a_new_conversation_cannot_have_more_metadata(given: dict[str, Any]) -> None:
    agent = make_agent()
    with pytest.raises(MapTooLarge, match=r"metadata would have .* at most 64 names and 32,768 bytes are allowed"):
        create_conversation(agent.user_id, agent.agent_id, metadata=given)


@pytest.mark.parametrize(
    ("there", "added"),
    [(metadata(NAMES), {"one more": 1}), (metadata(2, BYTES // 2 - 100), {"more": "x" * 200})],
    ids=["names", "bytes"],
)
@pytest.mark.parametrize("archived", [False, True])
def test_updates_cannot_add_up_to_more_metadata(there: dict[str, Any], added: dict[str, Any], archived: bool) -> None:
    conversation = make_conversation(metadata=there)
    before = stored(conversation)
    which = conversation.user_id, conversation.conversation_id
    act = partial(set_conversation_status, *which, "archived") if archived else partial(update_conversation, *which)
    with pytest.raises(MapTooLarge, match=r"metadata would have .*, and it has (64|2) names and [0-9,]+ bytes now"):
        act({"metadata": added})
    assert stored(conversation) == before
    assert added.items() <= update(conversation, metadata={**added, "name 0": None}).metadata.items()


def test_two_concurrent_updates_do_not_exceed_the_limit() -> None:
    conversation = make_conversation(metadata=metadata(NAMES - 3))
    done = at_once([partial(update, conversation, metadata={f"new {number}": 1}) for number in range(6)])
    assert sorted((type(each) for each in done), key=str) == [Conversation] * 3 + [MapTooLarge] * 3
    assert len(get_conversation(conversation.user_id, conversation.conversation_id).metadata) == NAMES


def test_an_update_of_the_title_has_no_conflicts_and_reads_nothing() -> None:
    conversation = make_conversation()
    with recorded() as sent:
        update(conversation, title="Capitals")
    assert [each.operation for each in sent] == ["UpdateItem"]


def test_an_update_of_a_missing_conversation_is_refused() -> None:
    conversation = make_conversation()
    with pytest.raises(ItemNotFound):
        update_conversation(make_agent().user_id, conversation.conversation_id, {"metadata": {"a": 1}})


def test_metadata_that_is_already_over_the_limit_is_kept_and_may_shrink() -> None:
    conversation = filled(200_000)
    run_a_turn(conversation)
    say(conversation, "Hello")
    with pytest.raises(MapTooLarge, match="and it has 4 names and 200,"):
        update(conversation, metadata={"more": 1})
    smaller = update(conversation, metadata={"name 0": None})
    assert sorted(smaller.metadata) == ["name 1", "name 2", "name 3"]
    shorter = update(conversation, metadata={"name 1": "short"})
    assert shorter.metadata["name 1"] == "short"


@pytest.mark.parametrize("act", [run_a_turn, lambda conversation: say(conversation, "Hello")], ids=["turn", "append"])
def test_the_error_of_a_full_header_says_what_helps(act: Any) -> None:
    conversation = filled(408_000)
    before = stored(conversation)
    with pytest.raises(ItemTooLarge, match=r"its metadata, 4 names of 408,.* give null for names that can go"):
        act(conversation)
    assert stored(conversation) == before
    update(conversation, metadata={"name 0": None})
    act(conversation)


@pytest.mark.parametrize("title", ["x" * (MAX_TITLE + 1), 5, "\ud83d"])
def test_a_title_is_a_short_text(title: Any) -> None:
    conversation = make_conversation(title="Capitals")
    with pytest.raises(InvalidValue, match="title"):
        update(conversation, title=title)
    with pytest.raises(InvalidValue, match="title"):
        set_conversation_status(conversation.user_id, conversation.conversation_id, "archived", {"title": title})
    with pytest.raises(InvalidValue, match="title"):
        make_conversation(title=title)
    after = get_conversation(conversation.user_id, conversation.conversation_id)
    assert (after.title, after.status) == ("Capitals", "active")


def test_no_other_attribute_of_the_header_can_be_changed_like_metadata() -> None:
    conversation = make_conversation()
    for name in ("fence", "lease_turn", "user_id", "status", "metadata_version", "PK", "colour"):
        with pytest.raises(InvalidValue, match=f"{name}: cannot be changed here; these can: title, metadata"):
            update(conversation, **{name: "x"})


def test_appending_nothing_to_a_full_header_is_refused_too() -> None:
    conversation = filled(408_000)
    with pytest.raises(ItemTooLarge):
        append_messages(conversation.user_id, conversation.conversation_id, [])
