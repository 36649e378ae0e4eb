"""Retention in trees: everything expires by its own age, and what leads to it is kept as long as it."""

from datetime import timedelta

import pytest

from models.access_patterns.branches import list_branches, make_branch
from models.access_patterns.conversations import create_conversation, get_conversation
from models.access_patterns.copies import shorten
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.messages import Draft, append_messages, delete_message, list_messages
from models.access_patterns.turn_beginnings import begin_turn, begin_turn_in_branch
from models.access_patterns.turns import end_turn
from models.branch import MAX_HOPS
from models.conversation import Conversation
from models.table.errors import ItemNotFound
from tests.factories import make_agent
from tests.fake_clock import FakeClock
from tests.raw import whole_table
from tests.wire import others_come_first

pytestmark = pytest.mark.usefixtures("empty_table")

LEASE = timedelta(minutes=15)


def make(days: int | None, *said: str) -> Conversation:
    agent = make_agent()
    conversation = create_conversation(agent.user_id, agent.agent_id, retention_days=days)
    say(conversation, *said)
    return conversation


def say(conversation: Conversation, *said: str) -> None:
    append_messages(conversation.user_id, conversation.conversation_id, [Draft("user", each) for each in said])


def header(conversation: Conversation) -> Conversation:
    return get_conversation(conversation.user_id, conversation.conversation_id)


def contents(conversation: Conversation) -> list[str]:
    page = list_messages(conversation.user_id, conversation.conversation_id, 100)
    return [message.content for message in page.items]


def fork_of(conversation: Conversation) -> Fork:
    ids = conversation.user_id, conversation.conversation_id
    return find_fork(*ids, list_messages(*ids, 1, descending=True).items[0].message_id)


def listed(conversation: Conversation) -> list[str]:
    page = list_branches(conversation.user_id, conversation.conversation_id, 100)
    return [str(each.branch_id) for each in page.items]


def assert_nothing_is_kept_by_less(root: Conversation) -> None:
    """Check that a header, an entry and the root's header expire no earlier than what they lead to."""
    never = 10**12
    ends: dict[str, dict[str, int]] = {}
    for (pk, sk), item in whole_table().items():
        if pk.startswith("CONV#"):
            ends.setdefault(pk.removeprefix("CONV#"), {})[sk] = int(item.get("expires_at", {"N": never})["N"])
    entries = {sk.rpartition("#")[2]: end for sk, end in ends[root.conversation_id].items() if sk.startswith("BRANCH#")}
    for conversation_id, items in ends.items():
        assert items["THREAD"] >= max(end for sk, end in items.items() if not sk.startswith("KV#")), conversation_id
        assert ends[root.conversation_id]["THREAD"] >= items["THREAD"], conversation_id
        if conversation_id != root.conversation_id:
            assert entries[conversation_id] == items["THREAD"]


class TestRoot:
    def test_it_is_kept_as_long_as_its_branches(self, fake_clock: FakeClock) -> None:
        root = make(2, "root")
        branch, _ = make_branch(fork_of(root), [Draft("user", "one")])
        fake_clock.advance(days=1)
        say(branch, "two")
        fake_clock.advance(days=1, seconds=2)
        assert (contents(branch), listed(root)) == (["two"], [branch.conversation_id])
        say(branch, "three")
        assert_nothing_is_kept_by_less(root)
        fake_clock.advance(days=2, seconds=2)
        for conversation in (root, branch):
            with pytest.raises(ItemNotFound):
                header(conversation)

    def test_also_as_long_as_an_answer_that_took_its_time(self, fake_clock: FakeClock) -> None:
        root = make(2, "root")
        first = begin_turn_in_branch(
            fork_of(root), lambda _: [Draft("user", "Well?")], window=20, lease=LEASE, retention_days=2
        )
        fake_clock.advance(minutes=10)
        end_turn(first.lease, "completed", [Draft("agent", "Yes.")], {})
        assert_nothing_is_kept_by_less(root)
        branch = first.lease.conversation
        ids = branch.user_id, branch.conversation_id
        second = begin_turn(*ids, lambda _: [], window=20, lease=LEASE, retention_days=2)
        fake_clock.advance(minutes=10)
        end_turn(second.lease, "completed", [Draft("agent", "Yes.")], {})
        assert_nothing_is_kept_by_less(root)
        say(root, "on")
        assert_nothing_is_kept_by_less(root)

    def test_also_if_only_its_branches_have_messages_that_never_expire(self, fake_clock: FakeClock) -> None:
        root = make(1)
        fork = find_fork(root.user_id, root.conversation_id, None)
        begun = begin_turn_in_branch(fork, lambda _: [Draft("user", "Kept")], window=20, lease=LEASE)
        end_turn(begun.lease, "completed", [], {})
        assert header(root).expires_at is None
        ids = root.user_id, root.conversation_id
        turn = begin_turn(*ids, lambda _: [Draft("user", "Short")], window=20, lease=LEASE, retention_days=1)
        end_turn(turn.lease, "completed", [], {})
        assert_nothing_is_kept_by_less(root)

    def test_also_after_its_own_messages_were_deleted(self, fake_clock: FakeClock) -> None:
        root = make(None, "root")
        ids = root.user_id, root.conversation_id
        fork = fork_of(root)
        make_branch(fork, [Draft("user", "Kept")])
        delete_message(*ids, fork.from_message_id or "")
        turn = begin_turn(*ids, lambda _: [Draft("user", "Short")], window=20, lease=LEASE, retention_days=1)
        end_turn(turn.lease, "completed", [], {})
        assert_nothing_is_kept_by_less(root)

    @pytest.mark.parametrize("first", [[], ["root"]])
    def test_a_write_in_the_root_at_the_same_moment_does_not_shorten_it(
        self, first: list[str], fake_clock: FakeClock
    ) -> None:
        root = make(30, *first)
        fork = find_fork(root.user_id, root.conversation_id, None)
        fake_clock.advance(days=1)

        def others() -> None:
            begin_turn_in_branch(fork, lambda _: [Draft("user", "a")], window=20, lease=LEASE, retention_days=60)

        with others_come_first("TransactWriteItems", others, times=1):
            say(root, "here")
        assert_nothing_is_kept_by_less(root)


class TestCopies:
    @pytest.mark.parametrize("before", [None, 30])
    def test_a_branch_is_kept_as_long_as_its_copies(self, before: int | None, fake_clock: FakeClock) -> None:
        root = make(before, "root")
        branch = root
        for hop in range(MAX_HOPS):
            branch, _ = make_branch(fork_of(branch), [Draft("user", f"hop {hop}")])
        turn = begin_turn(
            root.user_id,
            root.conversation_id,
            lambda _: [Draft("user", "Shorter")],
            window=20,
            lease=LEASE,
            retention_days=1,
        )
        end_turn(turn.lease, "completed", [], {})
        copied, _ = make_branch(shorten(fork_of(branch)), [Draft("user", "late")])
        assert_nothing_is_kept_by_less(root)
        fake_clock.advance(days=2)
        assert contents(copied) == ["root", *(f"hop {hop}" for hop in range(MAX_HOPS))]
        assert copied.conversation_id in listed(root)

    def test_those_of_a_worker_that_died_lose_their_entry_no_earlier_than_themselves(
        self, fake_clock: FakeClock
    ) -> None:
        root = make(2, "root")
        branch = root
        for hop in range(MAX_HOPS):
            branch, _ = make_branch(fork_of(branch), [Draft("user", f"hop {hop}")])
        short = shorten(fork_of(branch))
        items = whole_table()
        (entry,) = (item for keys, item in items.items() if keys[1].endswith(short.branch_id))
        copies = [item for keys, item in items.items() if keys[0] == f"CONV#{short.branch_id}"]
        assert len(copies) == 1
        assert int(entry["expires_at"]["N"]) >= max(int(copy["expires_at"]["N"]) for copy in copies)
