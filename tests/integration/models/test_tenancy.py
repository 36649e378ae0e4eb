"""In every access pattern, another user's items look like missing ones, and are not changed."""

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from functools import cache

import pytest

from models.access_patterns import patterns
from models.access_patterns.agents import get_agent, update_agent
from models.access_patterns.api_keys import create_api_key, find_api_key_and_agent, note_api_key_use, revoke_api_key
from models.access_patterns.branches import choose_branch, list_branches, make_branch
from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_agent_conversations,
    open_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.erasure import get_erasure
from models.access_patterns.forks import find_fork
from models.access_patterns.identities import create_identity, find_identity_and_agent
from models.access_patterns.messages import Draft, append_messages, delete_message, get_message, list_messages
from models.access_patterns.news import glance, read_news
from models.access_patterns.share_links import create_share_link, list_share_links, revoke_share_link
from models.access_patterns.sharing import get_shared_agent, publish_agent, share_agent, unshare_agent
from models.access_patterns.states import delete_state, get_state, list_states, put_state
from models.access_patterns.turn_beginnings import begin_turn
from models.access_patterns.turn_states import get_turn
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.ids import new_id
from models.table.item import Item
from models.table.reading import Page
from tests.erasing import delete_agent, delete_conversation
from tests.factories import make_user
from tests.integration.models.everything import LEASE, Ids, make_everything
from tests.raw import whole_table

pytestmark = pytest.mark.usefixtures("table")

Call = Callable[[Ids], object]


@cache
def known_identity() -> str:
    """Return the hash of an unrelated identity."""
    return str(create_identity("https://auth.example.com", new_id("sub")).identity_hash)


# Each pattern that takes an item's id in addition to the caller's, once for each way in which it accesses the item.
CALLS: dict[str, list[Call]] = {
    "AP-11": [lambda ids: get_agent(ids.user_id, ids.agent_id)],
    "AP-13": [lambda ids: update_agent(ids.user_id, ids.agent_id, {"name": "Mine"})],
    "AP-20": [lambda ids: create_api_key(ids.user_id, key_hash="h", hint="h", role="user", agent_id=ids.agent_id)],
    "AP-15": [
        lambda ids: share_agent(ids.user_id, ids.agent_id, ids.grantee_id),
    ],
    "AP-16": [lambda ids: unshare_agent(ids.user_id, ids.agent_id, ids.grantee_id)],
    "AP-17": [
        lambda ids: publish_agent(ids.user_id, ids.agent_id, published=True),
        lambda ids: publish_agent(ids.user_id, ids.agent_id, published=False),
    ],
    "AP-18": [lambda ids: get_shared_agent(ids.user_id, ids.agent_id)],
    "AP-23": [lambda ids: revoke_api_key(ids.user_id, ids.key_id)],
    "AP-24": [lambda ids: find_api_key_and_agent(ids.key_hash, ids.user_id, ids.agent_id)[1]],
    "AP-28": [lambda ids: find_identity_and_agent(known_identity(), ids.user_id, ids.agent_id)[1]],
    "AP-27": [lambda ids: note_api_key_use(ids.user_id, ids.key_id, clock.now(), interval=timedelta(0)) or None],
    "AP-30": [lambda ids: create_conversation(ids.user_id, ids.agent_id)],
    "AP-31": [lambda ids: get_conversation(ids.user_id, ids.conversation_id)],
    "AP-32": [
        lambda ids: open_conversation(ids.user_id, ids.conversation_id, 0),
        lambda ids: open_conversation(ids.user_id, ids.conversation_id, 20),
    ],
    "AP-34": [lambda ids: list_agent_conversations(ids.user_id, ids.agent_id, 10)],
    "AP-35": [
        lambda ids: update_conversation(ids.user_id, ids.conversation_id, {"title": "Mine"}),
        lambda ids: update_conversation(ids.user_id, ids.conversation_id, {}),
    ],
    "AP-36": [
        lambda ids: set_conversation_status(ids.user_id, ids.conversation_id, "archived"),
        lambda ids: set_conversation_status(ids.user_id, ids.conversation_id, "active"),
    ],
    "AP-39": [
        lambda ids: list_branches(ids.user_id, ids.conversation_id, 10),
        lambda ids: list_branches(ids.user_id, ids.conversation_id, 10, at=ids.message_id),
    ],
    "AP-45": [
        lambda ids: choose_branch(ids.user_id, ids.conversation_id, None),
    ],
    "AP-46": [
        lambda ids: find_fork(ids.user_id, ids.conversation_id, ids.message_id),
        lambda ids: find_fork(ids.user_id, ids.conversation_id, None),
    ],
    "AP-40": [
        lambda ids: append_messages(ids.user_id, ids.conversation_id, [Draft("user", "Hello")]),
        lambda ids: append_messages(ids.user_id, ids.conversation_id, []),
    ],
    "AP-41": [lambda ids: list_messages(ids.user_id, ids.conversation_id, 10)],
    "AP-42": [lambda ids: get_message(ids.user_id, ids.conversation_id, ids.message_id)],
    "AP-43": [lambda ids: delete_message(ids.user_id, ids.conversation_id, ids.message_id)],
    "AP-50": [
        lambda ids: begin_turn(ids.user_id, ids.conversation_id, lambda _: [], window=20, lease=LEASE),
    ],
    "AP-53": [lambda ids: get_turn(ids.user_id, ids.turn_id)],
    "AP-65": [lambda ids: glance(ids.user_id, ids.conversation_id)],
    "AP-66": [lambda ids: read_news(ids.user_id, ids.conversation_id, None)],
    "AP-60": [lambda ids: get_state(ids.owner, "session", "key")],
    "AP-61": [
        lambda ids: put_state(ids.owner, "session", "key", 2),
        lambda ids: put_state(ids.owner, "session", "new", 2),
        lambda ids: put_state(ids.owner, "session", "key", 2, if_version=2),
    ],
    "AP-62": [
        lambda ids: delete_state(ids.owner, "session", "key"),
        lambda ids: put_state(ids.owner, "session", "key", 1),
    ],
    "AP-63": [lambda ids: list_states(ids.owner, 10)],
    "AP-86": [
        lambda ids: create_share_link(ids.user_id, ids.conversation_id, token_hash=new_id("hash")),
        lambda ids: create_share_link(
            ids.user_id, ids.conversation_id, token_hash=new_id("hash"), up_to_message_id=ids.message_id
        ),
    ],
    "AP-87": [lambda ids: list_share_links(ids.user_id, ids.conversation_id, 10)],
    "AP-88": [lambda ids: revoke_share_link(ids.user_id, ids.conversation_id, ids.link_id)],
    "AP-74": [lambda ids: get_erasure(ids.user_id, ids.erasure_id)],
    "AP-70": [lambda ids: delete_conversation(ids.user_id, ids.conversation_id)],
    "AP-71": [lambda ids: delete_agent(ids.user_id, ids.agent_id)],
}
# Patterns that also refuse the owner; the error must not tell another user more.
REFUSED: list[Call] = [
    lambda ids: choose_branch(ids.user_id, ids.conversation_id, ids.conversation_id),
    lambda ids: choose_branch(ids.user_id, ids.conversation_id, new_id("conv")),
    lambda ids: find_fork(ids.user_id, ids.conversation_id, "none"),
    lambda ids: put_state(ids.owner, "session", "key", 2, if_version=99),
    lambda ids: delete_state(ids.owner, "session", "key", if_version=99),
    lambda ids: delete_state(ids.owner, "session", "none"),
    lambda ids: get_state(ids.owner, "session", "none"),
    lambda ids: get_message(ids.user_id, ids.conversation_id, new_id("msg")),
]


def takes_an_id(function: Callable[..., object]) -> bool:
    """Whether a pattern acts for a caller and also takes an item's id."""
    names = list(inspect.signature(function).parameters)
    whose = {"user_id", "owner_id"}
    return names[0] == "owner" or (
        bool(whose.intersection(names)) and any(name.endswith("_id") and name not in whose for name in names)
    )


def outcome(call: Call, ids: Ids) -> object:
    """Return the outcome of a call as the caller sees it."""
    try:
        result = call(ids)
    except ItemNotFound as error:
        return type(error), str(error), error.what
    if isinstance(result, Page):
        return result.items, result.more
    assert result is None, f"somebody else's {result!r} was shown"
    return None


def test_every_pattern_that_takes_an_id_is_here() -> None:
    assert {pattern.id for pattern in patterns() if takes_an_id(pattern.function)} == CALLS.keys()


EVERY_CALL = [
    pytest.param(call, id=f"{name}-{number}")
    for name, calls in {**CALLS, "refused": REFUSED}.items()
    for number, call in enumerate(calls)
]


def make_shared() -> Ids:
    """Return one of everything, with an agent that is shared, but not with the caller."""
    ids, grantee = make_everything(), make_user()
    share_agent(ids.user_id, ids.agent_id, grantee.user_id)
    make_branch(find_fork(ids.user_id, ids.conversation_id, ids.message_id))
    link = create_share_link(ids.user_id, ids.conversation_id, token_hash=new_id("hash"))
    return replace(ids, grantee_id=grantee.user_id, link_id=link.link_id)


@pytest.fixture(scope="module")
def theirs(table: object) -> Ids:
    return make_shared()


@pytest.mark.parametrize("call", EVERY_CALL)
def test_another_users_item_looks_missing(call: Call, theirs: Ids) -> None:
    me = make_user()
    foreign = replace(theirs, user_id=me.user_id)
    named = {each.name for each in fields(Ids)} & {
        "agent_id",
        "conversation_id",
        "message_id",
        "turn_id",
        "key_id",
        "link_id",
    }
    missing = replace(foreign, **{name: new_id(getattr(theirs, name).rpartition("_")[0]) for name in named})
    known_identity()
    before = whole_table()
    assert outcome(call, foreign) == outcome(call, missing)
    assert whole_table() == before


@pytest.mark.parametrize("name", CALLS)
def test_its_owner_has_access(name: str, theirs: Ids) -> None:
    ids = (
        make_shared()
        if name in ("AP-16", "AP-17", "AP-18", "AP-23", "AP-43", "AP-62", "AP-70", "AP-71", "AP-88")
        else theirs
    )
    if name == "AP-18":  # its owner finds it there like everybody else
        publish_agent(ids.user_id, ids.agent_id, published=True)
    for call in CALLS[name]:
        result = call(ids)
        assert not isinstance(result, Page) or result.items
        assert name not in ("AP-24", "AP-28") or isinstance(result, Item)
