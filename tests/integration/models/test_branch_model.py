"""Random trees behave like a simple model of them: each conversation is a list of messages after another's."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.access_patterns.branches import BranchPosition, list_branches, make_branch
from models.access_patterns.conversations import get_conversation, open_conversation
from models.access_patterns.copies import shorten
from models.access_patterns.forks import find_fork
from models.access_patterns.messages import Draft, append_messages, delete_message, get_message, list_messages
from models.branch import MAX_HOPS
from models.conversation import Conversation
from models.message import Message
from models.table.errors import ItemNotFound
from tests import raw
from tests.erasing import delete_conversation
from tests.factories import make_conversation

pytestmark = pytest.mark.usefixtures("table")


@dataclass
class Said:
    """A message, shared by all conversations that continue it. A copy is another one."""

    message: Message
    deleted: bool = False


@dataclass
class Line:
    """A conversation of the tree, with everything that was ever said on its path."""

    header: Conversation
    path: list[Said]
    parent: "Line | None" = None
    left_at: str | None = None
    hops: int = 0
    own: list[Said] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.header.conversation_id)

    @property
    def shown(self) -> list[Message]:
        return [said.message for said in self.path if not said.deleted]


class Tree:
    """A tree in the table, and what it should be."""

    def __init__(self) -> None:
        root = make_conversation()
        self.user = root.user_id
        self.root = Line(root, [])
        self.lines = [self.root]
        self.active: str | None = None

    def append(self, line: Line, count: int) -> None:
        drafts = [Draft("user", f"message {number}") for number in range(count)]
        for message in append_messages(self.user, line.id, drafts):
            said = Said(message)
            line.path.append(said)
            line.own.append(said)
        self.active = None if line is self.root else line.id

    def fork(self, line: Line, at: int, count: int) -> None:
        """Leave a conversation after one of its messages, or before the first for -1."""
        there = [said for said in line.path if not said.deleted]
        at = min(at, len(there) - 1)
        chosen = there[at] if at >= 0 else None
        found = find_fork(self.user, line.id, chosen.message.message_id if chosen else None)
        parent = self.root
        if chosen is not None:
            (parent,) = [each for each in self.lines if each.id == chosen.message.conversation_id]
        before = line.path[: line.path.index(chosen) + 1] if chosen else []
        copies = found.too_long
        short = shorten(found) if copies else found
        header, messages = make_branch(short, [Draft("user", f"own {number}") for number in range(count)])
        made = Line(header, list(before), parent, chosen.message.message_id if chosen else None)
        if copies:
            for place, said in enumerate(made.path):
                if said in parent.own and not said.deleted:
                    copy = Said(get_message(self.user, header.conversation_id, said.message.message_id))
                    assert copy.message.conversation_id == made.id
                    assert (copy.message.ts, copy.message.content) == (said.message.ts, said.message.content)
                    made.path[place] = copy
                    made.own.append(copy)
        for message in messages:
            said = Said(message)
            made.path.append(said)
            made.own.append(said)
        self.lines.append(made)
        self.active = made.id

    def delete_message(self, line: Line, at: int) -> None:
        there = [said for said in line.path if not said.deleted]
        if there:
            chosen = there[at % len(there)]
            delete_message(self.user, line.id, chosen.message.message_id)
            chosen.deleted = True

    def delete(self, line: Line) -> None:
        if line is self.root:
            return
        gone = [line]
        for each in self.lines:
            if each.parent in gone:
                gone.append(each)
        delete_conversation(self.user, line.id)
        self.lines = [each for each in self.lines if each not in gone]
        if self.active in {each.id for each in gone}:
            self.active = None
        for each in gone:
            with pytest.raises(ItemNotFound):
                open_conversation(self.user, each.id, 5)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["append", "fork", "fork", "deepen", "deepen", "delete message", "delete"]),
        st.integers(0, 30),
        st.integers(-1, 12),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=16,
)


def pages(tree: Tree, line: Line, limit: int, *, descending: bool) -> Iterator[Message]:
    after = None
    while True:
        page = list_messages(tree.user, line.id, limit, descending=descending, after=after)
        assert len(page.items) == limit or not page.more
        yield from page.items
        if not page.more:
            return
        after = page.items[-1].ts


def ids(messages: Any) -> list[tuple[str, str]]:
    return [(str(each.conversation_id), str(each.message_id)) for each in messages]


def assert_equal(tree: Tree, limit: int) -> None:
    """Compare the tree in the table with what it should be, as all reads show it."""
    for line in tree.lines:
        shown = line.shown
        assert ids(pages(tree, line, limit, descending=False)) == ids(shown)
        assert ids(pages(tree, line, limit, descending=True)) == ids(shown[::-1])
        for newest in (0, limit, len(shown)):
            opened = open_conversation(tree.user, line.id, newest)
            assert ids(opened.messages) == ids(shown[max(len(shown) - newest, 0) :])
            assert opened.more == (len(shown) > newest)
        if len(shown) > 1:
            since, until = shown[len(shown) // 3].ts, shown[-1].ts
            for descending in (False, True):
                page = list_messages(tree.user, line.id, 100, since=since, until=until, descending=descending)
                expected = [each for each in shown if since <= each.ts < until]
                assert ids(page.items) == ids(expected[::-1] if descending else expected)
        for said in line.path:
            if said.deleted:
                with pytest.raises(ItemNotFound):
                    get_message(tree.user, line.id, said.message.message_id)
            else:
                found = get_message(tree.user, line.id, said.message.message_id)
                assert ids([found]) == ids([said.message])
        header = get_conversation(tree.user, line.id)
        assert header.message_count == len([said for said in line.own if not said.deleted])
        assert len(header.path) <= MAX_HOPS
    assert get_conversation(tree.user, tree.root.id).active_branch_id == tree.active
    branches = [line for line in tree.lines if line is not tree.root]
    assert {each.branch_id for each in entries(tree, limit)} == {line.id for line in branches}
    for at in {line.left_at for line in branches if line.left_at is not None}:
        parents = {line.parent.id: line.parent for line in branches if line.left_at == at and line.parent is not None}
        for parent in parents.values():
            found = {each.branch_id for each in entries(tree, limit, parent, at=at)}
            assert found == {line.id for line in branches if line.left_at == at and line.parent is parent}
    anew = {each.branch_id for each in entries(tree, limit, at_start=True)}
    assert anew == {line.id for line in branches if line.left_at is None}


def entries(tree: Tree, limit: int, line: Line | None = None, **where: Any) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = list_branches(tree.user, (line or tree.root).id, limit, after=after, **where)
        found += page.items
        if not page.more:
            return found
        last = page.items[-1]
        after = BranchPosition(last.parent_id, last.left_at, last.branch_id)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(operations=OPERATIONS, limit=st.integers(1, 7))
def test_a_tree_is_what_was_done_to_it(operations: list[tuple[str, int, int, int]], limit: int) -> None:
    tree = Tree()
    tree.append(tree.root, 2)
    for operation, which, at, count in operations:
        line = tree.lines[which % len(tree.lines)]
        match operation:
            case "append":
                tree.append(line, count + 1)
            case "fork":
                tree.fork(line, at, count)
            case "deepen":
                tree.fork(tree.lines[-1], 100, count + 1)
            case "delete message":
                tree.delete_message(line, at)
            case "delete":
                tree.delete(line)
    assert_equal(tree, limit)
    everything = {line.id for line in tree.lines}
    delete_conversation(tree.user, tree.root.id)
    left = [keys for keys in raw.whole_table() if keys[0].removeprefix("CONV#") in everything]
    assert left == []
