"""A branch and its tree's root: the root shows the activity of its branches, and closing it closes them.

Each write that continues a branch also updates the root's header, in the same transaction: nothing can be said in a
tree that is completed, archived or being deleted, and lists, which show only roots, have the latest activity.
"""

from contextlib import suppress
from datetime import datetime

from pynamodb.expressions.update import Action

from models.access_patterns.conversations import activity, ensure_active, get_conversation, owned_by
from models.access_patterns.declare import Request
from models.access_patterns.retention import later
from models.branch import BranchEntry
from models.conversation import Conversation
from models.table.changes import set_or_remove
from models.table.errors import Contended
from models.table.tenancy import UserId
from models.table.writing import ConditionFailed, Transaction

ROOT = Request("GetItem", (Conversation,), consistent=True, optional=True, in_a_branch=True)
"""The read of a branch's root."""


def root_of(user_id: UserId, conversation: Conversation) -> Conversation | None:
    """Return the header of a branch's root, which must be active; None if the conversation is no branch.

    Cost: 1 GetItem for a branch.

    Raises:
        ItemNotFound: the root is being deleted, and its branches with it.
        ConversationNotActive: it is completed or archived.
    """
    if conversation.root_id is None:
        return None
    root = get_conversation(user_id, conversation.root_id)
    ensure_active(root)
    return root


def entry_of(branch: Conversation) -> BranchEntry:
    """Return the entry of a branch in its tree's root, without a TTL."""
    return BranchEntry(
        conversation_id=branch.root_id,
        parent_id=branch.parent_id,
        left_at=branch.left_at,
        branch_id=branch.conversation_id,
        from_message_id=branch.from_message_id,
    )


def touch_root(
    transaction: Transaction,
    user_id: UserId,
    root: Conversation,
    branch: Conversation,
    moment: datetime,
    *actions: Action,
) -> None:
    """Add to a transaction that a branch is the active one of its root, since `moment`; the root must be active.

    The root expires no earlier than the branch.

    Cost: 2 WCU for a header of up to 1 KB; 4 WCU more at most once a minute, for the indexes.
    """
    changes: list[Action] = [
        *activity(root, moment),
        Conversation.active_branch_id.set(branch.conversation_id),
        *actions,
    ]
    condition = owned_by(user_id) & (Conversation.status == root.status)
    if root.expires_at is not None:
        latest = later(branch.expires_at, root.expires_at)
        if latest != root.expires_at:
            changes.append(set_or_remove(Conversation.expires_at, latest))
            if latest is not None:
                condition &= Conversation.expires_at <= latest
    transaction.update("root", root, changes, condition)


def keep_root(branch: Conversation) -> None:
    """Make a root expire no earlier than a branch whose answer has taken some time.

    Cost: 2 WCU for a header of up to 1 KB.
    """
    ends = branch.expires_at
    transaction = Transaction()
    root = Conversation.from_key(conversation_id=branch.root_id)
    transaction.update("root", root, [Conversation.expires_at.set(ends)], Conversation.expires_at < ends)
    # The root may be kept longer already. Under contention the answer matters more.
    with suppress(ConditionFailed, Contended):
        transaction.commit()


def leave_branches(conversation: Conversation) -> list[Action]:
    """Return the update action that makes a root the active line of its tree, if a branch is."""
    return [] if conversation.active_branch_id is None else [Conversation.active_branch_id.remove()]
