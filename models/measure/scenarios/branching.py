"""Branches: made, read along their paths, continued, and chosen."""

from contextlib import suppress
from functools import partial
from typing import Any

from models.access_patterns import branches, conversations, messages, reasoning, turn_beginnings, turns
from models.access_patterns.allowances import get_allowance
from models.access_patterns.copies import drop_copies, shorten
from models.access_patterns.erasure import delete_conversation
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft
from models.access_patterns.removal.erase import erase
from models.allowance import Limits, Quota
from models.branch import MAX_HOPS, BranchEntry
from models.conversation import Conversation
from models.measure.scenario import Act, scenario
from models.measure.scenarios.removal import HOLD
from models.measure.scenarios.talk import WINDOW
from models.measure.scenarios.turns_and_state import LEASE
from models.measure.world import ANSWER, PAGE, QUESTION, REASONING, World
from models.table.errors import ConversationNotActive, LimitReached
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for

_LIMITS = Limits(turns_at_once=1)
_DAYS = 30


def _owner(conversation: Conversation) -> UserId:
    return acting_for(conversation.user_id)


def _last(conversation: Conversation) -> str:
    """Return the id of a conversation's newest message."""
    page = messages.list_messages(_owner(conversation), conversation.conversation_id, 1, descending=True)
    return str(page.items[0].message_id)


def _fork(conversation: Conversation) -> Fork:
    """Return a branch to be made after the newest message."""
    return find_fork(_owner(conversation), conversation.conversation_id, _last(conversation))


def _branch(conversation: Conversation, *drafts: Draft) -> Conversation:
    return branches.make_branch(_fork(conversation), drafts or [Draft("user", QUESTION), Draft("agent", ANSWER)])[0]


def _deep(world: World) -> Conversation:
    """Return a branch whose path has the maximum length."""
    branch = world.new_conversation(messages=2)
    for _ in range(MAX_HOPS):
        branch = _branch(branch, Draft("user", QUESTION), Draft("agent", ANSWER, reasoning=REASONING))
    return branch


@scenario("AP-46")
def find_where_a_branch_leaves(world: World) -> Act:
    """The newest message of a root."""
    conversation = world.long_conversation()
    return partial(find_fork, _owner(conversation), conversation.conversation_id, _last(conversation))


@scenario("AP-46")
def find_where_a_branch_begins_anew(world: World) -> Act:
    """Before the first message of a root."""
    conversation = world.long_conversation()
    return partial(find_fork, _owner(conversation), conversation.conversation_id, None)


@scenario("AP-46")
def find_where_a_branch_leaves_a_branch(world: World) -> Act:
    """The newest message of a branch."""
    branch = _branch(world.new_conversation(messages=2))
    return partial(find_fork, _owner(branch), branch.conversation_id, _last(branch))


@scenario("AP-47")
def shorten_a_path(world: World) -> Act:
    """A question, and an answer with its reasoning."""
    return partial(shorten, _fork(_deep(world)))


@scenario("AP-48")
def drop_copies_of_a_branch(world: World) -> Act:
    """A question, and an answer with its reasoning."""
    return partial(drop_copies, shorten(_fork(_deep(world))))


@scenario("AP-37")
def make_branch(world: World) -> Act:
    """A branch of a root without a message, more than a minute after the last activity."""
    return partial(branches.make_branch, _fork(world.long_conversation()))


@scenario("AP-37")
def make_branch_with_a_message(world: World) -> Act:
    """A branch of a branch, with an answer, its reasoning and an idempotency key."""
    branch = _branch(world.new_conversation(messages=2))
    once = Once(_owner(branch), new_id("fingerprint"), "0" * 64)
    return partial(branches.make_branch, _fork(branch), [Draft("agent", ANSWER, reasoning=REASONING)], once=once)


@scenario("AP-37")
def make_branch_of_a_closed_conversation(world: World) -> Act:
    """The root is completed after it was read."""
    fork = _closed_meanwhile(world)
    return lambda: _refused(partial(branches.make_branch, fork))


def _closed_meanwhile(world: World) -> Fork:
    conversation = world.new_conversation(messages=2)
    fork = _fork(conversation)
    conversations.set_conversation_status(_owner(conversation), conversation.conversation_id, "completed")
    return fork


def _refused(act: Act) -> None:
    with suppress(ConversationNotActive, LimitReached):
        act()


def _begin(fork: Fork, *, asked: bool = True, **options: Any) -> object:
    drafts = [Draft("user", QUESTION)] if asked else []
    window = WINDOW - 1 if asked else WINDOW
    return turn_beginnings.begin_turn_in_branch(fork, lambda _: drafts, window=window, lease=LEASE, **options)


@scenario("AP-38")
def begin_turn_in_branch(world: World) -> Act:
    """A branch of a root, more than a minute after the last activity."""
    return partial(_begin, _fork(world.long_conversation()))


@scenario("AP-38")
def begin_turn_without_a_message(world: World) -> Act:
    """The last answer again, in a branch of a branch, with limits and an idempotency key."""
    branch = _branch(world.new_conversation(messages=2))
    owner = _owner(branch)
    once = Once(owner, new_id("fingerprint"), "0" * 64)
    quota = Quota(get_allowance(owner), _LIMITS, lambda *_: 2500)
    return partial(_begin, _fork(branch), asked=False, once=once, quota=quota)


@scenario("AP-38")
def begin_turn_in_branch_beside_others(world: World) -> Act:
    """A turn that was within its limit when the allowance was read, but not when it claims."""
    agent = world.new_agent()
    before = Quota(get_allowance(acting_for(agent.user_id)), _LIMITS, lambda *_: 2500)
    _begin(_fork(world.new_conversation(agent, messages=2)), quota=before)
    late = _fork(world.new_conversation(agent, messages=2))
    return lambda: _refused(partial(_begin, late, quota=before))


@scenario("AP-39")
def list_branches(world: World) -> Act:
    """A full page of branches at one message."""
    conversation = world.new_conversation(messages=2)
    at = _last(conversation)
    leaving = _fork(conversation)
    world.put(
        BranchEntry(
            conversation_id=conversation.conversation_id,
            parent_id=conversation.conversation_id,
            left_at=leaving.left_at,
            branch_id=new_id("conv"),
            from_message_id=at,
        )
        for _ in range(PAGE + 1)
    )
    return partial(branches.list_branches, _owner(conversation), conversation.conversation_id, PAGE, at=at)


@scenario("AP-45")
def choose_branch(world: World) -> Act:
    """A branch of a root."""
    conversation = world.new_conversation(messages=2)
    branch = _branch(conversation)
    return partial(branches.choose_branch, _owner(conversation), conversation.conversation_id, branch.conversation_id)


@scenario("AP-32")
def open_branch(world: World) -> Act:
    """A branch with 2 messages of its own, of a root."""
    branch = _branch(world.long_conversation())
    return partial(conversations.open_conversation, _owner(branch), branch.conversation_id, WINDOW)


@scenario("AP-40")
def append_to_branch(world: World) -> Act:
    """A message in a branch whose messages expire."""
    branch = _expiring(world)
    return partial(messages.append_messages, _owner(branch), branch.conversation_id, [Draft("user", QUESTION)])


@scenario("AP-41")
def list_messages_of_branch(world: World) -> Act:
    """A full page, newest first, in a branch of a root."""
    branch = _branch(world.long_conversation())
    return partial(messages.list_messages, _owner(branch), branch.conversation_id, PAGE, descending=True)


@scenario("AP-42")
def get_message_through_branch(world: World) -> Act:
    """A message that a branch continues."""
    return partial(messages.get_message, *_continued(world))


@scenario("AP-43")
def delete_message_through_branch(world: World) -> Act:
    """A message that a branch continues."""
    return partial(messages.delete_message, *_continued(world))


def _continued(world: World) -> tuple[UserId, str, str]:
    """Return the owner and the id of a branch, and the id of the message that it continues."""
    branch = _branch(world.new_conversation(messages=2))
    return _owner(branch), branch.conversation_id, str(branch.from_message_id)


@scenario("AP-44")
def read_reasoning_along_a_path(world: World) -> Act:
    """The reasoning of two answers in different conversations of a path."""
    branch = _branch(_deep(world), Draft("agent", ANSWER, reasoning=REASONING))
    page = messages.list_messages(_owner(branch), branch.conversation_id, PAGE, descending=True)
    return partial(reasoning.read_reasoning, page.items[:2])


@scenario("AP-50")
def begin_turn_in_existing_branch(world: World) -> Act:
    """A turn in a branch whose messages expire, more than a minute after the last activity."""
    branch = _expiring(world)
    return lambda: turn_beginnings.begin_turn(
        _owner(branch),
        branch.conversation_id,
        lambda _: [Draft("user", QUESTION)],
        window=WINDOW - 1,
        lease=LEASE,
        retention_days=_DAYS,
    )


@scenario("AP-52")
def end_turn_in_branch(world: World) -> Act:
    """An answer in a branch whose messages expire."""
    begun = turn_beginnings.begin_turn_in_branch(
        _fork(world.new_conversation(messages=2)),
        lambda _: [Draft("user", QUESTION)],
        window=WINDOW,
        lease=LEASE,
        retention_days=_DAYS,
    )
    world.clock.advance(seconds=2)
    return lambda: turns.end_turn(begun.lease, "completed", [Draft("agent", ANSWER)], {})


@scenario("AP-73")
def erase_branch(world: World) -> Act:
    """A branch with a branch of its own, which is the active one."""
    branch = _branch(world.new_conversation(messages=2))
    _branch(branch)
    return _erasing(branch)


@scenario("AP-73")
def erase_root(world: World) -> Act:
    """A conversation with two branches."""
    conversation = world.new_conversation(messages=2)
    _branch(_branch(conversation))
    return _erasing(conversation)


def _erasing(conversation: Conversation) -> Act:
    owner = _owner(conversation)
    job = delete_conversation(owner, conversation.conversation_id, asked_by=owner, hold=HOLD)
    return partial(erase, job, HOLD)


def _expiring(world: World) -> Conversation:
    """Return a branch whose messages expire; its last one is minutes old."""
    agent = world.new_agent()
    owner = acting_for(agent.user_id)
    conversation = conversations.create_conversation(owner, agent.agent_id, retention_days=_DAYS)
    messages.append_messages(owner, conversation.conversation_id, [Draft("user", QUESTION)])
    branch = _branch(conversation)
    world.clock.advance(minutes=2)
    return branch
