"""Share links: created, listed, revoked, and read by anyone who has one."""

from functools import partial
from hashlib import sha256

from models.access_patterns import share_links
from models.access_patterns.branches import make_branch
from models.access_patterns.erasure import delete_conversation
from models.access_patterns.forks import find_fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft, list_messages
from models.access_patterns.removal.erase import erase
from models.conversation import Conversation
from models.measure.scenario import Act, scenario
from models.measure.scenarios.removal import HOLD
from models.measure.world import ANSWER, PAGE, QUESTION, World
from models.share_link import ShareLinkEntry
from models.table import clock
from models.table.ids import new_id
from models.table.item import expiry
from models.table.tenancy import UserId, acting_for


def _owner(conversation: Conversation) -> UserId:
    return acting_for(conversation.user_id)


def _last(conversation: Conversation) -> str:
    """Return the id of a conversation's newest message."""
    page = list_messages(_owner(conversation), conversation.conversation_id, 1, descending=True)
    return str(page.items[0].message_id)


def _branch(conversation: Conversation) -> Conversation:
    fork = find_fork(_owner(conversation), conversation.conversation_id, _last(conversation))
    return make_branch(fork, [Draft("user", QUESTION), Draft("agent", ANSWER)])[0]


def _hash(world: World) -> str:
    return sha256(world.email().encode()).hexdigest()


def _link(world: World, conversation: Conversation) -> ShareLinkEntry:
    owner = _owner(conversation)
    return share_links.create_share_link(owner, conversation.conversation_id, token_hash=_hash(world))


@scenario("AP-86")
def create_share_link(world: World) -> Act:
    """Up to one message."""
    conversation = world.long_conversation()
    last = _last(conversation)
    return lambda: share_links.create_share_link(
        _owner(conversation), conversation.conversation_id, token_hash=_hash(world), up_to_message_id=last
    )


@scenario("AP-86")
def create_share_link_once(world: World) -> Act:
    """Up to the newest message of a branch, with an idempotency key."""
    branch = _branch(world.new_conversation(messages=2))
    once = Once(_owner(branch), new_id("fingerprint"), "0" * 64)
    return lambda: share_links.create_share_link(
        _owner(branch), branch.conversation_id, token_hash=_hash(world), once=once
    )


@scenario("AP-87")
def list_share_links(world: World) -> Act:
    """A full page."""
    conversation = world.new_conversation(messages=2)
    moment = clock.now()
    world.put(
        ShareLinkEntry(
            conversation_id=conversation.conversation_id,
            link_id=new_id("lnk"),
            token_hash=_hash(world),
            until=moment,
            created_at=moment,
            expires_at=expiry(moment.replace(year=moment.year + 1)),
        )
        for _ in range(PAGE + 1)
    )
    return partial(share_links.list_share_links, _owner(conversation), conversation.conversation_id, PAGE)


@scenario("AP-88")
def revoke_share_link(world: World) -> Act:
    """A link."""
    conversation = world.new_conversation(messages=2)
    entry = _link(world, conversation)
    return partial(
        share_links.revoke_share_link, _owner(conversation), conversation.conversation_id, str(entry.link_id)
    )


@scenario("AP-89")
def read_shared(world: World) -> Act:
    """A full page of a conversation."""
    return partial(share_links.read_shared, str(_link(world, world.long_conversation()).token_hash), PAGE)


@scenario("AP-89")
def read_shared_branch(world: World) -> Act:
    """A page of a branch with 2 messages of its own, of a branch of a root."""
    branch = _branch(_branch(world.new_conversation(messages=2)))
    return partial(share_links.read_shared, str(_link(world, branch).token_hash), PAGE)


@scenario("AP-73")
def erase_a_shared_conversation(world: World) -> Act:
    """A conversation with a share link."""
    conversation = world.new_conversation(messages=2)
    _link(world, conversation)
    owner = _owner(conversation)
    job = delete_conversation(owner, conversation.conversation_id, asked_by=owner, hold=HOLD)
    return partial(erase, job, HOLD)
