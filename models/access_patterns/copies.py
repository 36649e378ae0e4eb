"""Copies for a branch whose path would be too long: its last segment is copied into the branch instead.

So a window never needs more Queries than `MAX_HOPS` and one.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from models.access_patterns.conversations import owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.forks import Fork, create_messages
from models.access_patterns.paths import PREFIX
from models.access_patterns.retention import later
from models.access_patterns.roots import entry_of
from models.branch import COPYING, DROPPED, BranchEntry, Segment
from models.conversation import Conversation
from models.message import Message, MessageReasoning
from models.table import blobs, clock
from models.table.changes import update_present
from models.table.errors import ItemNotFound, TransactionTooLarge
from models.table.long_text import LongItem, load
from models.table.reading import get_many, keys, query
from models.table.writing import ConditionFailed, Transaction, delete_batch

log = logging.getLogger(__name__)

_PAGE = 25
_HEADER = Conversation.SK.template.text
_Long = TypeVar("_Long", bound=LongItem)
# What a copy does not have from its original: its keys, and where its text is stored.
_OWN = {"PK", "SK", "entity", "conversation_id", "packed", "blob"}


@access_pattern(
    "AP-47",
    "Shorten a branch's path",
    question="Copy what would make the path to this branch too long.",
    requests=(
        Request("TransactWriteItems", writes=(Write("ConditionCheck", Conversation), Write("Put", BranchEntry))),
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="ascending",
            page="25 and one more",
        ),
        Request("BatchGetItem", (MessageReasoning,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", BranchEntry),
                Write("Put", Message),
                Write("Put", MessageReasoning, optional=True),
            ),
        ),
    ),
    budget=Budget(
        4,
        3,
        22,
        "a question, and an answer with 2 KB of reasoning; 1 Query and at least 1 transaction for each 25 messages, 2 "
        "WCU for each transaction and for each KB of them",
        grows=True,
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/branches with a path of more than 8 conversations",),
)
def shorten(fork: Fork) -> Fork:
    """Return a fork with a path that is short enough; what it is shortened by is copied into the branch.

    The branch's entry is written first, hidden, so that the copies are deleted with the tree even if this worker dies.
    A deletion closes the entry, and nothing is copied from then on.

    Raises:
        ItemNotFound: the root, or the conversation that the branch leaves, is being deleted.
        ContentUnavailable: a large text cannot be fetched from, or stored in, the bucket.
    """
    short = replace(fork, path=fork.path[:-1], copying=True)
    entry = _entry(short)
    transaction = Transaction()
    transaction.create("entry", entry)
    transaction.check("root", fork.root, owned_by(fork.user_id))
    fork.check_parent(transaction)
    _commit(transaction)
    for page in _pages(fork.path[-2].until, fork.path[-1]):
        _copy(page, entry)
        ends = [message.expires_at for message in page]
        short.copies_end = later(*ends) if not short.copied else later(short.copies_end, *ends)
        short.copied += len(page)
    return short


@contextmanager
def shortened(fork: Fork) -> Iterator[Fork]:
    """Yield a fork with a path that is short enough. If the block raises and has not made the branch, its copies go.

    Cost: nothing for a short path; else AP-47, and AP-48 if the block raises.
    """
    if not fork.too_long:
        yield fork
        return
    try:
        yield shorten(fork)
    except Exception:
        try:
            drop_copies(fork)
        except Exception as error:
            log.warning("the copies for branch %s remain until its tree is deleted: %s", fork.branch_id, error)
        raise


@access_pattern(
    "AP-48",
    "Drop the copies of a branch",
    question="Remove what was copied for a branch that was then refused.",
    requests=(
        Request("UpdateItem", (BranchEntry,)),
        Request(
            "Query",
            (Message, MessageReasoning),
            sort_key="SK < THREAD",
            consistent=True,
            order="ascending",
            page="100",
            optional=True,
        ),
        Request(
            "BatchWriteItem",
            writes=tuple(Write("Delete", entity, optional=True) for entity in (Message, MessageReasoning, BranchEntry)),
            optional=True,
        ),
    ),
    budget=Budget(
        5,
        2,
        8,
        "a question, and an answer with 2 KB of reasoning; 1 Query for each 100 copies, 1 BatchWriteItem for each 25",
        grows=True,
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/branches with a path of more than 8 conversations",),
)
def drop_copies(fork: Fork) -> None:
    """Delete the copies of a branch that was not made; nothing if it was made, or is being deleted with its tree.

    The entry is closed first, so the branch cannot be made any more, and deleted last, so an interrupted removal is
    completed with the tree's.
    """
    entry = _entry(fork)
    try:
        update_present(entry, [BranchEntry.status.set(DROPPED)], BranchEntry.status.is_in(COPYING, DROPPED), "branch")
    except ItemNotFound:
        return
    partition = Message.PK.template.render(conversation_id=fork.branch_id)
    attributes = ["PK", "SK", "blob"]
    sort = Message.SK < _HEADER
    while found := query(partition, sort, limit=100, consistent=True, attributes=attributes, peek=False).items:
        delete_batch([(raw["PK"]["S"], raw["SK"]["S"]) for raw in found])
        blobs.discard([key for raw in found if (key := blobs.key_of(raw)) is not None])
    delete_batch([(entry.PK, entry.SK)])


def _pages(since: datetime, segment: Segment) -> Iterator[list[Message]]:
    """Yield the messages of a segment after `since`, oldest first, with their reasoning and all long texts."""
    partition = Message.PK.template.render(conversation_id=segment.conversation_id)
    bounds = (PREFIX + clock.to_timestamp(since) + "~", PREFIX + clock.to_timestamp(segment.until))
    after = None
    while True:
        page = query(partition, Message.SK.between(*bounds), limit=_PAGE, after=after, consistent=True, whole=False)
        messages: list[Message] = list(page.items)
        reasoned = [each for each in messages if each.reasoned]
        keys_of = [MessageReasoning.from_key(conversation_id=each.conversation_id, ts=each.ts) for each in reasoned]
        for message, reasoning in zip(reasoned, get_many(keys_of, consistent=True, whole=False), strict=True):
            message.reasoning = reasoning
        yield messages
        if not page.more:
            return
        after = keys(messages[-1])


def _copy(messages: Sequence[Message], entry: BranchEntry) -> None:
    """Write copies of messages into a branch's item collection, with the same ids and times.

    They need not be written together: nobody sees them before the branch's header exists.
    """
    if not messages:
        return
    transaction = Transaction()
    transaction.check("entry", entry, BranchEntry.status == COPYING)
    try:
        create_messages(transaction, [_copied(message, entry.branch_id) for message in messages])
    except TransactionTooLarge:
        half = len(messages) // 2
        _copy(messages[:half], entry)
        _copy(messages[half:], entry)
        return
    _commit(transaction)


def _commit(transaction: Transaction) -> None:
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("conversation") from error


def _entry(fork: Fork) -> BranchEntry:
    entry = entry_of(fork.header())
    entry.status = COPYING
    # None of the copies is kept longer than the root.
    entry.expires_at = fork.root.expires_at
    return entry


def _copied(message: Message, branch_id: str) -> Message:
    copy = _copy_of(message, branch_id)
    copy.reasoning = message.reasoning and _copy_of(message.reasoning, branch_id)
    return copy


def _copy_of(item: _Long, branch_id: str) -> _Long:
    load([item])
    fields = {name: getattr(item, name) for name in type(item).get_attributes() if name not in _OWN}
    copy = type(item)(**fields, conversation_id=branch_id)
    item.drop()
    return copy
