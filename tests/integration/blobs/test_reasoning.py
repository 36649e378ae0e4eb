"""Reasoning too large for an item is stored in the bucket like any long text, and never costs an answer."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from models.access_patterns.declare import patterns
from models.access_patterns.large_texts import named_objects
from models.access_patterns.messages import Draft, delete_message, get_message, list_messages
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turns import end_turn
from models.conversation import Conversation
from models.message import Message, MessageReasoning
from models.table import blobs
from models.table.blobs import BlobSettings
from models.table.long_text import LongItem
from models.table.tenancy import acting_for
from tests.erasing import delete_conversation
from tests.factories import make_conversation, noise

Stored = Callable[[], dict[str, bytes]]
WHY = noise(1_000_000)


@pytest.fixture
def conversation(bucket: BlobSettings) -> Conversation:
    return make_conversation()


def begin(conversation: Conversation) -> Begun:
    owner = acting_for(conversation.user_id)
    drafts = [Draft("user", "Why?")]
    lease = timedelta(seconds=30)
    return begin_turn(owner, conversation.conversation_id, lambda _: drafts, window=20, lease=lease)


def answer(conversation: Conversation, text: str = "Because.", reasoning: str = WHY) -> Message:
    draft = Draft("agent", text, reasoning=reasoning)
    return end_turn(begin(conversation).lease, "completed", [draft], {})[1][0]


def newest(conversation: Conversation) -> Message:
    owner = acting_for(conversation.user_id)
    (message,) = list_messages(owner, conversation.conversation_id, 1, descending=True).items
    read_reasoning([message])
    return message


def test_it_is_stored_whole_and_read_on_request(conversation: Conversation, stored: Stored) -> None:
    message = answer(conversation)
    assert len(stored()) == 1
    found = newest(conversation)
    assert found.reasoning is not None
    assert found.reasoning.text == WHY
    alone = get_message(
        acting_for(conversation.user_id), conversation.conversation_id, message.message_id, reasoning=True
    )
    assert alone.reasoning is not None
    assert alone.reasoning.text == WHY


def test_its_object_is_in_use_until_its_message_is_deleted(conversation: Conversation, stored: Stored) -> None:
    message = answer(conversation)
    assert named_objects(stored()) == set(stored())
    delete_message(acting_for(conversation.user_id), conversation.conversation_id, message.message_id)
    assert stored() == {}


def test_its_object_is_deleted_with_its_conversation(conversation: Conversation, stored: Stored) -> None:
    answer(conversation)
    delete_conversation(acting_for(conversation.user_id), conversation.conversation_id)
    assert stored() == {}


def test_an_unreachable_bucket_loses_the_reasoning_and_not_the_answer(
    conversation: Conversation, bucket: BlobSettings, stored: Stored
) -> None:
    begun = begin(conversation)
    blobs.configure(replace(bucket, endpoint_url="http://127.0.0.1:1", max_attempts=1))
    end_turn(begun.lease, "completed", [Draft("agent", "Because.", reasoning=WHY)], {})
    blobs.configure(bucket)
    found = newest(conversation)
    assert (found.content, found.reasoning, found.attributes) == ("Because.", None, {"reasoning_left_out": True})
    assert stored() == {}


def test_what_cannot_be_fetched_says_so_and_leaves_the_message(conversation: Conversation) -> None:
    answer(conversation)
    blobs.delete([each.key for each in blobs.every()])
    found = newest(conversation)
    assert found.content == "Because."
    assert found.reasoning is not None
    assert found.reasoning.unavailable is not None
    assert found.reasoning.unavailable.lasting


def test_a_page_holds_8_mb_of_it_and_the_rest_says_so(conversation: Conversation) -> None:
    for seed in range(10):
        answer(conversation, reasoning=noise(1_000_000, seed))
    owner = acting_for(conversation.user_id)
    page = list_messages(owner, conversation.conversation_id, 100).items
    read_reasoning(page)
    found = [message.reasoning for message in page if message.reasoning is not None]
    assert len(found) == 10
    here = [each.unavailable is None for each in found]
    assert here == [True] * 8 + [False] * 2
    assert found[-1].unavailable is not None
    assert found[-1].unavailable.left_out


def _long_items(of: type[Any] = LongItem) -> Iterator[type[Any]]:
    for each in of.__subclasses__():
        yield each
        yield from _long_items(each)


def test_the_sweep_knows_every_entity_that_stores_objects() -> None:
    (pattern,) = (each for each in patterns() if each.id == "AP-97")
    (request,) = pattern.requests
    named = {each for each in _long_items() if "ENTITY" in vars(each) and each.__module__.startswith("models.")}
    assert MessageReasoning in named
    assert set(request.entities) == named
