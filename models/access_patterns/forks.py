"""Where a new branch leaves a conversation, and what is written for it: a header and an entry, nothing else.

If the path to the branch would have more than `MAX_HOPS` segments, the last one is copied into the branch instead, so a
window never needs more Queries than that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from models.access_patterns.conversations import Opened, ensure_active, get_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.paths import PREFIX, before_own, holder_of
from models.access_patterns.retention import expires_after
from models.access_patterns.roots import entry_of, root_of, touch_root
from models.branch import COPYING, MAX_HOPS, START, BranchEntry, Segment
from models.conversation import ID_PREFIX, Conversation
from models.message import ID_PREFIX as MESSAGE_PREFIX
from models.message import Message, MessageReasoning
from models.table import clock
from models.table.errors import ItemNotFound, TransactionTooLarge
from models.table.ids import moment_of, new_id
from models.table.item import Item
from models.table.long_text import LongItem, load
from models.table.reading import Page, get_many, keys, query
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction

_PAGE = 25
# What a copy does not have from its original: its keys, and where its text is stored.
_Long = TypeVar("_Long", bound=LongItem)
_OWN = {"PK", "SK", "entity", "conversation_id", "packed", "blob"}

FORK_WRITES = (
    Write("ConditionCheck", Conversation, optional=True),
    Write("Put", Conversation),
    Write("Put", BranchEntry),
    Write("Update", Conversation),
)
"""What a new branch's transaction writes; it also checks a parent that is a branch, and updates the root."""


@dataclass
class Fork:
    """A branch that does not exist yet: its root, where it leaves its parent, its path, and its id.

    `copied` is the number of messages that were copied into it, because its path was too long.
    """

    user_id: UserId
    root: Conversation
    parent_id: str
    left_at: datetime
    from_message_id: str | None
    path: tuple[Segment, ...]
    title: str | None = None
    copied: int = 0
    branch_id: str = field(default_factory=lambda: new_id(ID_PREFIX))
    _tried: bool = field(default=False, init=False)

    @property
    def too_long(self) -> bool:
        """Whether its path must be shortened before the branch is made."""
        return len(self.path) > MAX_HOPS

    def header(self) -> Conversation:
        """Return the branch's header as it is before anything is said in it."""
        moment = clock.now()
        return Conversation(
            conversation_id=self.branch_id,
            user_id=self.user_id,
            agent_id=self.root.agent_id,
            agent_owner_id=self.root.agent_owner_id,
            title=self.title,
            root_id=self.root.conversation_id,
            parent_id=self.parent_id,
            left_at=self.left_at,
            from_message_id=self.from_message_id,
            ancestors=[[each.conversation_id, clock.to_timestamp(each.until)] for each in self.path],
            started_at=moment,
            last_active_at=moment,
            last_message_at=None if self.left_at == START else self.left_at,
            message_count=self.copied,
            retention_days=self.root.retention_days,
        )

    def open(self, newest: int) -> Opened:
        """Return the header, and the newest messages that it continues; again, after others changed the root.

        Cost: 1 Query for each conversation on the path that they are in; another time also 1 GetItem, of the root.

        Raises:
            ItemNotFound: the root is being deleted.
            ConversationNotActive: it is completed or archived.
        """
        header = self.header()
        if self._tried:
            self.root = root_of(self.user_id, header) or self.root
        self._tried = True
        if not newest:
            return Opened(header, (), more=bool(self.path))
        own: Page[Message] = Page((), more=False)
        if self.copied:
            sort = Message.SK.between(PREFIX, PREFIX + "~")
            own = query(header.PK, sort, limit=newest, descending=True, consistent=True, whole=False)
        said = before_own(header, own, newest)
        load(said.items)
        return Opened(header, tuple(reversed(said.items)), said.more)

    def add(
        self,
        transaction: Transaction,
        branch: Conversation,
        messages: Sequence[Message],
        fields: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Add to a transaction the branch with its first messages, and with these fields of its header.

        The transaction succeeds only if the root is active and the parent is not being deleted.
        """
        for name, value in fields.items():
            setattr(branch, name, value)
        moment = messages[-1].ts if messages else branch.started_at
        if messages:
            branch.last_message_at = branch.last_active_at = moment
            branch.message_count += len(messages)
        if branch.lease_turn is not None:
            branch.turn_count = 1
        branch.expires_at = expires_after(branch, moment)
        entry = entry_of(branch)
        entry.expires_at = branch.expires_at
        transaction.create("branch", branch)
        if self.copied:
            transaction.put("entry", entry)
        else:
            transaction.create("entry", entry)
        create_messages(transaction, messages)
        if self.parent_id != self.root.conversation_id:
            transaction.check("parent", self._parent(), owned_by(self.user_id))
        touch_root(transaction, self.user_id, self.root, branch, moment, Conversation.branched.set(True))

    def _parent(self) -> Conversation:
        return Conversation.from_key(conversation_id=self.parent_id)


@access_pattern(
    "AP-46",
    "Find where a branch leaves",
    question="Can a branch continue this message of my conversation?",
    requests=(
        Request("BatchGetItem", (Conversation, Message), consistent=True),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
    ),
    budget=Budget(
        1, 2, 0, "a header and a message of up to 4 KB each; in a branch 1 request and 2 RCU more", in_a_branch=1
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/branches",),
)
def find_fork(user_id: UserId, conversation_id: str, from_message_id: str | None, title: str | None = None) -> Fork:
    """Return the branch to be made after a message of a conversation, or before its first one.

    The message may be one that the conversation, itself a branch, continues.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation, which may be a branch.
        from_message_id: the last message that the branch continues; None to begin anew, before the first one.
        title: the branch's title, up to 200 characters.

    Raises:
        ItemNotFound: the user has no such conversation, or it has no such message.
        ConversationNotActive: the root is completed or archived.
    """
    moment = START if from_message_id is None else moment_of(from_message_id, MESSAGE_PREFIX)
    if from_message_id is None or moment is None:
        source, found = get_conversation(user_id, conversation_id), None
        if moment is None:
            raise ItemNotFound("message")
        holder = source.root_id or conversation_id
    else:
        source, found = _header_and_message(user_id, conversation_id, conversation_id, moment)
        holder = holder_of(source, moment)
    root = source
    if source.root_id is not None:
        root, elsewhere = _header_and_message(user_id, source.root_id, holder, moment)
        found = elsewhere if holder != conversation_id else found
    ensure_active(root)
    if from_message_id is None:
        return Fork(user_id, root, holder, START, None, (), title)
    if found is None or found.message_id != from_message_id:
        raise ItemNotFound("message")
    before = [each for each in source.path if each.until < moment]
    return Fork(user_id, root, holder, moment, from_message_id, (*before, Segment(holder, moment)), title)


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
            writes=(Write("Put", Message), Write("Put", MessageReasoning, optional=True)),
        ),
    ),
    budget=Budget(
        4,
        3,
        16,
        "a question, and an answer with 2 KB of reasoning; 1 Query and at least 1 transaction for each 25 messages, 2 "
        "WCU for each KB of them",
        grows=True,
    ),
    routes=("POST /api/v1/conversations/{conversation_id}/branches with a path of more than 8 conversations",),
)
def shorten(fork: Fork) -> Fork:
    """Return a fork with a path that is short enough; what it is shortened by is copied into the branch.

    The branch's entry is written first, hidden, so that the copies are deleted with the tree even if this worker dies.

    Raises:
        ItemNotFound: the root is being deleted.
        ContentUnavailable: a large text cannot be fetched from, or stored in, the bucket.
    """
    short = replace(fork, path=fork.path[:-1])
    transaction = Transaction()
    entry = entry_of(short.header())
    entry.status = COPYING
    transaction.create("entry", entry)
    transaction.check("root", fork.root, owned_by(fork.user_id))
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("conversation") from error
    for page in _pages(fork.path[-2].until, fork.path[-1]):
        _copy(page, short.branch_id)
        short.copied += len(page)
    return short


def _header_and_message(
    user_id: UserId, conversation_id: str, holder: str, moment: datetime
) -> tuple[Conversation, Message | None]:
    wanted: list[Item] = [Conversation.from_key(conversation_id=conversation_id)]
    if moment != START:
        wanted.append(Message.from_key(conversation_id=holder, ts=moment))
    header, *found = get_many(wanted, consistent=True, whole=False)
    if header is None or header.user_id != user_id:
        raise ItemNotFound("conversation")
    return header, found[0] if found else None


def create_messages(transaction: Transaction, messages: Sequence[Message]) -> None:
    """Add to a transaction the writes of messages with their reasoning."""
    for position, message in enumerate(messages):
        transaction.create(f"message {position}", message)
        if message.reasoning is not None:
            transaction.create(f"reasoning {position}", message.reasoning)


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


def _copy(messages: Sequence[Message], branch_id: str) -> None:
    """Write copies of messages into a branch's item collection, with the same ids and times.

    They need not be written together: nobody sees them before the branch's header exists.
    """
    if not messages:
        return
    transaction = Transaction()
    try:
        create_messages(transaction, [_copied(message, branch_id) for message in messages])
    except TransactionTooLarge:
        half = len(messages) // 2
        _copy(messages[:half], branch_id)
        _copy(messages[half:], branch_id)
        return
    transaction.commit()


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
