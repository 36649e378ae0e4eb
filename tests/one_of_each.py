"""A user with an item of every entity, for tests of everything that belongs to a user."""

from models.access_patterns import erasure
from models.access_patterns.agents import create_agent
from models.access_patterns.allowances import get_allowance
from models.access_patterns.api_keys import create_api_key
from models.access_patterns.branches import make_branch
from models.access_patterns.conversations import create_conversation
from models.access_patterns.forks import find_fork
from models.access_patterns.idempotency import Once
from models.access_patterns.identities import create_identity
from models.access_patterns.messages import Draft
from models.access_patterns.rates import count_request
from models.access_patterns.share_links import create_share_link
from models.access_patterns.sharing import publish_agent, share_agent
from models.access_patterns.states import Owner, put_state
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_events import append_events
from models.access_patterns.turns import end_turn
from models.access_patterns.users import get_user
from models.agent import Agent
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for
from models.turn import EventId
from models.user import User
from tests.erasing import LEASE, delete_conversation, hold
from tests.factories import new_email


def make_one_of_each(others: Agent) -> User:
    """Return a new user; `others` is another user's agent, shared with them."""
    identity = create_identity("https://auth.example.com/", new_id("subject"), email=new_email())
    owner = acting_for(str(identity.user_id))
    key = create_api_key(owner, key_hash=new_id("hash"), hint="abcd", role="user")
    once = Once(owner, new_id("fingerprint"), new_id("body"))
    agent = create_agent(owner, name="Ada", provider="echo", model="echo-1", once=once)
    publish_agent(owner, agent.agent_id, published=True)
    share_agent(acting_for(others.user_id), others.agent_id, owner)
    put_state(Owner(owner), "session", "theme", "dark")
    kept, deleted, going = (create_conversation(owner, agent.agent_id).conversation_id for _ in range(3))
    put_state(Owner(owner, kept), "session", "trip", 1)
    _answer(owner, kept, "Hello")
    # An object that no message names.
    _answer(owner, kept)
    _answer(owner, deleted, "Goodbye")
    delete_conversation(owner, deleted)
    make_branch(find_fork(owner, kept, None), [Draft("user", "Hi")])
    create_share_link(owner, kept, token_hash=new_id("hash"))
    erasure.delete_conversation(owner, going, asked_by=owner, hold=hold())
    get_allowance(owner)
    for who in ("user", key.key_id):
        count_request(owner, who, 100)
    return get_user(owner)


def _answer(owner: UserId, conversation_id: str, *contents: str) -> None:
    """Run a streamed turn; without a message to answer, it fails, and only its entry leads to it."""

    def compose(_earlier: object) -> list[Draft]:
        return [Draft("user", content) for content in contents]

    lease = begin_turn(owner, conversation_id, compose, window=20, lease=LEASE, announced=True).lease
    append_events(lease.turn_id, EventId(2), ["You ", "said"])
    if contents:
        end_turn(lease, "completed", [Draft("agent", "You said", reasoning="They want an echo.")], {"last_event": 4})
    else:
        end_turn(lease, "failed", (), {"last_event": 4})
