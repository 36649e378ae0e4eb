"""Branches: made without a turn, listed, and chosen as the line in which a user goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from models.access_patterns.conversations import get_conversation, owned_by
from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.forks import FORK_WRITES, PARENT, Fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft, place
from models.access_patterns.paths import holder_of
from models.access_patterns.roots import ROOT
from models.branch import START, BranchEntry
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import ID_PREFIX as MESSAGE_PREFIX
from models.message import Message, MessageReasoning
from models.table import clock
from models.table.errors import Contended, ItemNotFound
from models.table.ids import moment_of
from models.table.reading import Page, keys, query
from models.table.retries import MAX_ATTEMPTS, pause
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction

_PREFIX = BranchEntry.SK.template.prefix


@dataclass(frozen=True)
class BranchPosition:
    """The position in a list of branches: the fields of the sort key of the last one on the page."""

    parent_id: str
    left_at: datetime
    branch_id: str

    @classmethod
    def of(cls, parent_id: str, left_at: str, branch_id: str) -> "BranchPosition":
        """Return the position of a branch, with the time where it leaves its parent in ISO 8601."""
        return cls(parent_id, datetime.fromisoformat(left_at), branch_id)


@access_pattern(
    "AP-37",
    "Make a branch",
    question="Go on from this message in another direction, and keep what was said after it.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(
                Write("Put", Message, optional=True),
                Write("Put", MessageReasoning, optional=True),
                Write("Put", IdempotencyRecord, optional=True),
                *FORK_WRITES,
            ),
        ),
        ROOT,
    ),
    budget=Budget(
        1,
        0,
        10,
        "a branch without a message, however many come before: 2 WCU each for the branch, its entry and the root, 4 in "
        "the user's and the agent's index at most once a minute; 2 WCU more for one that leaves a branch",
    ),
    routes=('POST /api/v1/conversations/{conversation_id}/branches with "reply": false',),
)
def make_branch(
    fork: Fork, drafts: Sequence[Draft] = (), *, once: Once | None = None
) -> tuple[Conversation, list[Message]]:
    """Make a branch with its first messages, all or nothing.

    Args:
        fork: the branch to be made, with a path that is short enough.
        drafts: its first messages, if any.
        once: the request's idempotency key.

    Raises:
        ItemNotFound: the conversation that it leaves is being deleted.
        ConversationNotActive: the tree's root is completed or archived.
        ItemTooLarge: a message does not fit in an item.
        TransactionTooLarge: the messages are over 4 MB in total.
        Contended: lost the race against other writers too often; nothing was written.
        DoneBefore: another request with the same idempotency key was first.
    """
    for attempt in range(MAX_ATTEMPTS):
        branch = fork.open(0).conversation
        messages = place(branch, drafts)
        transaction = Transaction()
        fork.add(transaction, branch, messages)
        if once:
            once.add(transaction, branch.conversation_id, (branch, messages))
        try:
            transaction.commit()
        except ConditionFailed as failed:
            if PARENT in failed.parts:
                raise ItemNotFound("conversation") from failed
            pause(attempt)
        else:
            return branch, messages
    raise Contended("Other writers kept changing this conversation; nothing was written.")


@access_pattern(
    "AP-39",
    "List branches",
    question="In which directions did this conversation go on, from this message or from any?",
    requests=(
        Request("GetItem", (Conversation,), consistent=True),
        Request(
            "Query",
            (BranchEntry,),
            sort_key="begins_with BRANCH# or BRANCH#{parent_id}#{left_at}#",
            consistent=True,
            order="ascending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(2, 4, 0, "a header, and a page of 50 entries of 230 bytes"),
    routes=("GET /api/v1/conversations/{conversation_id}/branches", "GET /api/v1/users/{user_id}/export"),
)
def list_branches(
    user_id: UserId,
    conversation_id: str,
    limit: int,
    *,
    at: str | None = None,
    at_start: bool = False,
    after: BranchPosition | None = None,
) -> Page[BranchEntry]:
    """Return the branches of a conversation's whole tree, or those that leave it at one place.

    They are sorted by the conversation that they leave, where they leave it, and when they were made.

    Args:
        user_id: the conversation's owner.
        conversation_id: the conversation, a root or a branch.
        limit: the maximum number of branches.
        at: only those after this message, which may have been deleted.
        at_start: only those that begin anew.
        after: the position of the last branch of the previous page.

    Raises:
        ItemNotFound: the user has no such conversation, or this cannot be the id of a message.
    """
    header = get_conversation(user_id, conversation_id)
    root_id = header.root_id or conversation_id
    moment = START if at_start else None
    if at is not None:
        moment = moment_of(at, MESSAGE_PREFIX)
        if moment is None:
            raise ItemNotFound("message")
    prefix = _PREFIX
    if moment is not None:
        parent_id = root_id if moment == START else holder_of(header, moment)
        prefix += f"{parent_id}#{clock.to_timestamp(moment)}#"
    start = None
    if after is not None:
        last = BranchEntry.from_key(
            conversation_id=root_id, parent_id=after.parent_id, left_at=after.left_at, branch_id=after.branch_id
        )
        start = keys(last)
    return query(
        BranchEntry.PK.template.render(conversation_id=root_id),
        BranchEntry.SK.startswith(prefix),
        limit=limit,
        after=start,
        consistent=True,
    )


@access_pattern(
    "AP-45",
    "Choose the active branch",
    question="Remember that I went back to this branch.",
    requests=(
        Request(
            "TransactWriteItems",
            writes=(Write("ConditionCheck", Conversation, optional=True), Write("Update", Conversation)),
        ),
        Request("GetItem", (Conversation,), consistent=True),
    ),
    budget=Budget(2, 1, 4, "two headers of up to 1 KB"),
    routes=('PATCH /api/v1/conversations/{conversation_id} with "active_branch_id"',),
)
def choose_branch(user_id: UserId, conversation_id: str, branch_id: str | None) -> Conversation:
    """Record which branch of a root is the active one; None for the root itself. It does not count as activity.

    Raises:
        ItemNotFound: the user has no such conversation, it is a branch itself, or it has no such branch.
    """
    if branch_id == conversation_id:
        get_conversation(user_id, conversation_id)
        raise ItemNotFound("branch")
    root = Conversation.from_key(conversation_id=conversation_id)
    is_root = owned_by(user_id) & Conversation.root_id.does_not_exist()
    transaction = Transaction()
    if branch_id is not None:
        branch = Conversation.from_key(conversation_id=branch_id)
        transaction.check("branch", branch, owned_by(user_id) & (Conversation.root_id == conversation_id))
    active = Conversation.active_branch_id
    transaction.update("conversation", root, [active.set(branch_id) if branch_id else active.remove()], is_root)
    try:
        transaction.commit()
    except ConditionFailed as error:
        raise ItemNotFound("conversation" if "conversation" in error.parts else "branch") from error
    return get_conversation(user_id, conversation_id)
