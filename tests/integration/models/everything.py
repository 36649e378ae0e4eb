"""One user with one of everything, and their ids: the arguments for calls of most access patterns."""

from dataclasses import dataclass
from datetime import timedelta

from models.access_patterns.allowances import get_allowance
from models.access_patterns.api_keys import create_api_key
from models.access_patterns.conversations import create_conversation
from models.access_patterns.messages import Draft
from models.access_patterns.states import Owner, put_state
from models.access_patterns.turn_beginnings import Begun, begin_turn
from models.access_patterns.turns import end_turn
from models.allowance import Limits, Quota
from models.conversation import Conversation
from models.table.ids import new_id
from models.user import User
from tests.erasing import delete_conversation
from tests.factories import make_agent, make_conversation, make_user

LEASE = timedelta(seconds=30)


@dataclass(frozen=True)
class Ids:
    """The ids of the items."""

    user_id: str
    email: str
    agent_id: str
    conversation_id: str
    message_id: str
    turn_id: str
    key_id: str
    key_hash: str
    erasure_id: str
    grantee_id: str = ""
    link_id: str = ""

    @property
    def owner(self) -> Owner:
        """The owner of the conversation's state."""
        return Owner(self.user_id, self.conversation_id)


def make_everything() -> Ids:
    """Make a user with an agent, a key, state, and a conversation with a turn that has ended."""
    user: User = make_user()
    agent = make_agent(user)
    conversation = make_conversation(agent)
    begun = begin(conversation, "Hello")
    turn, _ = end_turn(begun.lease, "completed", [Draft("agent", "Hi!")], {})
    key_hash = new_id("hash")
    key = create_api_key(user.user_id, key_hash=key_hash, hint="abcd", role="user")
    put_state(Owner(user.user_id), "session", "key", 1)
    put_state(Owner(user.user_id, conversation.conversation_id), "session", "key", 1)
    return Ids(
        user.user_id,
        user.email,
        agent.agent_id,
        conversation.conversation_id,
        begun.messages[0].message_id,
        turn.turn_id,
        key.key_id,
        key_hash,
        delete_conversation(user.user_id, make_conversation(agent).conversation_id).erasure_id,
    )


def begin(conversation: Conversation, *contents: str, lease: timedelta = LEASE) -> Begun:
    """Begin a turn with these messages of the user's."""
    return begin_turn(
        conversation.user_id,
        conversation.conversation_id,
        lambda _earlier: [Draft("user", content) for content in contents],
        window=20,
        lease=lease,
    )


def begin_limited(ids: Ids) -> Begun:
    """Begin a turn that claims part of its user's allowance, in a new conversation."""
    conversation = create_conversation(ids.user_id, ids.agent_id)
    return begin_turn(
        ids.user_id,
        conversation.conversation_id,
        lambda _earlier: [Draft("user", "Hello")],
        window=20,
        lease=LEASE,
        quota=Quota(get_allowance(ids.user_id), Limits(tokens_per_day=1000), lambda *_: 100),
    )
