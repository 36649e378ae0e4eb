"""Branches and writers that interfere: a fork of something that is deleted at that moment, copies that are cut off."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from models.access_patterns.branches import list_branches, make_branch
from models.access_patterns.conversations import set_conversation_status
from models.access_patterns.copies import shorten, shortened
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.messages import Draft, append_messages, delete_message, list_messages
from models.access_patterns.turn_beginnings import begin_turn, begin_turn_in_branch
from models.access_patterns.turn_states import get_turn
from models.access_patterns.turns import end_turn
from models.branch import MAX_HOPS
from models.conversation import Conversation
from models.message import Message
from models.table.errors import ConversationNotActive, ItemNotFound, TableError
from tests import raw
from tests.erasing import delete_agent, delete_conversation, delete_user
from tests.factories import make_conversation, say
from tests.together import at_once
from tests.wire import Cut, cut_off, others_come_first

pytestmark = pytest.mark.usefixtures("empty_table")

LEASE = timedelta(seconds=30)


def contents(conversation: Conversation) -> list[str]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 1000)
    return [message.content for message in page.items]


def fork_of(conversation: Conversation) -> Fork:
    """Return a branch to be made after a conversation's newest message."""
    ids = conversation.user_id, conversation.conversation_id
    last = list_messages(*ids, 1, descending=True).items[0]
    return find_fork(*ids, last.message_id)


def branch_of(conversation: Conversation, *contents: str) -> Conversation:
    return make_branch(fork_of(conversation), [Draft("user", content) for content in contents])[0]


def deep(messages: int = 60) -> list[Conversation]:
    """Return a root and its line of branches; a branch of the last, which has many messages, must be copied."""
    line = [make_conversation()]
    say(line[0], "root")
    for hop in range(MAX_HOPS - 1):
        line.append(branch_of(line[-1], f"hop {hop}"))
    last, _ = make_branch(fork_of(line[-1]), [Draft("user", f"long {number}") for number in range(50)])
    if messages > 50:
        append_messages(last.user_id, last.conversation_id, [Draft("user", "longer")] * (messages - 50))
    return [*line, last]


def left(conversation_id: str) -> list[tuple[str, str]]:
    """Return the keys of all items that mention a conversation, except receipts and the audit trail."""
    kept = ("ERASURE#", "AUDIT#")
    return [
        keys
        for keys, item in raw.whole_table().items()
        if conversation_id in str(keys) + str(item) and not keys[0].startswith(kept)
    ]


def delete(conversation: Conversation) -> None:
    delete_conversation(conversation.user_id, conversation.conversation_id)


DELETIONS: dict[str, Callable[[list[Conversation]], object]] = {
    "the conversation that it leaves": lambda line: delete(line[-1]),
    "one that its parent hangs on": lambda line: delete(line[2]),
    "the root": lambda line: delete(line[0]),
    "the agent": lambda line: delete_agent(line[0].user_id, line[0].agent_id),
    "the user": lambda line: delete_user(line[0].user_id),
}


def made(fork: Fork) -> Conversation:
    return make_branch(shorten(fork), [Draft("user", "late")])[0]


class TestForkOfWhatIsDeleted:
    @pytest.mark.parametrize("what", DELETIONS)
    @pytest.mark.parametrize("writes", range(5))
    def test_copies_are_all_deleted_wherever_the_deletion_comes_between(self, what: str, writes: int) -> None:
        line = deep()
        fork = fork_of(line[-1])
        assert fork.too_long
        # The entry, three pages of copies, and the branch itself.
        acts: list[Callable[[], object]] = [lambda: None] * writes + [partial(DELETIONS[what], line)]
        with (
            pytest.raises(ItemNotFound),
            others_come_first("TransactWriteItems", lambda: acts.pop(0)(), times=writes + 1),
        ):
            made(fork)
        assert not acts
        assert left(fork.branch_id) == []

    @pytest.mark.parametrize("what", DELETIONS)
    def test_a_fork_that_is_too_late_finds_nothing(self, what: str) -> None:
        line = [make_conversation()]
        say(line[0], "root")
        for hop in range(3):
            line.append(branch_of(line[-1], f"hop {hop}"))
        for write in (
            lambda fork: make_branch(fork, [Draft("user", "late")]),
            lambda fork: begin_turn_in_branch(fork, lambda _: [Draft("user", "late")], window=20, lease=LEASE),
        ):
            fork = fork_of(line[-1])
            with (
                pytest.raises(ItemNotFound),
                others_come_first("TransactWriteItems", partial(DELETIONS[what], line), times=1),
            ):
                write(fork)
            assert left(fork.branch_id) == []
            line = [make_conversation()]
            say(line[0], "root")
            for hop in range(3):
                line.append(branch_of(line[-1], f"hop {hop}"))

    def test_either_the_branch_is_whole_or_nothing_is_left(self) -> None:
        for round_ in range(8):
            line = deep(40 + round_)
            many = [fork_of(line[-1]) for _ in range(3)]
            victim = line[(0, -1, 4)[round_ % 3]]
            works: list[Callable[[], object]] = [partial(made, fork) for fork in many]
            outcomes = at_once([*works, partial(delete, victim)])
            assert outcomes[-1] is None
            assert all(isinstance(each, ItemNotFound | Conversation) for each in outcomes[:-1]), outcomes
            for fork in many:
                assert left(fork.branch_id) == []

    def test_a_branch_whose_deletion_was_interrupted_is_not_listed(self) -> None:
        root = make_conversation()
        say(root, "root")
        kept, branch = branch_of(root), branch_of(root, "inner")
        branch_of(branch)
        with pytest.raises(Cut), cut_off(after=6):
            delete(branch)
        listed = list_branches(root.user_id, root.conversation_id, 100).items
        assert [each.branch_id for each in listed] == [kept.conversation_id]


class TestCopies:
    def test_those_of_a_branch_that_is_refused_are_deleted(self) -> None:
        line = deep()
        fork = fork_of(line[-1])
        close = partial(set_conversation_status, line[0].user_id, line[0].conversation_id, "completed")
        acts: list[Callable[[], object]] = [lambda: None] * 4 + [close]
        with (
            pytest.raises(ConversationNotActive),
            others_come_first("TransactWriteItems", lambda: acts.pop(0)(), times=5),
            shortened(fork) as short,
        ):
            make_branch(short)
        assert left(fork.branch_id) == []

    def test_those_of_a_worker_that_dies_are_deleted_with_the_tree(self) -> None:
        line = deep()
        fork = fork_of(line[-1])

        def die() -> None:
            raise KeyboardInterrupt

        acts: list[Callable[[], object]] = [lambda: None] * 3 + [die]
        with (
            pytest.raises(KeyboardInterrupt),
            others_come_first("TransactWriteItems", lambda: acts.pop(0)(), times=4),
        ):
            shorten(fork)
        assert len(left(fork.branch_id)) == 51
        assert fork.branch_id not in str(list_branches(line[0].user_id, line[0].conversation_id, 100).items)
        delete(line[0])
        assert left(fork.branch_id) == []

    def test_deleting_a_copy_leaves_the_turn_of_its_original(self) -> None:
        line = deep()
        turn_id = answered(line[-1])
        copied = made(fork_of(line[-1]))
        copies = list_messages(copied.user_id, copied.conversation_id, 1000).items
        assert [each.turn_id for each in copies[-3:]] == [turn_id, turn_id, None]
        delete_message(copied.user_id, copied.conversation_id, copies[-2].message_id)
        assert get_turn(copied.user_id, turn_id).status == "completed"
        delete(copied)
        assert get_turn(copied.user_id, turn_id).status == "completed"
        assert contents(line[-1])[-2:] == ["Well?", "Yes."]
        delete(line[-1])
        with pytest.raises(ItemNotFound):
            get_turn(copied.user_id, turn_id)

    def test_deleting_copies_does_not_end_a_turn_that_runs(self) -> None:
        line = deep()
        ids = line[-1].user_id, line[-1].conversation_id
        begun = begin_turn(*ids, lambda _: [Draft("user", "Well?")], window=20, lease=LEASE, announced=True)
        copied = made(fork_of(line[-1]))
        delete(copied)
        end_turn(begun.lease, "completed", [Draft("agent", "Yes.")], {})
        assert contents(line[-1])[-2:] == ["Well?", "Yes."]


def answered(conversation: Conversation) -> str:
    """Run a turn; return its id."""
    ids = conversation.user_id, conversation.conversation_id

    def compose(_earlier: tuple[Message, ...]) -> list[Draft]:
        return [Draft("user", "Well?")]

    begun = begin_turn(*ids, compose, window=20, lease=LEASE)
    ended, _ = end_turn(begun.lease, "completed", [Draft("agent", "Yes.")], {})
    return str(ended.turn_id)


class TestSideBySide:
    @pytest.mark.parametrize("days", [None, 30])
    def test_forty_forks_at_one_message(self, days: int | None) -> None:
        root = make_conversation(retention_days=days)
        say(root, "root")
        many = [fork_of(root) for _ in range(40)]
        outcomes = at_once([partial(make_branch, fork, [Draft("user", "me")]) for fork in many])
        assert [each for each in outcomes if isinstance(each, Exception)] == []
        listed = list_branches(root.user_id, root.conversation_id, 100).items
        assert {each.branch_id for each in listed} == {fork.branch_id for fork in many}

    def test_appends_in_ten_branches(self) -> None:
        root = make_conversation()
        say(root, "root")
        branches = [branch_of(root) for _ in range(10)]

        def write(branch: Conversation) -> None:
            for number in range(10):
                say(branch, str(number))

        outcomes = at_once([partial(write, branch) for branch in branches])
        assert [each for each in outcomes if isinstance(each, TableError | Exception)] == []
        for branch in branches:
            assert contents(branch) == ["root", *map(str, range(10))]
