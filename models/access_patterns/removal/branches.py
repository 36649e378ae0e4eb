"""The branches that a removal finds, and how a conversation or branch is made unreachable before it is removed."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from pynamodb.expressions.update import Action

from models.access_patterns.erasure import unreachable
from models.branch import BranchEntry
from models.conversation import Conversation
from models.erasure import Erasure
from models.table.changes import update_present
from models.table.errors import ItemNotFound
from models.table.item import DELETING
from models.table.reading import query

_PREFIX = BranchEntry.SK.template.prefix
_KEYS = ["PK", "SK", "entity"]
_PAGE = 1000

Raw = Mapping[str, Any]


def mark(job: Erasure, header: Conversation) -> bool:
    """Mark a conversation as being deleted, so that nobody can write to it; return whether it was there.

    If not, its TTL or another erasure was faster, or the branch was never completed; something may be left of it.
    """
    marks: list[Action] = [
        Conversation.status.set(DELETING),
        Conversation.erasure_id.set(job.erasure_id),
        *unreachable(),
    ]
    try:
        update_present(header, marks, Conversation.user_id == job.user_id, "conversation")
    except ItemNotFound:
        return False
    return True


def hide(entry: BranchEntry) -> None:
    """Hide the entry of a branch that is being deleted; from then on nothing is copied into the branch.

    Cost: 1 UpdateItem of the entry, 1 WCU.
    """
    with suppress(ItemNotFound):
        update_present(entry, [BranchEntry.status.set(DELETING)], None, "branch")


def inactive(branch: Conversation) -> None:
    """Make a root forget a branch that is being deleted, if it is the active one.

    Cost: 1 UpdateItem of the root, 1 WCU for each KB.
    """
    root = Conversation.from_key(conversation_id=branch.root_id)
    active = Conversation.active_branch_id
    with suppress(ItemNotFound):
        update_present(root, [active.remove()], active == branch.conversation_id, "conversation")


def branches_below(branch: Conversation) -> list[BranchEntry]:
    """Return the entries of the branches that leave a branch, directly or not, each after the one that it leaves.

    Cost: 1 Query for each 1,000 branches of the tree.
    """
    partition = BranchEntry.PK.template.render(conversation_id=branch.root_id)
    children: dict[str, list[BranchEntry]] = {}
    after = None
    while True:
        sort = BranchEntry.SK.startswith(_PREFIX)
        page = query(partition, sort, limit=_PAGE, after=after, consistent=True, attributes=_KEYS, peek=False)
        for entry in entries_in(page.items):
            children.setdefault(str(entry.parent_id), []).append(entry)
        if not page.more:
            break
        after = {name: page.items[-1][name]["S"] for name in ("PK", "SK")}
    found = list(children.get(branch.conversation_id, ()))
    for entry in found:
        found += children.get(str(entry.branch_id), ())
    return found


def entries_in(found: Sequence[Raw]) -> list[BranchEntry]:
    """Return the entries of branches among raw items."""
    return [BranchEntry.from_raw_data(dict(raw)) for raw in found if raw["entity"]["S"] == BranchEntry.ENTITY]
