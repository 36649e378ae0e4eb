"""Erasure: deleted data looks missing immediately, and nothing is left behind, even if the job is interrupted."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from models.access_patterns.agents import find_agent_owner, get_agent, list_agents, update_agent
from models.access_patterns.api_keys import create_api_key, find_api_key
from models.access_patterns.branches import make_branch
from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_agent_conversations,
    list_conversations,
    open_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.erasure import list_pending_erasures, take_erasure
from models.access_patterns.forks import find_fork
from models.access_patterns.messages import Draft, append_messages, delete_message, list_messages
from models.access_patterns.removal.erase import erase
from models.access_patterns.sharing import publish_agent, share_agent
from models.access_patterns.states import Owner, list_states, put_state
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_errors import LeaseExpired
from models.access_patterns.turn_events import append_events
from models.access_patterns.turn_states import reconcile_turn
from models.access_patterns.turns import end_turn, renew_lease
from models.access_patterns.users import change_email, get_user, get_user_by_email, list_users, update_user
from models.agent import Agent
from models.conversation import STATUSES, Conversation
from models.erasure import Erasure
from models.measure.shapes import entity_of
from models.message import Message
from models.request_count import RequestCount
from models.table.errors import Contended, EmailTaken, ItemNotFound, LeaseLost
from models.table.item import Item
from models.turn import EventId, Turn, TurnEvents
from tests import raw
from tests.erasing import delete_agent, delete_conversation, delete_user, hold
from tests.factories import append, make_agent, make_conversation, make_user, new_email, say
from tests.fake_clock import FakeClock
from tests.one_of_each import make_one_of_each
from tests.raw import hide
from tests.together import at_once
from tests.wire import Cut, cut_off, others_come_first

pytestmark = pytest.mark.usefixtures("empty_table")

LEASE = timedelta(seconds=30)


def whole_table() -> dict[tuple[str, str], dict[str, Any]]:
    """Return all items except those that are kept: receipts, the audit trail, and the counts of existing users."""
    items = raw.whole_table()

    def stays(pk: str, sk: str) -> bool:
        return sk.startswith("COUNTED#") and (pk.removesuffix("#TURNS"), "PROFILE") in items

    return {
        keys: item
        for keys, item in items.items()
        if not keys[0].startswith(("ERASURE#", "AUDIT#")) and not stays(*keys)
    }


def turn(conversation: Conversation, *contents: str, answer: Sequence[Draft] = (), end: bool = True) -> None:
    """Run a turn that begins with `contents`, if any; with or without an answer, ended or not."""

    def compose(_earlier: tuple[Message, ...]) -> list[Draft]:
        return [Draft("user", content) for content in contents]

    begin = partial(begin_turn, conversation.user_id, conversation.conversation_id, compose, window=20, lease=LEASE)
    try:
        begun = begin()
    except LeaseExpired as found:
        reconcile_turn(found.turn)
        begun = begin()
    if end:
        end_turn(begun.lease, "completed" if answer else "failed", answer, {})


def live(conversation: Conversation) -> None:
    """Give a conversation everything that can belong to one."""
    answer = [
        Draft("agent", "{}", type="function_call", attributes={"call_id": "c1", "function_name": "add"}),
        Draft("tool", "4"),
        Draft("agent", "Four."),
    ]
    say(conversation, "Hello")
    turn(conversation, "2 + 2?", answer=answer)
    turn(conversation, "fails")
    turn(conversation, answer=answer[-1:])
    turn(conversation)
    owner = Owner(conversation.user_id, conversation.conversation_id)
    put_state(owner, "session", "key", 1, ttl=timedelta(minutes=1))
    put_state(owner, "application", "key", 1)


def grow(parent: Conversation) -> Conversation:
    """Return a branch that leaves a conversation after its newest message, with a turn and state of its own."""
    ids = parent.user_id, parent.conversation_id
    last = list_messages(*ids, 1, descending=True).items[0]
    branch, _ = make_branch(find_fork(*ids, last.message_id), [Draft("user", "branch")])
    turn(branch, "Hello", answer=[Draft("agent", "Hi!")])
    put_state(Owner(branch.user_id, branch.conversation_id), "session", "key", 1)
    return branch


def make_conversations(agent: Agent) -> None:
    """Create a conversation with each status, one of them with everything."""
    for status in STATUSES:
        conversation = make_conversation(agent)
        if status == "active":
            live(conversation)
        set_conversation_status(agent.user_id, conversation.conversation_id, status)


def make_neighbour() -> dict[tuple[str, str], dict[str, Any]]:
    """Create another user with everything; return the whole table, which must be the same after the erasure."""
    agent = make_agent()
    live(make_conversation(agent))
    put_state(Owner(agent.user_id), "session", "key", 1)
    create_api_key(agent.user_id, key_hash=agent.agent_id, hint="abcd", role="user")
    return whole_table()


def counted(keys: Collection[tuple[str, str]]) -> dict[str, int]:
    """Return the counts by item type for a receipt of these items, without items that only lead to others."""
    kinds = [entity_of({"PK": {"S": pk}, "SK": {"S": sk}}) for pk, sk in keys]
    leads = {"ConversationEntry", "BranchEntry", "ApiKey", "EmailClaim"}
    return dict(Counter(kind.ENTITY for kind in kinds if kind is not None and kind.ENTITY not in leads))


def kinds(items: Mapping[tuple[str, str], Mapping[str, Any]]) -> set[str]:
    """Return the entities of raw items."""
    return {item["entity"]["S"] for item in items.values()}


def finish(delete: Callable[[], Erasure], after: int, clock: FakeClock) -> tuple[Erasure, bool]:
    """Interrupt a removal after a number of writes and resume it later; return whether it was interrupted."""
    try:
        with cut_off(after):
            return delete(), False
    except Cut:
        clock.advance(seconds=31)
        return delete(), True


class TestConversation:
    def test_nothing_is_left_behind(self) -> None:
        agent = make_agent()
        neighbour = make_conversation(agent)
        live(neighbour)
        before = whole_table()
        conversation = make_conversation(agent)
        live(conversation)
        delete_conversation(conversation.user_id, conversation.conversation_id)
        after = whole_table()
        profile = (f"USER#{agent.user_id}", "PROFILE")
        assert after.pop(profile).keys() == before.pop(profile).keys()
        assert after == before
        assert [each.conversation_id for each in list_conversations(agent.user_id, 10).items] == [
            neighbour.conversation_id
        ]

    def test_more_items_than_one_page_are_deleted(self) -> None:
        conversation = make_conversation()
        append(conversation, [Draft("user", "x" * 12_000)] * 130)
        put_state(Owner(conversation.user_id, conversation.conversation_id), "session", "key", 1)
        delete_conversation(conversation.user_id, conversation.conversation_id)
        assert not [keys for keys in whole_table() if keys[0].startswith("CONV#")]

    def test_hidden_items_are_deleted(self) -> None:
        conversation = make_conversation()
        unknown, expired, _ = say(conversation, *"abc")
        hide(unknown, "unknown")
        hide(expired, "expired")
        delete_conversation(conversation.user_id, conversation.conversation_id)
        assert not [keys for keys in whole_table() if keys[0].startswith("CONV#")]

    @pytest.mark.parametrize("end", [False, True])
    @pytest.mark.parametrize("messages", [(), ("Hello",)])
    def test_an_orphaned_turn_and_its_successor_are_deleted(
        self, messages: tuple[str, ...], end: bool, fake_clock: FakeClock
    ) -> None:
        conversation = make_conversation()
        turn(conversation, *messages, end=False)
        fake_clock.advance(seconds=31)
        turn(conversation, *messages, end=end)
        delete_conversation(conversation.user_id, conversation.conversation_id)
        assert not [keys for keys in whole_table() if not keys[0].startswith(("USER#", "EMAIL#"))]

    @pytest.mark.parametrize("sender", ["user", "agent"])
    @pytest.mark.parametrize("answer", [(), (Draft("agent", "Hi!"),)])
    def test_the_turn_of_an_already_deleted_message_is_deleted(self, sender: str, answer: tuple[Draft, ...]) -> None:
        conversation = make_conversation()
        for contents in ((), ("Hello",)):
            turn(conversation, *contents, answer=answer)
        for message in list_messages(conversation.user_id, conversation.conversation_id, 10).items:
            if message.sender == sender:
                delete_message(conversation.user_id, conversation.conversation_id, message.message_id)
        delete_conversation(conversation.user_id, conversation.conversation_id)
        assert not [keys for keys in whole_table() if not keys[0].startswith(("USER#", "EMAIL#"))]

    def test_the_turn_whose_message_was_deleted_while_it_ran_is_deleted(self) -> None:
        conversation = make_conversation()

        def compose(_earlier: tuple[Message, ...]) -> list[Draft]:
            return [Draft("user", "Hello")]

        begun = begin_turn(conversation.user_id, conversation.conversation_id, compose, window=20, lease=LEASE)
        delete_message(conversation.user_id, conversation.conversation_id, begun.messages[0].message_id)
        end_turn(begun.lease, "failed", (), {"partial_text": "You said Hello"})
        delete_conversation(conversation.user_id, conversation.conversation_id)
        assert not [keys for keys in whole_table() if not keys[0].startswith(("USER#", "EMAIL#"))]

    def test_a_second_removal_finds_nothing_left(self) -> None:
        conversation = make_conversation()
        delete_conversation(conversation.user_id, conversation.conversation_id)
        with pytest.raises(ItemNotFound):
            delete_conversation(conversation.user_id, conversation.conversation_id)

    def test_concurrent_removals_leave_nothing_and_raise_only_not_found(self) -> None:
        conversation = make_conversation()
        live(conversation)
        outcomes = at_once([partial(delete_conversation, conversation.user_id, conversation.conversation_id)] * 4)
        assert all(isinstance(each, Erasure | ItemNotFound) for each in outcomes)
        assert any(isinstance(each, Erasure) and each.completed for each in outcomes)
        assert not [keys for keys in whole_table() if not keys[0].startswith(("USER#", "EMAIL#"))]

    def test_concurrent_writers_leave_nothing_behind(self) -> None:
        conversation = make_conversation()
        live(conversation)
        owner = Owner(conversation.user_id, conversation.conversation_id)

        def write() -> None:
            for number in range(10):
                say(conversation, "still here")
                put_state(owner, "session", f"key{number}", number)

        def answer() -> None:
            for _ in range(10):
                turn(conversation, "Hello", answer=[Draft("agent", "Hi!")])

        def delete() -> Erasure:
            say(conversation, "one more")
            return delete_conversation(conversation.user_id, conversation.conversation_id)

        works: list[Callable[[], object]] = [write, answer, delete]
        outcomes = at_once(works)
        assert isinstance(outcomes[2], Erasure)
        assert all(isinstance(each, ItemNotFound | LeaseLost | Contended) for each in outcomes[:2])
        assert not [keys for keys in whole_table() if not keys[0].startswith(("USER#", "EMAIL#"))]


class TestAgent:
    def test_nothing_is_left_behind(self) -> None:
        user = make_user()
        kept = make_conversation(make_agent(user))
        live(kept)
        neighbour = make_neighbour()
        agent = make_agent(user)
        make_conversations(agent)
        delete_agent(user.user_id, agent.agent_id)
        after = whole_table()
        assert after.keys() == neighbour.keys()
        assert [each.conversation_id for each in list_conversations(user.user_id, 10).items] == [kept.conversation_id]
        for look in (
            partial(get_agent, user.user_id, agent.agent_id),
            partial(find_agent_owner, agent.agent_id),
            partial(delete_agent, user.user_id, agent.agent_id),
        ):
            with pytest.raises(ItemNotFound, match="agent"):
                look()

    def test_a_conversation_that_has_already_disappeared_is_not_an_error(self) -> None:
        conversation = make_conversation()
        ids = conversation.user_id, conversation.conversation_id
        # The first update would mark the conversation that the entry leads to.
        with others_come_first("UpdateItem", partial(delete_conversation, *ids), times=1):
            delete_agent(conversation.user_id, conversation.agent_id)
        assert not [keys for keys in whole_table() if keys[1] not in ("PROFILE", "EMAIL")]


class TestUser:
    def test_nothing_is_left_behind(self) -> None:
        neighbour = make_neighbour()
        user = make_user()
        make_conversations(make_agent(user))
        make_conversation(make_agent(user))
        put_state(Owner(user.user_id), "session", "key", 1)
        over = datetime.now(UTC) - timedelta(days=1)
        create_api_key(user.user_id, key_hash="one", hint="abcd", role="user")
        create_api_key(user.user_id, key_hash="two", hint="abcd", role="user", expires=over)
        delete_user(user.user_id)
        assert whole_table() == neighbour
        for look in (
            partial(get_user, user.user_id),
            partial(get_user_by_email, user.email),
            partial(find_api_key, "one"),
            partial(delete_user, user.user_id),
        ):
            with pytest.raises(ItemNotFound):
                look()
        assert make_user(email=user.email).user_id != user.user_id

    def test_only_the_audit_trail_and_receipts_still_name_a_deleted_user(self) -> None:
        others = make_agent()
        before = raw.whole_table()
        user = make_one_of_each(others)
        made = {keys: item for keys, item in raw.whole_table().items() if keys not in before}
        assert kinds(made) == set(Item.entities()), "make one of each new entity, too"

        receipt = delete_user(user.user_id)

        after = raw.whole_table()
        assert kinds({keys: item for keys, item in after.items() if user.user_id in str(item)}) == {
            "AuditEvent",
            "Erasure",
        }
        left = {keys: item for keys, item in after.items() if keys not in before}
        # The unfinished job is the deletion of a conversation that was requested before.
        assert kinds(left) == {"AuditEvent", "Erasure", "PendingErasure", "Identity"}
        (identity,) = (item for item in left.values() if item["entity"]["S"] == "Identity")
        assert identity.keys().isdisjoint({"user_id", "issuer", "subject"}), "its hash keeps them from coming in again"
        assert receipt.removed[RequestCount.ENTITY] == 2

    def test_shares_are_removed_on_both_sides(self) -> None:
        owner, grantee, agent = make_user(), make_user(), make_agent()
        mine = make_agent(owner)
        share_agent(owner.user_id, mine.agent_id, grantee.user_id)
        publish_agent(owner.user_id, mine.agent_id, published=True)
        share_agent(agent.user_id, agent.agent_id, owner.user_id)
        share_agent(agent.user_id, agent.agent_id, grantee.user_id)
        delete_user(owner.user_id)
        assert not [keys for keys, item in whole_table().items() if owner.user_id in str((keys, item))]
        assert get_agent(agent.user_id, agent.agent_id).shared_with == {grantee.user_id}

    @pytest.mark.parametrize("what", ["conversation", "user"])
    def test_streamed_text_is_deleted_with_its_turn(self, what: str) -> None:
        conversation = make_conversation()
        ids = conversation.user_id, conversation.conversation_id
        compose = lambda _earlier: [Draft("user", "Hello")]  # noqa: E731
        begun = begin_turn(*ids, compose, window=20, lease=LEASE, announced=True)
        for last in (2, 4, 6):
            append_events(begun.lease.turn_id, EventId(last), ["You ", "said"])
        receipt = delete_user(ids[0]) if what == "user" else delete_conversation(*ids)
        assert receipt.removed[TurnEvents.ENTITY] == 3
        assert receipt.removed[Turn.ENTITY] == 1
        assert not [keys for keys in whole_table() if begun.lease.turn_id in str(keys)]
        with pytest.raises(LeaseLost):
            end_turn(begun.lease, "completed", [Draft("agent", "You said Hello")], {})
        assert not [keys for keys in whole_table() if begun.lease.turn_id in str(keys)]

    def test_a_changed_email_is_released(self) -> None:
        user = make_user()
        changed = change_email(user.user_id, new_email())
        delete_user(user.user_id)
        assert whole_table() == {}
        make_user(email=changed.email)

    def test_a_late_worker_leaves_the_email_to_its_new_owner(self, fake_clock: FakeClock) -> None:
        user = make_user()

        def others() -> None:
            fake_clock.advance(seconds=31)
            assert delete_user(user.user_id).completed
            make_user(email=user.email, name="New")

        acts = [lambda: None, others]
        with pytest.raises(LeaseLost), others_come_first("TransactWriteItems", lambda: acts.pop(0)(), times=2):
            delete_user(user.user_id)
        assert get_user_by_email(user.email).name == "New"


class TestCutShort:
    """Whichever write was the last before the interruption: resuming the removal completes it and leaves nothing."""

    def test_a_conversation(self, fake_clock: FakeClock) -> None:
        agent = make_agent()
        before = whole_table().keys()
        for after in range(100):
            conversation = make_conversation(agent)
            live(conversation)
            there = counted(whole_table().keys() - before)
            erase = partial(delete_conversation, agent.user_id, conversation.conversation_id)
            receipt, cut = finish(erase, after, fake_clock)
            assert whole_table().keys() == before, after
            assert receipt.completed
            assert receipt.removed == there, after
            if not cut:
                break
        assert 4 <= after < 99

    @pytest.mark.parametrize("what", ["a tree", "a branch"])
    def test_branches(self, what: str, fake_clock: FakeClock) -> None:
        agent = make_agent()
        for after in range(100):
            root = make_conversation(agent)
            say(root, "root")
            mine = {keys for keys in whole_table() if root.conversation_id in str(keys)}
            before = whole_table().keys() - mine
            branch = grow(root)
            grow(branch)
            target = root
            if what == "a branch":
                before |= mine
                target = branch
            erase = partial(delete_conversation, agent.user_id, target.conversation_id)
            there = counted(whole_table().keys() - before)
            assert there["Turn"] == 2
            receipt, cut = finish(erase, after, fake_clock)
            assert whole_table().keys() == before, after
            assert receipt.completed
            assert receipt.removed == there, after
            if not cut:
                break
        assert 10 <= after < 99

    def test_an_agent_with_conversations(self, fake_clock: FakeClock) -> None:
        user = make_user()
        before = whole_table().keys()
        for after in range(100):
            agent = make_agent(user)
            turn(make_conversation(agent), "Hello")
            say(make_conversation(agent), "Hello")
            there = counted(whole_table().keys() - before)
            receipt, cut = finish(partial(delete_agent, user.user_id, agent.agent_id), after, fake_clock)
            assert whole_table().keys() == before, after
            assert receipt.removed == there, after
            if not cut:
                break
        assert 5 <= after < 99

    def test_a_user_with_everything(self, fake_clock: FakeClock) -> None:
        for after in range(100):
            user = make_user()
            turn(make_conversation(make_agent(user)), "Hello")
            put_state(Owner(user.user_id), "session", "key", 1)
            create_api_key(user.user_id, key_hash="hash", hint="abcd", role="user")
            there = counted(whole_table().keys())
            receipt, cut = finish(partial(delete_user, user.user_id), after, fake_clock)
            assert whole_table() == {}, after
            assert receipt.removed == there, after
            if not cut:
                break
        assert 7 <= after < 99

    def test_a_user_whose_conversation_was_being_removed(self, fake_clock: FakeClock) -> None:
        conversation = make_conversation()
        live(conversation)
        with pytest.raises(Cut), cut_off(after=2):
            delete_conversation(conversation.user_id, conversation.conversation_id)
        delete_user(conversation.user_id)
        (pending,) = list_pending_erasures(10).items
        assert take_erasure(pending.erasure_id, hold()) is None, "its worker may live"
        fake_clock.advance(seconds=31)
        mine = hold()
        job = take_erasure(pending.erasure_id, mine)
        assert job is not None
        erase(job, mine)
        assert whole_table() == {}


class TestInProgress:
    """From the first write on, everything that is being removed looks missing."""

    def missing(self, acts: Sequence[Callable[[], object]]) -> None:
        before = whole_table()
        for act in acts:
            with pytest.raises(ItemNotFound):
                act()
        assert whole_table() == before

    def test_a_conversation(self) -> None:
        conversation = make_conversation()
        ids = conversation.user_id, conversation.conversation_id
        (message,) = say(conversation, "Hello")
        owner = Owner(*ids)
        put_state(owner, "session", "key", 1)
        with pytest.raises(Cut), cut_off(after=1):
            delete_conversation(*ids)
        self.missing(
            [
                partial(get_conversation, *ids),
                partial(open_conversation, *ids, 20),
                partial(update_conversation, *ids, {"title": "T"}),
                partial(set_conversation_status, *ids, "active"),
                partial(append_messages, *ids, [Draft("user", "Hello")]),
                partial(list_messages, *ids, 10),
                partial(delete_message, *ids, message.message_id),
                partial(begin_turn, *ids, lambda _: [], window=20, lease=LEASE),
                partial(put_state, owner, "session", "key", 2),
                partial(put_state, owner, "session", "new", 2),
                partial(list_states, owner, 10),
            ]
        )
        assert list_conversations(conversation.user_id, 10).items == ()
        assert list_agent_conversations(conversation.user_id, conversation.agent_id, 10).items == ()

    def test_a_running_turn_loses_its_lease(self) -> None:
        conversation = make_conversation()
        begun = begin_turn(
            conversation.user_id, conversation.conversation_id, lambda _: [Draft("user", "Hi")], window=20, lease=LEASE
        )
        with pytest.raises(Cut), cut_off(after=1):
            delete_conversation(conversation.user_id, conversation.conversation_id)
        before = whole_table()
        with pytest.raises(LeaseLost):
            renew_lease(begun.lease, LEASE)
        with pytest.raises(LeaseLost):
            end_turn(begun.lease, "completed", [Draft("agent", "Hi!")], {})
        assert whole_table() == before

    def test_an_agent(self) -> None:
        agent = make_agent()
        conversation = make_conversation(agent)
        with pytest.raises(Cut), cut_off(after=1):
            delete_agent(agent.user_id, agent.agent_id)
        self.missing(
            [
                partial(get_agent, agent.user_id, agent.agent_id),
                partial(update_agent, agent.user_id, agent.agent_id, {"name": "New"}),
                partial(create_conversation, agent.user_id, agent.agent_id),
                partial(find_agent_owner, agent.agent_id),
            ]
        )
        assert list_agents(agent.user_id, 10).items == ()
        assert get_conversation(agent.user_id, conversation.conversation_id).agent_id == agent.agent_id

    def test_a_user(self) -> None:
        agent = make_agent()
        user = get_user(agent.user_id)
        with pytest.raises(Cut), cut_off(after=1):
            delete_user(user.user_id)
        self.missing(
            [
                partial(get_user, user.user_id),
                partial(get_user_by_email, user.email),
                partial(update_user, user.user_id, {"name": "New"}),
                partial(change_email, user.user_id, new_email()),
                partial(make_agent, user),
                partial(make_conversation, agent),
                partial(create_api_key, user.user_id, key_hash="h", hint="abcd", role="user"),
                partial(put_state, Owner(user.user_id), "session", "key", 1),
            ]
        )
        assert list_users(10).items == ()
        with pytest.raises(EmailTaken):
            make_user(email=user.email)


@pytest.mark.usefixtures("building_blocks")
def test_ids_of_others_delete_nothing() -> None:
    conversation = make_conversation()
    before = whole_table()
    intruder = make_user()
    with pytest.raises(ItemNotFound):
        delete_conversation(intruder.user_id, conversation.conversation_id)
    with pytest.raises(ItemNotFound):
        delete_agent(intruder.user_id, conversation.agent_id)
    delete_user(intruder.user_id)
    assert whole_table() == before
