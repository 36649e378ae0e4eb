"""Each access pattern sends as many requests as it declares: in the plain case, and at most.

Every test checks the requests themselves against the declarations (`tests/contract_watch.py`).
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest

from models.access_patterns import AccessPattern, erasure, patterns
from models.access_patterns.agents import create_agent, find_agent_owner, get_agent, list_agents, update_agent
from models.access_patterns.allowances import change_limits, get_allowance, release_ended_turns
from models.access_patterns.api_keys import (
    create_api_key,
    find_api_key,
    find_api_key_and_agent,
    list_api_keys,
    note_api_key_use,
    revoke_api_key,
)
from models.access_patterns.audit import list_events, record_event
from models.access_patterns.branches import choose_branch, list_branches, make_branch
from models.access_patterns.completions import begin_completion, end_completion, new_completion
from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_agent_conversations,
    list_conversations,
    open_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.copies import drop_copies, shorten
from models.access_patterns.credentials import get_users, replace_details
from models.access_patterns.entries import list_conversation_entries, list_turn_counts, list_turns
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.idempotency import find_repeated
from models.access_patterns.identities import (
    create_identity,
    find_identity,
    find_identity_and_agent,
    readmit_identity,
)
from models.access_patterns.large_texts import named_objects
from models.access_patterns.messages import Draft, append_messages, delete_message, get_message, list_messages
from models.access_patterns.news import glance, read_news, silent_turns
from models.access_patterns.rates import count_request
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.removal.erase import erase
from models.access_patterns.roles import change_role
from models.access_patterns.share_links import create_share_link, list_share_links, read_shared, revoke_share_link
from models.access_patterns.sharing import (
    get_shared_agent,
    list_shared_agents,
    publish_agent,
    share_agent,
    unshare_agent,
)
from models.access_patterns.states import delete_state, get_state, list_states, put_state
from models.access_patterns.turn_beginnings import begin_turn, begin_turn_in_branch
from models.access_patterns.turn_events import append_events, streamed, turn_messages
from models.access_patterns.turn_states import cancelled_turns, get_turn, reconcile_turn, request_cancel
from models.access_patterns.turns import end_turn, renew_lease
from models.access_patterns.usage import usage
from models.access_patterns.users import (
    change_credentials,
    change_email,
    create_user,
    get_user,
    get_user_by_email,
    list_users,
    update_user,
)
from models.allowance import Limits, Quota
from models.conversation import Conversation
from models.identity import identity_hash
from models.message import Message
from models.share_link import ShareLinkEntry
from models.table import clock
from models.table.blobs import new_key
from models.table.ids import new_id
from models.table.tenancy import UserId, acting_for
from models.turn import EventId
from tests.erasing import ask_for_user, dead_job, delete_conversation, delete_user, hold
from tests.factories import make_user, new_email
from tests.integration.models.everything import LEASE, Ids, begin, begin_limited, make_everything
from tests.wire import recorded

pytestmark = pytest.mark.usefixtures("table")

Run = Callable[[], object]


def now(call: Callable[[Ids], object]) -> Callable[[Ids], Run]:
    """Nothing to prepare."""
    return lambda ids: lambda: call(ids)


def with_lease(call: Callable[..., object]) -> Callable[[Ids], Run]:
    """Begin a turn first."""

    def prepare(ids: Ids) -> Run:
        begun = begin(Conversation.from_key(conversation_id=ids.conversation_id, user_id=ids.user_id), "Hello")
        return lambda: call(begun.lease)

    return prepare


def with_somebody(call: Callable[[Ids, UserId], object]) -> Callable[[Ids], Run]:
    """Create another user first."""

    def prepare(ids: Ids) -> Run:
        other = acting_for(make_user().user_id)
        return lambda: call(ids, other)

    return prepare


def with_share(call: Callable[[Ids, UserId], object]) -> Callable[[Ids], Run]:
    """Share the agent with a user first."""

    def prepare(ids: Ids) -> Run:
        grantee = acting_for(make_user().user_id)
        share_agent(ids.user_id, ids.agent_id, grantee)
        return lambda: call(ids, grantee)

    return prepare


def with_fork(call: Callable[[Fork], object]) -> Callable[[Ids], Run]:
    """Find the place of a branch first."""

    def prepare(ids: Ids) -> Run:
        fork = find_fork(ids.user_id, ids.conversation_id, ids.message_id)
        return lambda: call(fork)

    return prepare


def with_link(call: Callable[[Ids, ShareLinkEntry], object]) -> Callable[[Ids], Run]:
    """Share the conversation by link first."""

    def prepare(ids: Ids) -> Run:
        entry = create_share_link(ids.user_id, ids.conversation_id, token_hash=new_id("hash"))
        return lambda: call(ids, entry)

    return prepare


def long_fork(ids: Ids) -> Fork:
    """Return a branch of a branch of a branch …"""
    fork = find_fork(ids.user_id, ids.conversation_id, ids.message_id)
    while not fork.too_long:
        branch, (message,) = make_branch(fork, [Draft("user", "Hello")])
        fork = find_fork(ids.user_id, branch.conversation_id, message.message_id)
    return fork


def with_a_long_path(ids: Ids) -> Run:
    return partial(shorten, long_fork(ids))


def with_copies(ids: Ids) -> Run:
    return partial(drop_copies, shorten(long_fork(ids)))


def a_job(ids: Ids) -> Run:
    job, mine = ask_for_user(ids.user_id)
    return lambda: erase(job, mine)


def orphaned(ids: Ids) -> Run:
    """A streamed turn whose lease has expired."""
    begun = begin_turn(ids.user_id, ids.conversation_id, lambda _: [], window=20, lease=timedelta(0), announced=True)
    return lambda: reconcile_turn(begun.lease.turn)


def with_a_dead_claim(ids: Ids) -> Run:
    """Two running turns, one of them in a deleted conversation."""
    dead, _ = (begin_limited(ids) for _ in range(2))
    delete_conversation(ids.user_id, dead.lease.conversation.conversation_id)
    return lambda: release_ended_turns(ids.user_id)


def limited_completion(ids: Ids) -> Run:
    quota = Quota(get_allowance(ids.user_id), Limits(tokens_per_day=1000), lambda *_: 100)
    return lambda: begin_completion(ids.user_id, quota)


def with_a_silent_turn(ids: Ids) -> Run:
    """A turn that failed without leaving a message."""
    conversation_id = create_conversation(ids.user_id, ids.agent_id).conversation_id
    lease = begin_turn(ids.user_id, conversation_id, lambda _: [], window=20, lease=LEASE, announced=True).lease
    end_turn(lease, "failed", [], {})
    return lambda: silent_turns(lease.conversation, None, range(1, 100))


def messages_of_a_turn(ids: Ids) -> Run:
    turn = get_turn(ids.user_id, ids.turn_id)
    return lambda: turn_messages(turn)


ISSUER = "https://auth.example.com"


def deleting_an_answer(ids: Ids) -> Run:
    draft = Draft("agent", "Hi!", turn_id=ids.turn_id, reasoning="They said hello.")
    (message,) = append_messages(ids.user_id, ids.conversation_id, [draft])
    return lambda: delete_message(ids.user_id, ids.conversation_id, message.message_id)


def reasoning_of_a_message(ids: Ids) -> Run:
    message = Message(conversation_id=ids.conversation_id, ts=clock.now(), reasoned=True)
    return lambda: read_reasoning([message])


def known_identity() -> str:
    return identity_hash(ISSUER, "known")


def closed_identity() -> Run:
    subject = new_email()
    delete_user(str(create_identity(ISSUER, subject).user_id))
    return lambda: readmit_identity(ISSUER, subject)


PLAIN: dict[str, Callable[[Ids], Run]] = {
    "AP-01": now(lambda ids: create_user(new_email())),
    "AP-02": now(lambda ids: get_user(ids.user_id)),
    "AP-03": now(lambda ids: get_user_by_email(ids.email)),
    "AP-04": now(lambda ids: update_user(ids.user_id, {"name": "New", "settings": {"a": 1}})),
    "AP-05": now(lambda ids: list_users(10)),
    "AP-06": now(lambda ids: change_email(ids.user_id, new_email())),
    "AP-10": now(lambda ids: create_agent(ids.user_id, name="Ada", provider="echo", model="echo-1")),
    "AP-11": now(lambda ids: get_agent(ids.user_id, ids.agent_id)),
    "AP-12": now(lambda ids: list_agents(ids.user_id, 10)),
    "AP-13": now(lambda ids: update_agent(ids.user_id, ids.agent_id, {"name": "New"})),
    "AP-14": now(lambda ids: find_agent_owner(ids.agent_id)),
    "AP-15": with_somebody(lambda ids, other: share_agent(ids.user_id, ids.agent_id, other)),
    "AP-16": with_share(lambda ids, grantee: unshare_agent(ids.user_id, ids.agent_id, grantee)),
    "AP-17": now(lambda ids: publish_agent(ids.user_id, ids.agent_id, published=True)),
    "AP-18": with_share(lambda ids, grantee: get_shared_agent(grantee, ids.agent_id)),
    "AP-19": with_share(lambda ids, grantee: list_shared_agents(grantee, 10)),
    "AP-20": now(lambda ids: create_api_key(ids.user_id, key_hash=f"x{ids.key_hash}", hint="abcd", role="user")),
    "AP-21": now(lambda ids: find_api_key(ids.key_hash)),
    "AP-22": now(lambda ids: list_api_keys(ids.user_id, 10)),
    "AP-23": now(lambda ids: revoke_api_key(ids.user_id, ids.key_id)),
    "AP-24": now(lambda ids: find_api_key_and_agent(ids.key_hash, ids.user_id, ids.agent_id)),
    "AP-25": now(lambda ids: find_identity(known_identity())),
    "AP-26": now(lambda ids: create_identity(ISSUER, new_email(), email=new_email())),
    "AP-28": now(lambda ids: find_identity_and_agent(known_identity(), ids.user_id, ids.agent_id)),
    "AP-29": lambda ids: closed_identity(),
    "AP-27": now(lambda ids: note_api_key_use(ids.user_id, ids.key_id, clock.now(), interval=timedelta(hours=1))),
    "AP-30": now(lambda ids: create_conversation(ids.user_id, ids.agent_id)),
    "AP-31": now(lambda ids: get_conversation(ids.user_id, ids.conversation_id)),
    "AP-32": now(lambda ids: open_conversation(ids.user_id, ids.conversation_id, 20)),
    "AP-33": now(lambda ids: list_conversations(ids.user_id, 10)),
    "AP-34": now(lambda ids: list_agent_conversations(ids.user_id, ids.agent_id, 10)),
    "AP-35": now(
        lambda ids: update_conversation(ids.user_id, ids.conversation_id, {"title": "New", "metadata": {"a": 1}})
    ),
    "AP-36": now(lambda ids: set_conversation_status(ids.user_id, ids.conversation_id, "archived")),
    "AP-37": with_fork(make_branch),
    "AP-38": with_fork(lambda fork: begin_turn_in_branch(fork, lambda _: [], window=20, lease=LEASE)),
    "AP-39": now(lambda ids: list_branches(ids.user_id, ids.conversation_id, 10)),
    "AP-45": now(lambda ids: choose_branch(ids.user_id, ids.conversation_id, None)),
    "AP-46": now(lambda ids: find_fork(ids.user_id, ids.conversation_id, ids.message_id)),
    "AP-47": with_a_long_path,
    "AP-48": with_copies,
    "AP-40": now(lambda ids: append_messages(ids.user_id, ids.conversation_id, [Draft("user", "Hello")])),
    "AP-41": now(lambda ids: list_messages(ids.user_id, ids.conversation_id, 10)),
    "AP-42": now(lambda ids: get_message(ids.user_id, ids.conversation_id, ids.message_id)),
    "AP-43": deleting_an_answer,
    "AP-44": reasoning_of_a_message,
    "AP-50": now(lambda ids: begin_turn(ids.user_id, ids.conversation_id, lambda _: [], window=20, lease=LEASE)),
    "AP-51": with_lease(lambda lease: renew_lease(lease, LEASE)),
    "AP-52": with_lease(lambda lease: end_turn(lease, "completed", [Draft("agent", "Hi!")], {})),
    "AP-53": with_lease(lambda lease: get_turn(lease.user_id, lease.turn_id)),
    "AP-54": orphaned,
    "AP-55": with_lease(lambda lease: request_cancel(lease.turn)),
    "AP-56": now(lambda ids: append_events(ids.turn_id, EventId(2), ["Hi!"])),
    "AP-57": now(lambda ids: streamed(ids.turn_id, EventId(0))),
    "AP-58": messages_of_a_turn,
    "AP-59": now(lambda ids: cancelled_turns([ids.conversation_id])),
    "AP-60": now(lambda ids: get_state(ids.owner, "session", "key")),
    "AP-61": now(lambda ids: put_state(ids.owner, "session", "key", 2)),
    "AP-62": now(lambda ids: delete_state(ids.owner, "session", "key")),
    "AP-63": now(lambda ids: list_states(ids.owner, 10)),
    "AP-64": now(lambda ids: find_repeated(ids.user_id, "none")),
    "AP-65": now(lambda ids: glance(ids.user_id, ids.conversation_id)),
    "AP-66": now(lambda ids: read_news(ids.user_id, ids.conversation_id, None)),
    "AP-67": with_a_silent_turn,
    "AP-70": now(
        lambda ids: erasure.delete_conversation(ids.user_id, ids.conversation_id, asked_by=ids.user_id, hold=hold())
    ),
    "AP-71": now(lambda ids: erasure.delete_agent(ids.user_id, ids.agent_id, asked_by=ids.user_id, hold=hold())),
    "AP-72": now(lambda ids: erasure.delete_user(ids.user_id, asked_by=ids.user_id, hold=hold())),
    "AP-73": a_job,
    "AP-95": now(lambda ids: get_users([ids.user_id])),
    "AP-96": now(lambda ids: replace_details(ids.user_id, "openai", "old", "new")),
    "AP-86": now(
        lambda ids: create_share_link(
            ids.user_id, ids.conversation_id, token_hash=f"x{ids.key_hash}", up_to_message_id=ids.message_id
        )
    ),
    "AP-87": now(lambda ids: list_share_links(ids.user_id, ids.conversation_id, 10)),
    "AP-88": with_link(lambda ids, entry: revoke_share_link(ids.user_id, ids.conversation_id, entry.link_id)),
    "AP-89": with_link(lambda _, entry: read_shared(entry.token_hash, 10)),
    "AP-90": now(lambda ids: record_event(ids.user_id, "signed_in")),
    "AP-91": now(lambda ids: list_events(ids.user_id, 10)),
    "AP-92": now(lambda ids: change_credentials(ids.user_id, {"openai": "sealed"})),
    "AP-99": now(lambda ids: change_role(ids.user_id, "admin")),
    "AP-74": now(lambda ids: erasure.get_erasure(ids.user_id, ids.erasure_id)),
    "AP-75": now(lambda ids: erasure.list_pending_erasures(10)),
    "AP-76": lambda ids: partial(erasure.take_erasure, dead_job(ids.user_id), hold()),
    "AP-79": now(lambda ids: list_turns(ids.user_id, 10)),
    "AP-98": now(lambda ids: count_request(ids.user_id, "user", 100)),
    "AP-80": now(lambda ids: get_allowance(ids.user_id)),
    "AP-81": now(lambda ids: change_limits(ids.user_id, {"turns_at_once": 3})),
    "AP-83": now(lambda ids: usage(ids.user_id, clock.now().date(), clock.now().date())),
    "AP-82": with_a_dead_claim,
    "AP-84": limited_completion,
    "AP-85": now(lambda ids: end_completion(new_completion(ids.user_id), ids.agent_id, "echo-1", (7, 3))),
    "AP-78": now(lambda ids: list_conversation_entries(ids.user_id, 10)),
    "AP-77": now(lambda ids: erasure.find_erasure(ids.erasure_id)),
    "AP-110": now(lambda ids: list_turn_counts(ids.user_id, 10)),
    "AP-97": now(lambda ids: named_objects([new_key(f"CONV#{ids.conversation_id}", "KV#session#key")])),
}


@pytest.fixture(scope="module")
def unchanged(table: object) -> Ids:
    """For patterns that only read."""
    create_identity(ISSUER, "known")
    return make_everything()


@pytest.mark.parametrize("pattern", patterns(), ids=lambda pattern: pattern.id)
def test_the_plain_case_sends_the_declared_requests(pattern: AccessPattern, unchanged: Ids) -> None:
    run = PLAIN[pattern.id](make_everything() if pattern.budget.wcu else unchanged)
    with recorded() as sent:
        run()
    assert {request.pattern for request in sent} == {pattern.id}
    if not pattern.budget.grows:
        assert len(sent) == pattern.budget.requests, [request.operation for request in sent]
