"""The removal itself: page by page, each counted before it is deleted, so that it can stop and go on anywhere.

A worker that is killed leaves at most one page that is counted and not, or not wholly, deleted. The walk is always the
same, and a part of the table is empty before the next one begins; so whoever goes on meets the rest of just that page
first, and `counted` says up to where it is counted. Deleting twice is no error. A worker that was away too long finds
its fence passed when it counts; what it still deletes before that has to go in any case.

Within a page, what hangs from an item goes before the item that leads there: events, then turns, then the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

from pynamodb.exceptions import UpdateError
from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models import blobs, clock, retries
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.erasure import Hold, unreachable
from models.access_patterns.sharing import leads_to
from models.access_patterns.users import is_active
from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
from models.changes import condition_failed, set_or_remove, update_present
from models.conversation import Conversation, ConversationEntry
from models.erasure import OBJECT, RECEIPTS_KEPT, Erasure, PendingErasure
from models.errors import Contended, ContentUnavailable, ItemNotFound, LeaseLost
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.ids import moment_of
from models.message import Message
from models.reading import get_even_gone, get_many, query
from models.request_count import RequestCount
from models.share import AgentGrant, PublishedAgent
from models.state import ConversationState, UserState
from models.table import DELETING, Item, expiry
from models.turn import EVENTS_KEPT, Turn, TurnCount, TurnEntry, TurnEvents
from models.turn import ID_PREFIX as TURN_PREFIX
from models.user import EmailClaim, User
from models.writing import ConditionFailed, Transaction, delete_batch

_PAGE = 100
_EVENTS = 10_000
# A transaction takes 100 parts; the check of the user is one.
_COUNTS = 99
# A turn stores events for as long as it runs; the longest lease is 15 minutes, renewed while the model speaks.
_LONGEST_TURN = timedelta(hours=24)
_HEADER = Conversation.SK.template.text
_PROFILE = User.SK.template.text
_READ = ["PK", "SK", "entity", "turn_id", "key_hash", "owner_id", "shared_with", "published", "status", "last_event"]

Raw = Mapping[str, Any]
Steps = Iterator[None]


def _query(*entities: type[Item], sort_key: str) -> Request:
    return Request("Query", entities, sort_key=sort_key, consistent=True, order="ascending", page="100", optional=True)


@access_pattern(
    "AP-73",
    "Go on with an erasure",
    question="Remove what is still there of something that is being deleted.",
    requests=(
        _query(Message, ConversationState, TurnEntry, sort_key="SK < THREAD"),
        _query(ConversationEntry, sort_key="begins_with CONV# or CONV#{agent_id}#"),
        _query(ApiKeyEntry, sort_key="begins_with KEY#"),
        _query(Agent, Allowance, ConversationEntry, ApiKeyEntry, UserState, AgentGrant, sort_key="SK < PROFILE"),
        _query(TurnEvents, sort_key="begins_with EVENT#"),
        _query(Turn, sort_key="begins_with TURN#"),
        _query(TurnCount, sort_key="begins_with COUNTED#"),
        _query(IdempotencyRecord, sort_key="begins_with KEY#"),
        _query(RequestCount, sort_key="begins_with MINUTE#"),
        Request("BatchGetItem", (Turn,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(Write("ConditionCheck", User), Write("Put", TurnCount)),
            optional=True,
        ),
        Request("UpdateItem", (Conversation,), optional=True),
        Request("UpdateItem", (Agent,), optional=True),
        Request("UpdateItem", (Identity,), optional=True),
        Request("UpdateItem", (Erasure,), optional=True),
        Request(
            "BatchWriteItem",
            writes=tuple(
                Write("Delete", entity, optional=True)
                for entity in (
                    Message,
                    ConversationState,
                    TurnEntry,
                    Turn,
                    TurnCount,
                    TurnEvents,
                    Conversation,
                    ConversationEntry,
                    ApiKey,
                    ApiKeyEntry,
                    Agent,
                    UserState,
                    AgentGrant,
                    PublishedAgent,
                    Allowance,
                    IdempotencyRecord,
                    RequestCount,
                )
            ),
            optional=True,
        ),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
        Request("GetItem", (Agent,), consistent=True, optional=True),
        Request("GetItem", (User,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                *(
                    Write("Delete", entity, optional=True)
                    for entity in (Conversation, ConversationEntry, Agent, EmailClaim, User)
                ),
                Write("Update", Erasure),
                Write("Delete", PendingErasure),
            ),
        ),
    ),
    budget=Budget(
        9, 11, 44, "a conversation of 10 messages in 5 turns; grows with it, 100 items a page, 25 a delete", grows=True
    ),
    routes=(
        "DELETE /api/v1/conversations/{conversation_id}",
        "DELETE /api/v1/agents/{agent_id}",
        "DELETE /api/v1/users/{user_id}",
    ),
)
def erase(job: Erasure, hold: Hold, go_on: Callable[[Erasure], bool] | None = None) -> Erasure:
    """Remove what a job is for, to its end or until `go_on` says no; return the job as it is then.

    Args:
        job: the job, whose lease this worker has.
        hold: for how long the lease is renewed with each page.
        go_on: asked after each page, with what is removed so far.

    Raises:
        LeaseLost: another worker goes on with it.
        Contended: DynamoDB kept leaving something undone; the job can be gone on with later.
    """
    match job.kind:
        case "conversation":
            steps = _contents(job, hold, job.target_id)
        case "agent":
            steps = _agent(job, hold)
        case _:
            steps = _everything(job, hold)
    for _ in steps:
        # Each page has its own time.
        retries.begin()
        if go_on is not None and not go_on(job):
            return job
    _complete(job)
    return job


def _everything(job: Erasure, hold: Hold) -> Steps:
    """Remove all that is a user's but the profile: identity and keys first, so that nobody gets in any more."""
    user: User | None = get_even_gone(User, user_id=job.user_id)
    if user is not None:
        _close_identity(user)
    partition = _partition(User, user_id=job.user_id)
    yield from _empty(job, hold, "keys", partition, ApiKeyEntry.SK.startswith(ApiKeyEntry.SK.template.prefix))
    yield from _conversations(job, hold, ConversationEntry.SK.template.prefix)
    # What is a user's in partitions of its own, a line each.
    turns = _partition(Turn, user_id=job.user_id)
    yield from _empty(job, hold, "turns", turns, Turn.SK.startswith(Turn.SK.template.prefix))
    yield from _empty(job, hold, "counts", turns, TurnCount.SK.startswith(TurnCount.SK.template.prefix))
    repeats = _partition(IdempotencyRecord, user_id=job.user_id)
    yield from _empty(
        job, hold, "repeats", repeats, IdempotencyRecord.SK.startswith(IdempotencyRecord.SK.template.prefix)
    )
    requests = _partition(RequestCount, user_id=job.user_id)
    yield from _empty(job, hold, "requests", requests, RequestCount.SK.startswith(RequestCount.SK.template.prefix))
    yield from _empty(job, hold, "profile", partition, User.SK < _PROFILE)
    yield from _objects(job, hold, partition)


def _close_identity(user: User) -> None:
    """Keep whoever came with a token from coming in again; all that is left of the identity is its hash."""
    if user.identity_hash is None:
        return
    actions: list[Action] = [
        Identity.status.set("closed"),
        Identity.closed_at.set(clock.now()),
        Identity.user_id.remove(),
        Identity.issuer.remove(),
        Identity.subject.remove(),
    ]
    with suppress(ItemNotFound):
        update_present(Identity.keyed(identity_hash=user.identity_hash), actions, None, "identity")


def _agent(job: Erasure, hold: Hold) -> Steps:
    """Remove what leads others to an agent, then its owner's conversations with it; other people's are theirs."""
    agent: Agent | None = get_even_gone(Agent, user_id=job.user_id, agent_id=job.target_id)
    if agent is not None:
        delete_batch(leads_to(agent))
    yield from _conversations(job, hold, f"{ConversationEntry.SK.template.prefix}{job.target_id}#")


def _conversations(job: Erasure, hold: Hold, prefix: str) -> Steps:
    """Remove a user's conversations, one after the other; first each header is marked, so that nobody writes to it."""
    partition = _partition(User, user_id=job.user_id)
    while found := _page(partition, ConversationEntry.SK.startswith(prefix), limit=1):
        key = ConversationEntry.SK.template.parse(found[0]["SK"]["S"]) or {}
        header = Conversation.keyed(conversation_id=key["conversation_id"])
        marks = [Conversation.status.set(DELETING), Conversation.erasure_id.set(job.erasure_id), *unreachable()]
        there = True
        try:
            update_present(header, marks, Conversation.user_id == job.user_id, "conversation")
        except ItemNotFound:
            # Its TTL or another erasure was faster; what may be left of it goes all the same.
            there = False
        yield from _contents(job, hold, header.conversation_id)
        if there:
            _count(job, hold, (header.conversation_id, header.SK), {Conversation.ENTITY: 1})
            delete_batch([(header.PK, header.SK)])
        # What leads to the header goes when the header is gone, and not in the same batch, which has no order.
        delete_batch([(found[0]["PK"]["S"], found[0]["SK"]["S"])])
        yield


def _contents(job: Erasure, hold: Hold, conversation_id: str) -> Steps:
    """Remove all that is in a conversation but its header."""
    partition = _partition(Conversation, conversation_id=conversation_id)
    yield from _empty(job, hold, conversation_id, partition, Message.SK < _HEADER)
    yield from _objects(job, hold, partition)


def _objects(job: Erasure, hold: Hold, partition: str) -> Steps:
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
            _count(job, hold, (step, found[-1]), {OBJECT: len(new)})
            blobs.delete(found)
            yield
    except ContentUnavailable as error:
        raise Contended("The bucket kept some of what is to be deleted; try again.") from error


def _empty(job: Erasure, hold: Hold, step: str, partition: str, sort: Condition) -> Steps:
    """Delete the items of a part of a partition, with what they lead to; `step` names the part for the count."""
    while found := _page(partition, sort):
        _remove(job, hold, step, found)
        yield


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
    _count(job, hold, (step, found[-1]["SK"]["S"]), Counter(kinds))
    delete_batch([key for keys in events.values() for key in keys])
    if job.kind != "user":
        _leave_counts(job, there)
    delete_batch(_keys(turns.values()))
    delete_batch(_keys(ApiKey.keyed(key_hash=raw["key_hash"]["S"]) for raw in found if "key_hash" in raw))
    for raw in found:
        if raw["entity"]["S"] == Agent.ENTITY:
            delete_batch(leads_to(Agent.from_raw_data(dict(raw))))
        elif raw["entity"]["S"] == AgentGrant.ENTITY:
            _give_back(AgentGrant.from_raw_data(dict(raw)))
    delete_batch([(raw["PK"]["S"], raw["SK"]["S"]) for raw in found])


def _leave_counts(job: Erasure, turns: Sequence[Turn]) -> None:
    """Keep what turns took, that are going to be deleted; doing it twice is the same as once.

    Of a user who is being deleted nothing is kept: their own erasure may have passed the counts already.
    """
    for start in range(0, len(turns), _COUNTS):
        transaction = Transaction()
        transaction.check("user", User.keyed(user_id=job.user_id), is_active())
        for turn in turns[start : start + _COUNTS]:
            transaction.put(turn.turn_id, turn.as_counted())
        with suppress(ConditionFailed):
            transaction.commit()


def _give_back(grant: AgentGrant) -> None:
    """Take a user who goes out of those with whom somebody shares an agent."""
    agent = Agent.keyed(user_id=grant.owner_id, agent_id=grant.agent_id)
    with suppress(ItemNotFound):
        update_present(agent, [Agent.shared_with.delete({grant.user_id})], None, "agent")


def _named_turns(job: Erasure, found: Sequence[Raw]) -> dict[str, Turn]:
    """Return the keys of the turns that items of a conversation name, by their ids."""
    named = sorted({raw["turn_id"]["S"] for raw in found if "turn_id" in raw})
    return {turn_id: Turn.keyed(user_id=job.user_id, turn_id=turn_id) for turn_id in named}


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
    partition = _partition(TurnEvents, turn_id=turn.turn_id)
    sort = TurnEvents.SK.startswith(TurnEvents.SK.template.prefix)
    found = query(partition, sort, limit=_EVENTS, consistent=True, attributes=["PK", "SK"], peek=False).items
    return [(raw["PK"]["S"], raw["SK"]["S"]) for raw in found]


def _keys(items: Iterable[Item]) -> list[tuple[str, str]]:
    return [(item.PK, item.SK) for item in items]


def _count(job: Erasure, hold: Hold, place: tuple[str, str], counts: Mapping[str, int]) -> None:
    """Write down what is going to be deleted up to a place, and renew the lease; twice is the same as once.

    Raises:
        LeaseLost: another worker goes on with the job.
    """
    if job.counts_to(*place):
        counts = {}
    actions: list[Action] = [
        Erasure.removed.set(_sum(job, counts)),
        Erasure.counted.set(list(place)),
        Erasure.lease_expires_at.set(clock.table_now() + hold.lease),
    ]
    try:
        job.update(actions=actions, condition=_ours(job))
    except UpdateError as error:
        if condition_failed(error):
            raise LeaseLost(job.erasure_id) from error
        raise


def _sum(job: Erasure, counts: Mapping[str, int]) -> dict[str, int]:
    return dict(
        sorted((job.removed | {name: job.removed.get(name, 0) + count for name, count in counts.items()}).items())
    )


def _ours(job: Erasure) -> Condition:
    condition: Condition = (Erasure.fence == job.fence) & (Erasure.worker == job.worker)
    condition &= Erasure.completed_at.does_not_exist()
    return condition


def _complete(job: Erasure) -> None:
    """Delete the head item and make the job its receipt, both or neither.

    Raises:
        LeaseLost: another worker goes on with the job.
    """
    head, leads = _head(job)
    moment = clock.now()
    removed = _sum(job, {type(head).ENTITY: 1} if head is not None else {})
    transaction = Transaction()
    for part, item in enumerate([head, *leads] if head is not None else []):
        transaction.delete(f"part {part}", item)
    actions: list[Action] = [
        Erasure.completed_at.set(moment),
        Erasure.removed.set(removed),
        set_or_remove(Erasure.expires_at, expiry(moment + RECEIPTS_KEPT)),
        Erasure.lease_expires_at.remove(),
    ]
    transaction.update("erasure", job, actions, _ours(job))
    transaction.delete("pending", PendingErasure(erasure_id=job.erasure_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise LeaseLost(job.erasure_id) from error
    job.completed_at, job.removed, job.lease_expires_at = moment, removed, None


def _head(job: Erasure) -> tuple[Item | None, list[Item]]:
    """Return what a job is for, if it is still there, and the items that lead to it."""
    if job.kind == "conversation":
        header: Conversation | None = get_even_gone(Conversation, conversation_id=job.target_id)
        if header is None or header.user_id != job.user_id:
            return None, []
        entry = {"user_id": job.user_id, "agent_id": header.agent_id, "conversation_id": job.target_id}
        return header, [ConversationEntry.keyed(**entry)]
    if job.kind == "agent":
        return get_even_gone(Agent, user_id=job.user_id, agent_id=job.target_id), []
    user: User | None = get_even_gone(User, user_id=job.user_id)
    return user, [EmailClaim(email=user.email)] if user is not None and user.email is not None else []


def _page(partition: str, sort: Condition, limit: int = _PAGE) -> tuple[Raw, ...]:
    """Return the first items of a part of a partition, whatever they are, with what is needed to remove them."""
    return query(partition, sort, limit=limit, consistent=True, attributes=_READ, peek=False).items


def _partition(entity: type[Item], **fields: str) -> str:
    return entity.PK.template.render(**fields)
