"""How a removal deletes one page: each is counted before it goes, so that it can stop and go on anywhere.

A worker that is killed leaves at most one page that is counted and not, or not wholly, deleted; `Erasure.counts_to`
says up to where it is. Deleting twice is no error. Within a page, what hangs from an item goes before the item that
leads there: events, then turns, then the rest.
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
from models.erasure import OBJECT, Erasure
from models.share import AgentGrant
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
# A transaction takes 100 parts; the check of the user is one.
_COUNTS = 99
# A turn stores events for as long as it runs; the longest lease is 15 minutes, renewed while the model speaks.
_LONGEST_TURN = timedelta(hours=24)
_READ = ["PK", "SK", "entity", "turn_id", "key_hash", "owner_id", "shared_with", "published", "status", "last_event"]

Raw = Mapping[str, Any]
Steps = Iterator[None]
"""A removal that goes on when it is asked for the next page."""


def partition_of(entity: type[Item], **fields: str) -> str:
    """Return the partition key's value, from the fields that an entity makes it of."""
    return entity.PK.template.render(**fields)


def first_items(partition: str, sort: Condition, limit: int = _PAGE) -> tuple[Raw, ...]:
    """Return the first items of a part of a partition, whatever they are, with what is needed to remove them."""
    return query(partition, sort, limit=limit, consistent=True, attributes=_READ, peek=False).items


def delete_items(job: Erasure, hold: Hold, step: str, partition: str, sort: Condition) -> Steps:
    """Delete the items of a part of a partition, with what they lead to; `step` names the part for the count."""
    while found := first_items(partition, sort):
        _remove(job, hold, step, found)
        yield


def delete_objects(job: Erasure, hold: Hold, partition: str) -> Steps:
    """Delete what the items of a partition kept in the bucket, counted as they are: a page before it goes.

    After the items: what was on its way has come by then. Before what leads to them: so a removal that was cut short
    comes here again.

    Raises:
        Contended: the bucket kept some of it; the job can be gone on with later.
    """
    step = f"objects of {partition}"
    try:
        while found := blobs.of_partition(partition):
            new = [key for key in found if not job.counts_to(step, key)]
            checkpoint(job, hold, (step, found[-1]), {OBJECT: len(new)})
            blobs.delete(found)
            yield
    except ContentUnavailable as error:
        raise Contended("The bucket kept some of what is to be deleted; try again.") from error


def _remove(job: Erasure, hold: Hold, step: str, found: Sequence[Raw]) -> None:
    """Count a page, then delete it."""
    counted = [raw for raw in found if job.counts_to(step, raw["SK"]["S"])]
    new = found[len(counted) :]
    turns, known = _named_turns(job, found), _named_turns(job, counted)
    there = [turn for turn in get_many(list(turns.values()), consistent=True) if turn is not None] if turns else []
    kinds = [raw["entity"]["S"] for raw in new] + [turn.ENTITY for turn in there if turn.turn_id not in known]
    records = there + [Turn.from_raw_data(dict(raw)) for raw in found if raw["entity"]["S"] == Turn.ENTITY]
    events = {turn.turn_id: _events(turn) for turn in records if _has_events(turn)}
    for turn_id in events.keys() - known.keys() - {_turn_of(raw) for raw in counted}:
        kinds += [TurnEvents.ENTITY] * len(events[turn_id])
    checkpoint(job, hold, (step, found[-1]["SK"]["S"]), Counter(kinds))
    delete_batch([key for keys in events.values() for key in keys])
    if job.kind != "user":
        _leave_counts(job, there)
    delete_batch(_keys(turns.values()))
    delete_batch(_keys(ApiKey.from_key(key_hash=raw["key_hash"]["S"]) for raw in found if "key_hash" in raw))
    for raw in found:
        if raw["entity"]["S"] == Agent.ENTITY:
            delete_batch(leads_to(Agent.from_raw_data(dict(raw))))
        elif raw["entity"]["S"] == AgentGrant.ENTITY:
            _leave_grant(AgentGrant.from_raw_data(dict(raw)))
    delete_batch([(raw["PK"]["S"], raw["SK"]["S"]) for raw in found])


def _leave_counts(job: Erasure, turns: Sequence[Turn]) -> None:
    """Keep what turns took, that are going to be deleted; doing it twice is the same as once.

    Of a user who is being deleted nothing is kept: their own erasure may have passed the counts already.
    """
    for start in range(0, len(turns), _COUNTS):
        transaction = Transaction()
        transaction.check("user", User.from_key(user_id=job.user_id), is_active())
        for turn in turns[start : start + _COUNTS]:
            transaction.put(turn.turn_id, turn.as_counted())
        with suppress(ConditionFailed):
            transaction.commit()


def _leave_grant(grant: AgentGrant) -> None:
    """Take a user who goes out of those with whom somebody shares an agent."""
    agent = Agent.from_key(user_id=grant.owner_id, agent_id=grant.agent_id)
    with suppress(ItemNotFound):
        update_present(agent, [Agent.shared_with.delete({grant.user_id})], None, "agent")


def _named_turns(job: Erasure, found: Sequence[Raw]) -> dict[str, Turn]:
    """Return the keys of the turns that items of a conversation name, by their ids."""
    named = sorted({raw["turn_id"]["S"] for raw in found if "turn_id" in raw})
    return {turn_id: Turn.from_key(user_id=job.user_id, turn_id=turn_id) for turn_id in named}


def _turn_of(raw: Raw) -> str:
    """Return the id of the turn whose record a raw item is; empty for another item."""
    return (Turn.SK.template.parse(raw["SK"]["S"]) or {}).get("turn_id", "")


def _has_events(turn: Turn) -> bool:
    """Whether a turn may have events: it was announced, and they have not expired; the turn's id carries its time."""
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
