"""Shared agents: usable only by the users they are shared with, only as long as they are shared."""

from functools import partial

import pytest

from models.access_patterns.agents import get_agent, update_agent
from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_agent_conversations,
    list_conversations,
)
from models.access_patterns.sharing import (
    get_shared_agent,
    leads_to,
    list_shared_agents,
    publish_agent,
    share_agent,
    unshare_agent,
)
from models.agent import MAX_SHARED_WITH, Agent
from models.table.errors import ItemNotFound, TooManyShares
from models.user import User
from tests.contract_watch import Watch
from tests.factories import make_agent, make_user
from tests.integration.models.paging import read_to_the_end
from tests.raw import change, hide
from tests.together import at_once
from tests.wire import lost_answers

pytestmark = pytest.mark.usefixtures("table")


def shared(owner: User, *grantees: User) -> Agent:
    """Return a new agent of `owner`, shared with these users."""
    agent = make_agent(owner, description="Knows the town.")
    for grantee in grantees:
        agent = share_agent(owner.user_id, agent.agent_id, grantee.user_id)
    return agent


def names(user: User, limit: int = 100) -> list[str]:
    """Return the ids of the agents in a user's list, without those that other tests have published."""
    return [agent.agent_id for agent in list_shared_agents(user.user_id, limit).items if not agent.published]


def test_an_agent_is_private_until_it_is_shared() -> None:
    owner, other = make_user(), make_user()
    agent = make_agent(owner)
    assert not agent.usable_by(other.user_id)
    assert agent.usable_by(owner.user_id)
    assert names(other) == []
    with pytest.raises(ItemNotFound, match="agent"):
        get_shared_agent(other.user_id, agent.agent_id)
    with pytest.raises(ItemNotFound, match="agent"):
        get_shared_agent(other.user_id, agent.agent_id, owner.user_id)
    with pytest.raises(ItemNotFound, match="agent"):
        create_conversation(other.user_id, agent.agent_id, owner_id=owner.user_id)


def test_only_users_it_is_shared_with_can_use_it() -> None:
    owner, friend, stranger = make_user(), make_user(), make_user()
    agent = shared(owner, friend)
    assert get_shared_agent(friend.user_id, agent.agent_id).agent_id == agent.agent_id
    assert names(friend) == [agent.agent_id]
    assert names(stranger) == []
    with pytest.raises(ItemNotFound):
        get_shared_agent(stranger.user_id, agent.agent_id)
    conversation = create_conversation(friend.user_id, agent.agent_id, owner_id=owner.user_id)
    found = get_conversation(friend.user_id, conversation.conversation_id)
    assert (found.user_id, found.agent_owner_id) == (friend.user_id, owner.user_id)


def test_its_owner_cannot_see_other_users_conversations() -> None:
    owner, friend = make_user(), make_user()
    agent = shared(owner, friend)
    conversation = create_conversation(friend.user_id, agent.agent_id, owner_id=owner.user_id)
    assert list_conversations(owner.user_id, 10).items == ()
    assert list_agent_conversations(owner.user_id, agent.agent_id, 10).items == ()
    with pytest.raises(ItemNotFound):
        get_conversation(owner.user_id, conversation.conversation_id)
    (listed,) = list_agent_conversations(friend.user_id, agent.agent_id, 10).items
    assert listed.conversation_id == conversation.conversation_id


def test_an_unshared_agent_can_no_longer_be_used() -> None:
    owner, friend, other = make_user(), make_user(), make_user()
    agent = shared(owner, friend, other)
    unshare_agent(owner.user_id, agent.agent_id, friend.user_id)
    assert names(friend) == []
    assert names(other) == [agent.agent_id]
    for known in (None, owner.user_id):
        with pytest.raises(ItemNotFound):
            get_shared_agent(friend.user_id, agent.agent_id, known)
    with pytest.raises(ItemNotFound):
        create_conversation(friend.user_id, agent.agent_id, owner_id=owner.user_id)
    unshare_agent(owner.user_id, agent.agent_id, other.user_id)
    assert get_agent(owner.user_id, agent.agent_id).shared_with is None


def test_everyone_can_use_a_published_agent_until_it_is_withdrawn() -> None:
    owner, anybody = make_user(), make_user()
    agent = make_agent(owner)
    for _ in range(2):
        assert publish_agent(owner.user_id, agent.agent_id, published=True).published
    assert get_shared_agent(anybody.user_id, agent.agent_id).agent_id == agent.agent_id
    assert agent.agent_id in [each.agent_id for each in read_all(anybody)]
    create_conversation(anybody.user_id, agent.agent_id, owner_id=owner.user_id)
    for _ in range(2):
        assert not publish_agent(owner.user_id, agent.agent_id, published=False).published
    with pytest.raises(ItemNotFound):
        get_shared_agent(anybody.user_id, agent.agent_id)
    assert agent.agent_id not in [each.agent_id for each in read_all(anybody)]


def read_all(user: User) -> list[Agent]:
    """Return all agents in a user's list."""
    return read_to_the_end(lambda limit, last: list_shared_agents(user.user_id, limit, last and last.agent_id), 3)


def test_a_withdrawn_agent_stays_shared_with_individual_users() -> None:
    owner, friend = make_user(), make_user()
    agent = shared(owner, friend)
    publish_agent(owner.user_id, agent.agent_id, published=True)
    assert [each.agent_id for each in read_all(friend)].count(agent.agent_id) == 1, "shown once, though both lead to it"
    publish_agent(owner.user_id, agent.agent_id, published=False)
    assert names(friend) == [agent.agent_id]


def test_the_list_has_them_all_in_order_page_by_page() -> None:
    owner, friend = make_user(), make_user()
    made = [shared(owner, friend).agent_id for _ in range(4)]
    published = make_agent(owner).agent_id
    publish_agent(owner.user_id, published, published=True)
    made += [published, *(shared(owner, friend).agent_id for _ in range(4))]
    found = [agent.agent_id for agent in read_all(friend) if agent.user_id == owner.user_id]
    assert found == made
    publish_agent(owner.user_id, published, published=False)


def test_a_page_is_full_even_if_shares_lead_to_deleted_agents(contract: Watch) -> None:
    owner, friend = make_user(), make_user()
    agents = [shared(owner, friend) for _ in range(6)]
    for agent in agents[:4]:
        hide(agent, "deleting")
    with contract.expecting():  # more requests than a page takes if nothing was deleted
        page = list_shared_agents(friend.user_id, 2)
    assert [agent.agent_id for agent in page.items] == [agent.agent_id for agent in agents[4:]]


def test_a_new_name_is_visible_immediately_to_all() -> None:
    owner, friend = make_user(), make_user()
    agent = shared(owner, friend)
    update_agent(owner.user_id, agent.agent_id, {"name": "Bea"})
    assert list_shared_agents(friend.user_id, 1).items[0].name == "Bea"


def test_sharing_is_idempotent() -> None:
    owner, friend = make_user(), make_user()
    agent = shared(owner, friend, friend)
    assert agent.shared_with == {friend.user_id}
    assert names(friend) == [agent.agent_id]


@pytest.mark.parametrize("published", [True, False])
def test_a_share_whose_acknowledgement_was_lost_is_created_once(published: bool) -> None:
    owner, friend = make_user(), make_user()
    agent = make_agent(owner)
    with lost_answers("TransactWriteItems") as lost:
        if published:
            publish_agent(owner.user_id, agent.agent_id, published=True)
        else:
            share_agent(owner.user_id, agent.agent_id, friend.user_id)
    assert len(lost) == 1
    assert get_shared_agent(friend.user_id, agent.agent_id).agent_id == agent.agent_id
    publish_agent(owner.user_id, agent.agent_id, published=False)


def test_concurrent_shares_all_count() -> None:
    owner = make_user()
    agent = make_agent(owner)
    friends = [make_user() for _ in range(6)]
    at_once([partial(share_agent, owner.user_id, agent.agent_id, friend.user_id) for friend in friends])
    assert get_agent(owner.user_id, agent.agent_id).shared_with == {friend.user_id for friend in friends}
    assert all(names(friend) == [agent.agent_id] for friend in friends)


def test_the_number_of_individual_shares_is_limited() -> None:
    owner, friend = make_user(), make_user()
    agent = make_agent(owner)
    change(agent, "shared_with", {"SS": [f"usr_{number:03}" for number in range(MAX_SHARED_WITH - 1)]})
    share_agent(owner.user_id, agent.agent_id, friend.user_id)
    with pytest.raises(TooManyShares):
        share_agent(owner.user_id, agent.agent_id, make_user().user_id)
    assert share_agent(owner.user_id, agent.agent_id, friend.user_id).usable_by(friend.user_id)


def test_it_can_only_be_shared_with_existing_users() -> None:
    owner = make_user()
    agent = make_agent(owner)
    with pytest.raises(ItemNotFound, match="user"):
        share_agent(owner.user_id, agent.agent_id, "usr_none")
    assert get_agent(owner.user_id, agent.agent_id).shared_with is None


def test_leads_to_returns_every_item_that_leads_to_an_agent() -> None:
    owner, friend, other = make_user(), make_user(), make_user()
    agent = shared(owner, friend, other)
    agent = publish_agent(owner.user_id, agent.agent_id, published=True)
    assert set(leads_to(agent)) == {
        (f"USER#{friend.user_id}", f"GRANT#{agent.agent_id}"),
        (f"USER#{other.user_id}", f"GRANT#{agent.agent_id}"),
        ("PUBLISHED", f"AGENT#{agent.agent_id}"),
    }
    publish_agent(owner.user_id, agent.agent_id, published=False)
