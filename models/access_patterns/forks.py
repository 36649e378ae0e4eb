"""Where a new branch leaves a conversation, and what is written for it: a header and an entry, nothing else.

A branch whose path is too long gets copies before it is made (`models.access_patterns.copies`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from models.access_patterns.conversations import Opened, ensure_active, get_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.paths import PREFIX, before_own, holder_of
from models.access_patterns.retention import expires_after, later
from models.access_patterns.roots import entry_of, root_of, touch_root
from models.branch import COPYING, MAX_HOPS, START, BranchEntry, Segment
from models.conversation import ID_PREFIX, Conversation
from models.message import ID_PREFIX as MESSAGE_PREFIX
from models.message import Message
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.ids import moment_of, new_id
from models.table.item import Item
from models.table.long_text import load
from models.table.reading import Page, get_many, query
from models.table.tenancy import UserId
from models.table.writing import Transaction

PARENT = "parent"
"""The part of a transaction that checks that a parent is not being deleted."""

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

    `copying` says that its path was too long: it has an entry already, and `copied` messages of its own, the last of
    which expires at `copies_end`.
    """

    user_id: UserId
    root: Conversation
    parent_id: str
    left_at: datetime
    from_message_id: str | None
    path: tuple[Segment, ...]
    title: str | None = None
    copying: bool = False
    copied: int = 0
    copies_end: int | None = None
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
        if self.copied:
            branch.expires_at = later(branch.expires_at, self.copies_end)
        entry = entry_of(branch)
        entry.expires_at = branch.expires_at
        transaction.create("branch", branch)
        if self.copying:
            transaction.put("entry", entry, BranchEntry.status == COPYING)
        else:
            transaction.create("entry", entry)
        create_messages(transaction, messages)
        self.check_parent(transaction)
        touch_root(transaction, self.user_id, self.root, branch, moment, Conversation.branched.set(True))

    def check_parent(self, transaction: Transaction) -> None:
        """Add to a transaction the check that a parent that is a branch is not being deleted; the root has its own."""
        if self.parent_id != self.root.conversation_id:
            parent = Conversation.from_key(conversation_id=self.parent_id)
            transaction.check(PARENT, parent, owned_by(self.user_id))


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
