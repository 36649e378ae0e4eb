"""Conversations: opened with one Query, listed from an index by latest activity, updated field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from pynamodb.expressions.condition import Condition
from pynamodb.expressions.update import Action

from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.idempotency import Once
from models.access_patterns.paths import before_own
from models.access_patterns.retention import checked_days, expires_after
from models.access_patterns.sharing import usable_by
from models.access_patterns.users import is_active
from models.agent import Agent
from models.branch import MAX_HOPS
from models.conversation import ID_PREFIX, STATUSES, Conversation, ConversationEntry, ConversationStatus
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.table import clock
from models.table.changes import actions_for, merges, update_present
from models.table.errors import Contended, ConversationNotActive, ItemNotFound
from models.table.ids import new_id
from models.table.long_text import load
from models.table.reading import Page, get, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.side_by_side import side_by_side
from models.table.tenancy import UserId
from models.table.values import one_of
from models.table.writing import ConditionFailed, Transaction
from models.user import User

# A changed index key costs a delete and an insert in each of two indexes; once a minute is often enough for a list.
LISTING_INTERVAL = timedelta(minutes=1)

PATH = Request(
    "Query",
    (Message,),
    sort_key="between MSG# and MSG#{ts}",
    consistent=True,
    order="descending",
    page="what is missing and one more",
    optional=True,
    in_a_branch=True,
)
"""The read of the messages before a branch's own, on a conversation of its path."""


@dataclass(frozen=True)
class Opened:
    """A conversation and its newest messages, oldest first; `more` says whether older ones exist."""

    conversation: Conversation
    messages: tuple[Message, ...]
    more: bool


@dataclass(frozen=True)
class Position:
    """The position in a list of conversations: the index keys of the last one on the page."""

    listed_at: datetime
    conversation_id: str


def owned_by(user_id: UserId) -> Condition:
    """Return the condition that a conversation is this user's and is not being deleted."""
    condition: Condition = (Conversation.user_id == user_id) & Conversation.status.is_in(*STATUSES)
    return condition


@access_pattern(
    "AP-30",
    "Start a conversation",
    question="Start talking to an agent that I own or may use.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("ConditionCheck", Agent),
                Write("Put", Conversation),
                Write("Put", ConversationEntry),
                Write("Put", IdempotencyRecord, optional=True),
                Write("Update", User),
            ),
        ),
    ),
    budget=Budget(1, 0, 10, "a header, an agent and a profile of up to 1 KB each, an entry, and two index entries"),
    routes=("POST /api/v1/conversations",),
)
def create_conversation(
    user_id: UserId,
    agent_id: str,
    *,
    owner_id: str | None = None,
    title: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    retention_days: int | None = None,
    once: Once | None = None,
) -> Conversation:
    """Create a conversation with an agent that this user owns or may use, and set the user's `last_active_at`.

    Args:
        user_id: the conversation's owner.
        agent_id: the agent.
        owner_id: the agent's owner, if that is another user; the agent must be shared with the user.
        title: its title, up to 200 characters.
        metadata: up to 64 names and their JSON values, 32 KB in total.
        retention_days: days after which what is written in it expires, up to 36,500; None means never.
        once: the request's idempotency key.

    Raises:
        InvalidValue: a field has an invalid value.
        MapTooLarge: the metadata has more names or bytes than its limit.
        ItemNotFound: there is no such agent that the user may use.
        DoneBefore: another request with the same idempotency key was first.
    """
    moment = clock.now()
    conversation = Conversation(
        conversation_id=new_id(ID_PREFIX, moment),
        user_id=user_id,
        agent_id=agent_id,
        agent_owner_id=owner_id,
        title=title,
        metadata={} if metadata is None else metadata,
        started_at=moment,
        last_active_at=moment,
        listed_at=moment,
        retention_days=checked_days(retention_days),
    )
    agent = Agent.from_key(user_id=owner_id or user_id, agent_id=agent_id)
    allowed = Agent.status == "active"
    conversation.expires_at = expires_after(conversation, moment)
    transaction = Transaction()
    transaction.check("agent", agent, Agent.PK.exists() & (allowed if owner_id is None else usable_by(user_id)))
    transaction.create("conversation", conversation)
    entry = ConversationEntry(user_id=user_id, agent_id=agent_id, conversation_id=conversation.conversation_id)
    transaction.create("entry", entry)
    if once:
        once.add(transaction, conversation.conversation_id, conversation)
    transaction.update("user", User.from_key(user_id=user_id), [User.last_active_at.set(moment)], is_active())
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("agent" if "agent" in error.parts else "user") from error
    return conversation


@access_pattern(
    "AP-31",
    "Conversation by id",
    question="What is the state of this conversation of mine?",
    requests=(Request("GetItem", (Conversation,), consistent=True),),
    budget=Budget(1, 1, 0, "a header of up to 4 KB"),
    routes=(
        "GET /api/v1/conversations/{conversation_id}?messages=0",
        "PATCH /api/v1/conversations/{conversation_id} with nothing to change",
        "POST /api/v1/conversations/{conversation_id}/branches with a repeated Idempotency-Key",
        "POST /api/v1/conversations/{conversation_id}/messages with the first turn of a process",
        "POST /api/v1/conversations/{conversation_id}/turns with the first turn of a process",
        "POST /api/v1/conversations/{conversation_id}/branches with the first turn of a process",
        # With a key of one agent, the conversation's agent is looked up, once per process.
        "DELETE /api/v1/conversations/{conversation_id} with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/branches with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/events with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/links with a key of one agent",
        "POST /api/v1/conversations/{conversation_id}/links with a key of one agent",
        "DELETE /api/v1/conversations/{conversation_id}/links/{link_id} with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/messages with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/messages/{message_id} with a key of one agent",
        "DELETE /api/v1/conversations/{conversation_id}/messages/{message_id} with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/state with a key of one agent",
        "GET /api/v1/conversations/{conversation_id}/state/{key} with a key of one agent",
        "PUT /api/v1/conversations/{conversation_id}/state/{key} with a key of one agent",
        "DELETE /api/v1/conversations/{conversation_id}/state/{key} with a key of one agent",
        "GET /api/v1/users/{user_id}/export",
    ),
)
def get_conversation(user_id: UserId, conversation_id: str) -> Conversation:
    """Return the header of a conversation of this user.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    found: Conversation | None = get(Conversation, conversation_id=conversation_id)
    if found is None or found.user_id != user_id:
        raise ItemNotFound("conversation")
    return found


@access_pattern(
    "AP-32",
    "Open a conversation",
    question="Show this conversation of mine and its latest messages.",
    requests=(
        Request(
            "Query",
            (Conversation, Message),
            sort_key="between MSG# and THREAD",
            consistent=True,
            order="descending",
            page="header, window and one more",
        ),
        PATH,
    ),
    budget=Budget(
        1,
        6,
        0,
        "the header and 20 messages of 300 and 1,200 characters in turn; a branch takes 1 Query more for each "
        "conversation on its path that the window reaches",
        in_a_branch=MAX_HOPS,
    ),
    routes=("GET /api/v1/conversations/{conversation_id}",),
)
def open_conversation(user_id: UserId, conversation_id: str, newest: int) -> Opened:
    """Return the header and the `newest` messages: the header sorts right after them, so one Query reads both.

    The messages of a branch continue into the conversations on its path.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    page: Page[Any] = query(
        Conversation.PK.template.render(conversation_id=conversation_id),
        Conversation.SK.between(Message.SK.template.prefix, Conversation.SK.template.text),
        limit=newest + 1,
        descending=True,
        consistent=True,
        whole=False,
    )
    header, said = without_header(user_id, page)
    said = before_own(header, said, newest)
    load(said.items)
    return Opened(header, tuple(reversed(said.items)), said.more)


def without_header(user_id: UserId, page: Page[Any]) -> tuple[Conversation, Page[Message]]:
    """Split a page that was read in descending order from the header into the header and the messages.

    Raises:
        ItemNotFound: it does not begin with the header of a conversation of this user.
    """
    header = page.items[0] if page.items else None
    if not isinstance(header, Conversation) or header.user_id != user_id:
        raise ItemNotFound("conversation")
    return header, Page(page.items[1:], page.more)


@access_pattern(
    "AP-33",
    "List a user's conversations",
    question="What have I been talking about, latest first?",
    requests=(
        Request(
            "Query",
            (Conversation,),
            index="conversations_by_user",
            sort_key="begins_with {status}#",
            order="descending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(3, 6, 0, "a page of 50 entries of 300 bytes; 1 Query for one status, 3 in parallel for all"),
    routes=("GET /api/v1/conversations", "GET /api/v1/users/{user_id}"),
)
def list_conversations(
    user_id: UserId, limit: int, *, status: ConversationStatus | None = None, after: Position | None = None
) -> Page[Conversation]:
    """Return the user's conversations with one status or with any, latest activity first.

    The index sorts by status and then by activity, so one status takes one Query; all of them take one Query for each
    status, in parallel, merged. The entries have only what the index projects: ids, title, status, started_at and
    listed_at (exact to the minute).
    """
    statuses = STATUSES if status is None else (one_of("status", status, STATUSES),)
    pages = side_by_side([partial(_list_status, user_id, limit, each, after) for each in statuses])
    merged = sorted(
        (item for page in pages for item in page.items),
        key=lambda item: (item.listed_at, item.conversation_id),
        reverse=True,
    )
    more = len(merged) > limit or any(page.more for page in pages)
    return Page(tuple(merged[:limit]), more)


def _list_status(user_id: UserId, limit: int, status: str, after: Position | None) -> Page[Conversation]:
    start = None
    if after is not None:
        last = _at(user_id, after, status=status)
        start = {"PK": last.PK, "SK": last.SK, "user_id": user_id, "user_activity": last.user_activity}
    return query(
        user_id,
        Conversation.user_activity.startswith(f"{status}#"),
        limit=limit,
        index="conversations_by_user",
        entity=Conversation,
        after=start,
        descending=True,
    )


def _at(user_id: UserId, position: Position, **fields: Any) -> Conversation:
    return Conversation.from_key(
        user_id=user_id, conversation_id=position.conversation_id, listed_at=position.listed_at, **fields
    )


@access_pattern(
    "AP-34",
    "List the conversations with an agent",
    question="What have I been talking about with this agent, latest first?",
    requests=(
        Request(
            "Query", (Conversation,), index="conversations_by_agent", order="descending", page="1 to 1,000 and one more"
        ),
    ),
    budget=Budget(1, 2.5, 0, "a page of 50 entries of 350 bytes"),
    routes=("GET /api/v1/agents/{agent_id}/conversations", "GET /api/v1/conversations with a key of one agent"),
)
def list_agent_conversations(
    user_id: UserId, agent_id: str, limit: int, *, after: Position | None = None
) -> Page[Conversation]:
    """Return this user's conversations with one agent, latest activity first. The index key includes the user."""
    start = None
    if after is not None:
        last = _at(user_id, after, agent_id=agent_id)
        start = {
            "PK": last.PK,
            "SK": last.SK,
            "user_agent": last.user_agent,
            "agent_activity": last.agent_activity,
        }
    return query(
        Conversation.user_agent.template.render(user_id=user_id, agent_id=agent_id),
        None,
        limit=limit,
        index="conversations_by_agent",
        entity=Conversation,
        after=start,
        descending=True,
    )


@access_pattern(
    "AP-35",
    "Rename a conversation",
    question="Change the title or metadata of this conversation of mine.",
    requests=(
        Request("UpdateItem", (Conversation,)),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
    ),
    budget=Budget(
        2,
        1,
        3,
        "a header of up to 1 KB; 1 request and no RCU without metadata; 2 of the 3 WCU only if the title changes, for "
        "the indexes",
    ),
    routes=("PATCH /api/v1/conversations/{conversation_id}",),
)
def update_conversation(user_id: UserId, conversation_id: str, changes: Mapping[str, Any]) -> Conversation:
    """Change the title or single entries of the metadata (None removes one); it does not count as activity.

    To change metadata, the header is read first, because all metadata together has a limit; concurrent changes cannot
    exceed it.

    Raises:
        InvalidValue: a field cannot be changed, or its new value is not allowed.
        MapTooLarge: the metadata would have more names or bytes than its limit.
        ItemNotFound: the user has no such conversation.
        Contended: others kept changing its metadata.
    """
    actions = actions_for(Conversation, changes)
    if not actions:
        return get_conversation(user_id, conversation_id)
    merging = merges(Conversation, changes)
    for attempt in range(MAX_ATTEMPTS):
        conversation = Conversation.from_key(conversation_id=conversation_id)
        # DynamoDB deletes expired items late, and this update may run without a read.
        kept = Conversation.expires_at.does_not_exist() | (Conversation.expires_at > int(clock.now().timestamp()))
        condition = owned_by(user_id) & kept
        counted: list[Action] = []
        if merging:
            unchanged, counted = _metadata_unchanged(get_conversation(user_id, conversation_id), changes)
            condition &= unchanged
        try:
            update_present(conversation, [*actions, *counted], condition, "conversation")
        except ItemNotFound:
            if not merging:
                raise
            pause(attempt)
        else:
            return conversation
    raise Contended("Others kept changing the metadata of this conversation; nothing was written.")


def _metadata_unchanged(conversation: Conversation, changes: Mapping[str, Any]) -> tuple[Condition, list[Action]]:
    """Return the condition that the metadata has not changed since it was read, and the action that counts the change.

    Raises:
        MapTooLarge: with these changes it would have more names or bytes than its limit.
    """
    Conversation.metadata.merged(conversation.metadata, changes["metadata"])
    seen = conversation.metadata_version
    version = Conversation.metadata_version
    unchanged = version.does_not_exist() if seen is None else version == seen
    return unchanged, [version.set(int(seen or 0) + 1)]


@access_pattern(
    "AP-36",
    "Complete, archive or reopen a conversation",
    question="Close or archive this conversation of mine, or reopen it.",
    requests=(Request("GetItem", (Conversation,), consistent=True), Request("UpdateItem", (Conversation,))),
    budget=Budget(2, 1, 4, "a header of up to 1 KB, a changed key in one index and a changed attribute in the other"),
    routes=("PATCH /api/v1/conversations/{conversation_id}",),
)
def set_conversation_status(
    user_id: UserId, conversation_id: str, status: ConversationStatus, changes: Mapping[str, Any] | None = None
) -> Conversation:
    """Change the status and the index key that starts with it; `changes` as in `update_conversation`.

    Raises:
        InvalidValue: the status is unknown, a field cannot be changed, or its new value is not allowed.
        MapTooLarge: the metadata would have more names or bytes than its limit.
        ItemNotFound: the user has no such conversation.
        Contended: its activity kept changing at the same time.
    """
    one_of("status", status, STATUSES)
    changes = {} if changes is None else changes
    for attempt in range(MAX_ATTEMPTS):
        conversation = get_conversation(user_id, conversation_id)
        condition = owned_by(user_id)
        actions: list[Action] = [Conversation.status.set(status), *actions_for(Conversation, changes)]
        if conversation.root_id is None:
            condition &= Conversation.user_activity == conversation.user_activity
            conversation.status = status
            actions.append(Conversation.user_activity.set(conversation.user_activity))
        if merges(Conversation, changes):
            unchanged, counted = _metadata_unchanged(conversation, changes)
            condition, actions = condition & unchanged, [*actions, *counted]
        try:
            update_present(conversation, actions, condition, "conversation")
        except ItemNotFound:
            pause(attempt)
        else:
            return conversation
    raise Contended("The conversation kept changing; its status was not changed.")


def ensure_active(conversation: Conversation) -> None:
    """Check that a conversation accepts messages.

    Raises:
        ConversationNotActive: it is completed or archived.
    """
    if conversation.status != "active":
        raise ConversationNotActive(conversation.status)


def activity(conversation: Conversation, moment: datetime) -> list[Action]:
    """Return the update actions that record activity in a conversation at `moment`.

    The header gets the exact time; the index keys follow at most once a minute, and with the first message. A branch
    is in no index.
    """
    actions: list[Action] = [Conversation.last_active_at.set(moment)]
    if conversation.root_id is not None:
        return actions
    if conversation.message_count == 0 or moment - conversation.listed_at >= LISTING_INTERVAL:
        conversation.listed_at = moment
        actions.append(Conversation.user_activity.set(conversation.user_activity))
        actions.append(Conversation.agent_activity.set(conversation.agent_activity))
    return actions
