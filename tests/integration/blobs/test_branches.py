"""Large texts along a branch's path: copies have objects of their own, which are deleted with them."""

from collections.abc import Callable

import pytest

from models.access_patterns.branches import make_branch
from models.access_patterns.copies import drop_copies, shorten
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.messages import Draft, list_messages
from models.branch import MAX_HOPS
from models.conversation import Conversation
from tests.erasing import delete_conversation
from tests.factories import make_conversation, noise, say

pytestmark = pytest.mark.usefixtures("table")

LARGE = noise(100_000)

Stored = Callable[[], dict[str, bytes]]


def fork_of(conversation: Conversation) -> Fork:
    ids = conversation.user_id, conversation.conversation_id
    return find_fork(*ids, list_messages(*ids, 1, descending=True).items[0].message_id)


def deep() -> tuple[Conversation, Conversation]:
    """Return a root, and the last of a line of branches; it has a large text, and a branch of it must be copied."""
    root = branch = make_conversation()
    say(root, "root")
    for hop in range(MAX_HOPS - 1):
        branch, _ = make_branch(fork_of(branch), [Draft("user", f"hop {hop}")])
    branch, _ = make_branch(fork_of(branch), [Draft("user", LARGE), Draft("agent", "Yes.", reasoning=LARGE)])
    return root, branch


def test_copies_have_objects_of_their_own(stored: Stored) -> None:
    root, parent = deep()
    originals = stored()
    assert len(originals) == 2
    copied, _ = make_branch(shorten(fork_of(parent)), [Draft("user", "late")])
    assert len(stored()) == 4
    delete_conversation(parent.user_id, copied.conversation_id)
    assert stored() == originals
    shown = list_messages(parent.user_id, parent.conversation_id, 100).items
    assert [each.content for each in shown[-2:]] == [LARGE, "Yes."]
    make_branch(shorten(fork_of(parent)))
    assert len(stored()) == 4
    delete_conversation(root.user_id, root.conversation_id)
    assert stored() == {}


def test_the_objects_of_dropped_and_of_unfinished_copies_are_deleted(stored: Stored) -> None:
    root, parent = deep()
    originals = stored()
    short = shorten(fork_of(parent))
    assert len(stored()) == 4
    drop_copies(short)
    assert stored() == originals
    shorten(fork_of(parent))
    assert len(stored()) == 4
    delete_conversation(root.user_id, root.conversation_id)
    assert stored() == {}
