"""How a removal deletes one page: it counts the page first, so that it can stop and resume at any point.

A worker that is killed leaves at most one page that is counted but not fully deleted; `Erasure.counts_to` knows its
end. Deleting an item twice is not an error. Within a page, dependent items are deleted before the items that refer to
them: events, then turns, then the rest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pynamodb.expressions.condition import Condition

from models.access_patterns.erasure import Hold
from models.access_patterns.removal.progress import checkpoint
from models.access_patterns.sharing import leads_to
from models.access_patterns.users import is_active
from models.agent import Agent
from models.api_key import ApiKey
from models.conversation import Conversation
from models.erasure import OBJECT, Erasure
from models.share import AgentGrant
from models.share_link import ShareLink
from models.table import blobs, clock
from models.table.changes import update_present
from models.table.errors import Contended, ContentUnavailable, ItemNotFound
from models.table.ids import moment_of
from models.table.item import Item
from models.table.reading import get_many, query
from models.table.writing import ConditionFailed, Transaction, delete_batch
from models.turn import EVENTS_KEPT, Turn, TurnEvents
from models.turn import ID_PREFIX as TURN_PREFIX
from models.user import User

_PAGE = 100
_EVENTS = 10_000
# A transaction can have 100 parts; one is the check of the user.
_COUNTS = 99
# A turn stores events while it runs; the longest lease is 15 minutes, renewed while the model streams.
_LONGEST_TURN = timedelta(hours=24)
_READ = [
    "PK",
    "SK",
    "entity",
    "turn_id",
    "key_hash",
    "token_hash",
    "owner_id",
    "shared_with",
    "published",
    "status",
    "last_event",
]

Raw = Mapping[str, Any]
Steps = Iterator[None]
"""A removal in progress: each `next` removes one page."""


def partition_of(entity: type[Item], **fields: str) -> str:
    """Return the partition key of an entity with these fields."""
    return entity.PK.template.render(**fields)


def first_items(partition: str, sort: Condition, limit: int = _PAGE) -> tuple[Raw, ...]:
    """Return the first items of any type in a range of a partition, with the attributes needed to remove them."""
    return query(partition, sort, limit=limit, consistent=True, attributes=_READ, peek=False).items


def delete_items(
    job: Erasure, hold: Hold, step: str, partition: str, sort: Condition, first: Sequence[Raw] | None = None
) -> Steps:
    """Delete the items in a range of a partition and their dependent items; `step` names the range in checkpoints.

    `first` is the first page, if it has been read already.
    """
    found = first_items(partition, sort) if first is None else first
    while found:
        _remove(job, hold, step, found)
        yield
        found = first_items(partition, sort)


def delete_objects(job: Erasure, hold: Hold, partition: str) -> Steps:
    """Delete the objects of a partition from the bucket; like items, each page is counted before it is deleted.

    This runs after the items are deleted, so that no object of a late write is missed, and before the entry that leads
    to the partition is deleted, so that an interrupted removal gets here again.

    Raises:
        Contended: the bucket did not delete all objects; the job can be resumed later.
    """
    step = f"objects of {partition}"
    try:
        while found := blobs.of_partition(partition):
            new = [key for key in found if not job.counts_to(step, key)]
            checkpoint(job, hold, (step, found[-1]), {OBJECT: len(new)})
            blobs.delete(found)
            yield
    except ContentUnavailable as error:
        raise Contended("The bucket did not delete all objects; try again.") from error


def _remove(job: Erasure, hold: Hold, step: str, found: Sequence[Raw]) -> None:
    """Count a page, then delete it."""
    counted = [raw for raw in found if job.counts_to(step, raw["SK"]["S"])]
    new = found[len(counted) :]
    turns, known = _named_turns(job, found), _named_turns(job, counted)
    stored = get_many(list(turns.values()), consistent=True, including_hidden=True)
    # A copied message names the turn of its original, which stays.
    for turn in stored:
        if turn is not None and turn.conversation_id != _conversation_of(found):
            del turns[turn.turn_id]
    there = [turn for turn in stored if turn is not None and not turn.hidden and turn.turn_id in turns]
    kinds = [raw["entity"]["S"] for raw in new] + [turn.ENTITY for turn in there if turn.turn_id not in known]
    records = there + [Turn.from_raw_data(dict(raw)) for raw in found if raw["entity"]["S"] == Turn.ENTITY]
    events = {turn.turn_id: _events(turn) for turn in records if _has_events(turn)}
    for turn_id in events.keys() - known.keys() - {_turn_of(raw) for raw in counted}:
        kinds += [TurnEvents.ENTITY] * len(events[turn_id])
    checkpoint(job, hold, (step, found[-1]["SK"]["S"]), Counter(kinds))
    delete_batch([key for keys in events.values() for key in keys])
    if job.kind != "user":
        _store_counts(job, there)
    delete_batch(_keys(turns.values()))
    delete_batch(_keys(ApiKey.from_key(key_hash=raw["key_hash"]["S"]) for raw in found if "key_hash" in raw))
    shared = [raw["token_hash"]["S"] for raw in found if "token_hash" in raw]
    delete_batch(_keys(ShareLink.from_key(token_hash=each) for each in shared))
    for raw in found:
        if raw["entity"]["S"] == Agent.ENTITY:
            delete_batch(leads_to(Agent.from_raw_data(dict(raw))))
        elif raw["entity"]["S"] == AgentGrant.ENTITY:
            _revoke_grant(AgentGrant.from_raw_data(dict(raw)))
    delete_batch([(raw["PK"]["S"], raw["SK"]["S"]) for raw in found])


def _store_counts(job: Erasure, turns: Sequence[Turn]) -> None:
    """Store the counts of turns that will be deleted; idempotent.

    No counts are stored for a user who is being deleted, because that erasure may have removed the counts already.
    """
    for start in range(0, len(turns), _COUNTS):
        transaction = Transaction()
        transaction.check("user", User.from_key(user_id=job.user_id), is_active())
        for turn in turns[start : start + _COUNTS]:
            transaction.put(turn.turn_id, turn.as_counted())
        with suppress(ConditionFailed):
            transaction.commit()


def _revoke_grant(grant: AgentGrant) -> None:
    """Remove a user who is being deleted from the users that an agent is shared with."""
    agent = Agent.from_key(user_id=grant.owner_id, agent_id=grant.agent_id)
    with suppress(ItemNotFound):
        update_present(agent, [Agent.shared_with.delete({grant.user_id})], None, "agent")


def _named_turns(job: Erasure, found: Sequence[Raw]) -> dict[str, Turn]:
    """Return the keys of the turns that the items of a conversation refer to, by turn id."""
    named = sorted({raw["turn_id"]["S"] for raw in found if "turn_id" in raw})
    return {turn_id: Turn.from_key(user_id=job.user_id, turn_id=turn_id) for turn_id in named}


def _conversation_of(found: Sequence[Raw]) -> str:
    """Return the id of the conversation that a page of items belongs to; an empty string if it is another partition."""
    return (Conversation.PK.template.parse(found[0]["PK"]["S"]) or {}).get("conversation_id", "")


def _turn_of(raw: Raw) -> str:
    """Return the turn's id if a raw item is the record of a turn, else an empty string."""
    return (Turn.SK.template.parse(raw["SK"]["S"]) or {}).get("turn_id", "")


def _has_events(turn: Turn) -> bool:
    """Whether a turn may have stored events: it was announced, and its id says that they have not expired."""
    began = moment_of(turn.turn_id, TURN_PREFIX)
    announced = turn.status == "running" or turn.last_event is not None
    return announced and began is not None and clock.now() - began < EVENTS_KEPT + _LONGEST_TURN


def _events(turn: Turn) -> list[tuple[str, str]]:
    """Return the keys of a turn's events."""
    partition = partition_of(TurnEvents, turn_id=turn.turn_id)
    sort = TurnEvents.SK.startswith(TurnEvents.SK.template.prefix)
    found = query(partition, sort, limit=_EVENTS, consistent=True, attributes=["PK", "SK"], peek=False).items
    return [(raw["PK"]["S"], raw["SK"]["S"]) for raw in found]


def _keys(items: Iterable[Item]) -> list[tuple[str, str]]:
    return [(item.PK, item.SK) for item in items]
