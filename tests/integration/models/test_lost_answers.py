"""Failures of DynamoDB: a lost response, a refused request. Each write takes effect exactly once, or fails and leaves
nothing half done. Every pattern that writes has a scenario here.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import Context
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError
from pynamodb.exceptions import PynamoDBException

from bot.errors import TableUnavailable
from bot.http.problems import from_aws, from_table
from models.access_patterns import erasure, patterns
from models.access_patterns.agents import create_agent, get_agent, list_agents, update_agent
from models.access_patterns.allowances import change_limits, get_allowance, release_ended_turns
from models.access_patterns.api_keys import create_api_key, list_api_keys, note_api_key_use, revoke_api_key
from models.access_patterns.audit import list_events, record_event
from models.access_patterns.branches import choose_branch, list_branches, make_branch
from models.access_patterns.completions import BegunCompletion, begin_completion, end_completion
from models.access_patterns.conversations import (
    create_conversation,
    get_conversation,
    list_conversations,
    open_conversation,
    set_conversation_status,
    update_conversation,
)
from models.access_patterns.copies import drop_copies, shorten
from models.access_patterns.credentials import replace_details
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.identities import create_identity, find_identity, readmit_identity
from models.access_patterns.messages import Draft, append_messages, delete_message
from models.access_patterns.rates import count_request
from models.access_patterns.roles import change_role
from models.access_patterns.share_links import create_share_link, list_share_links, revoke_share_link
from models.access_patterns.sharing import publish_agent, share_agent, unshare_agent
from models.access_patterns.states import Owner, delete_state, get_state, list_states, put_state
from models.access_patterns.turn_beginnings import begin_turn_in_branch
from models.access_patterns.turn_errors import BeginUncertain
from models.access_patterns.turn_events import append_events, streamed
from models.access_patterns.turn_states import get_turn, reconcile_turn, request_cancel
from models.access_patterns.turns import end_turn, renew_lease
from models.access_patterns.users import (
    change_credentials,
    change_email,
    create_user,
    get_user,
    get_user_by_email,
    update_user,
)
from models.allowance import Limits, Quota
from models.branch import MAX_HOPS
from models.conversation import Conversation
from models.erasure import Erasure
from models.identity import identity_hash
from models.share_link import ShareLinkEntry
from models.table import clock
from models.table.connection import client
from models.table.errors import Contended, ItemNotFound, LimitReached, TableError
from models.turn import EventId
from tests.erasing import dead_job, delete_user, hold
from tests.factories import make_user
from tests.fake_clock import FakeClock
from tests.integration.models.everything import LEASE, Ids, begin, begin_limited, make_everything
from tests.raw import whole_table
from tests.wire import REFUSALS, lost_answers, refusals

pytestmark = pytest.mark.usefixtures("table")

WRITES = ("TransactWriteItems", "UpdateItem", "BatchWriteItem", "PutItem")
Case = tuple[Callable[[Ids], Any], Callable[[Ids], object], object]


ISSUER = "https://auth.example.com"


def header(ids: Ids) -> Conversation:
    return get_conversation(ids.user_id, ids.conversation_id)


def contents(ids: Ids) -> list[str]:
    return [each.content for each in open_conversation(ids.user_id, ids.conversation_id, 100).messages]


def count(items: tuple[object, ...]) -> int:
    return len(items)


def actions(ids: Ids) -> list[str]:
    return [event.action for event in list_events(ids.user_id, 100).items]


def _shared_and_taken_back(ids: Ids) -> None:
    grantee_id = make_user().user_id
    share_agent(ids.user_id, ids.agent_id, grantee_id)
    unshare_agent(ids.user_id, ids.agent_id, grantee_id)


def links(ids: Ids) -> tuple[ShareLinkEntry, ...]:
    return list_share_links(ids.user_id, ids.conversation_id, 10).items


def _shared_by_link_and_revoked(ids: Ids) -> None:
    entry = create_share_link(ids.user_id, ids.conversation_id, token_hash=f"x{ids.key_hash}")
    revoke_share_link(ids.user_id, ids.conversation_id, entry.link_id)


def _changed_and_rotated(ids: Ids) -> None:
    change_credentials(ids.user_id, {"openai": "old"})
    replace_details(ids.user_id, "openai", "old", "new")


def end(ids: Ids) -> str:
    begun = begin(header(ids), "Again")
    end_turn(begun.lease, "completed", [Draft("agent", "Hi again!")], {"input_tokens": 7})
    return begun.lease.turn_id


def completion(ids: Ids) -> BegunCompletion:
    quota = Quota(get_allowance(ids.user_id), Limits(tokens_per_day=1000), lambda *_: 100)
    return begin_completion(ids.user_id, quota)


def with_deleted_turn(ids: Ids) -> Ids:
    """Begin a turn that claims an allowance, and delete its conversation."""
    begun = begin_limited(ids)
    erasure.delete_conversation(ids.user_id, begun.lease.conversation.conversation_id, asked_by="me", hold=hold())
    return ids


def refused(call: Callable[..., object], *arguments: object) -> bool:
    try:
        call(*arguments)
    except LimitReached:
        return True
    return False


def missing(look: Callable[..., object], *ids: str) -> bool:
    try:
        look(*ids)
    except ItemNotFound:
        return True
    return False


# By pattern: the operation, how to read its effect, and the expected effect (as if no answer had been lost).
CASES: dict[str, Case] = {
    "AP-01": (
        lambda ids: create_user(f"second.{ids.email}"),
        lambda ids: missing(get_user_by_email, f"second.{ids.email}"),
        False,
    ),
    "AP-04": (
        lambda ids: update_user(ids.user_id, {"name": "New", "settings": {"a": 1}}),
        lambda ids: (get_user(ids.user_id).name, get_user(ids.user_id).settings),
        ("New", {"a": 1}),
    ),
    "AP-06": (
        lambda ids: change_email(ids.user_id, f"new.{ids.email}"),
        lambda ids: get_user_by_email(f"new.{ids.email}").user_id == ids.user_id,
        True,
    ),
    "AP-10": (
        lambda ids: create_agent(ids.user_id, name="Bea", provider="echo", model="echo-1"),
        lambda ids: count(list_agents(ids.user_id, 10).items),
        2,
    ),
    "AP-13": (
        lambda ids: update_agent(ids.user_id, ids.agent_id, {"name": "Bea"}).version,
        lambda ids: (get_agent(ids.user_id, ids.agent_id).name, get_agent(ids.user_id, ids.agent_id).version),
        ("Bea", 2),
    ),
    "AP-15": (
        lambda ids: share_agent(ids.user_id, ids.agent_id, make_user().user_id),
        lambda ids: (len(get_agent(ids.user_id, ids.agent_id).shared_with_users), actions(ids).count("agent.shared")),
        (1, 1),
    ),
    "AP-16": (
        lambda ids: _shared_and_taken_back(ids),
        lambda ids: (get_agent(ids.user_id, ids.agent_id).shared_with, actions(ids).count("agent.unshared")),
        (None, 1),
    ),
    "AP-17": (
        lambda ids: publish_agent(ids.user_id, ids.agent_id, published=True),
        lambda ids: (get_agent(ids.user_id, ids.agent_id).published, actions(ids).count("agent.published")),
        (True, 1),
    ),
    "AP-90": (
        lambda ids: record_event(ids.user_id, "signed_in"),
        lambda ids: actions(ids).count("signed_in"),
        1,
    ),
    "AP-92": (
        lambda ids: change_credentials(ids.user_id, {"openai": "sealed"}),
        lambda ids: (get_user(ids.user_id).api_integration_details, actions(ids).count("credentials.changed")),
        ({"openai": "sealed"}, 1),
    ),
    "AP-99": (
        lambda ids: change_role(ids.user_id, "admin"),
        lambda ids: (get_user(ids.user_id).role, actions(ids).count("role.changed")),
        ("admin", 1),
    ),
    "AP-96": (
        lambda ids: _changed_and_rotated(ids),
        lambda ids: (get_user(ids.user_id).api_integration_details, actions(ids).count("credentials.rotated")),
        ({"openai": "new"}, 1),
    ),
    "AP-27": (
        lambda ids: note_api_key_use(ids.user_id, ids.key_id, clock.now(), interval=timedelta(0)),
        lambda ids: [each.last_used_at is not None for each in list_api_keys(ids.user_id, 10).items],
        [True],
    ),
    "AP-20": (
        lambda ids: create_api_key(ids.user_id, key_hash=f"x{ids.key_hash}", hint="abcd", role="user"),
        lambda ids: count(list_api_keys(ids.user_id, 10).items),
        2,
    ),
    "AP-23": (
        lambda ids: revoke_api_key(ids.user_id, ids.key_id),
        lambda ids: count(list_api_keys(ids.user_id, 10).items),
        0,
    ),
    "AP-86": (
        lambda ids: create_share_link(ids.user_id, ids.conversation_id, token_hash=f"x{ids.key_hash}"),
        lambda ids: (count(links(ids)), actions(ids).count("link.created")),
        (1, 1),
    ),
    "AP-88": (
        lambda ids: _shared_by_link_and_revoked(ids),
        lambda ids: (count(links(ids)), actions(ids).count("link.revoked")),
        (0, 1),
    ),
    "AP-26": (
        lambda ids: create_identity(ISSUER, ids.key_hash, email=f"new.{ids.email}"),
        lambda ids: (
            find_identity(identity_hash(ISSUER, ids.key_hash)).user_id == get_user_by_email(f"new.{ids.email}").user_id
        ),
        True,
    ),
    "AP-29": (
        lambda ids: readmit_identity(ISSUER, ids.key_hash),
        lambda ids: missing(find_identity, identity_hash(ISSUER, ids.key_hash)),
        True,
    ),
    "AP-30": (
        lambda ids: create_conversation(ids.user_id, ids.agent_id),
        lambda ids: count(list_conversations(ids.user_id, 10).items),
        2,
    ),
    "AP-35": (
        lambda ids: update_conversation(ids.user_id, ids.conversation_id, {"title": "New", "metadata": {"a": 1}}),
        lambda ids: (header(ids).title, header(ids).metadata),
        ("New", {"a": 1}),
    ),
    "AP-36": (
        lambda ids: set_conversation_status(ids.user_id, ids.conversation_id, "archived"),
        lambda ids: [each.status for each in list_conversations(ids.user_id, 10).items],
        ["archived"],
    ),
    "AP-37": (
        lambda ids: make_branch(fork(ids), [Draft("user", "a"), Draft("user", "b")]),
        lambda ids: branches_of(ids),
        [(["Hello", "a", "b"], 2)],
    ),
    "AP-38": (
        lambda ids: begin_turn_in_branch(fork(ids), lambda _: [Draft("user", "a")], window=20, lease=LEASE),
        lambda ids: branches_of(ids),
        [(["Hello", "a"], 1)],
    ),
    "AP-45": (
        lambda ids: choose_branch(ids.user_id, ids.conversation_id, made_branch(ids).conversation_id),
        lambda ids: (
            header(ids).active_branch_id == list_branches(ids.user_id, ids.conversation_id, 9).items[0].branch_id
        ),
        True,
    ),
    "AP-47": (
        lambda ids: shorten(long_fork(ids)),
        lambda ids: len(list_branches(ids.user_id, ids.conversation_id, 100).items),
        MAX_HOPS,
    ),
    "AP-48": (
        lambda ids: drop_copies(shorten(long_fork(ids))),
        lambda ids: len(
            [pk for pk, sk in whole_table() if pk.endswith(ids.conversation_id) and sk.startswith("BRANCH#")]
        ),
        MAX_HOPS,
    ),
    "AP-40": (
        lambda ids: append_messages(ids.user_id, ids.conversation_id, [Draft("user", "a"), Draft("user", "b")]),
        lambda ids: (contents(ids), header(ids).message_count),
        (["Hello", "Hi!", "a", "b"], 4),
    ),
    "AP-43": (
        lambda ids: delete_message(ids.user_id, ids.conversation_id, ids.message_id),
        lambda ids: (contents(ids), header(ids).message_count),
        (["Hi!"], 1),
    ),
    "AP-50": (
        lambda ids: begin(header(ids), "Again"),
        lambda ids: (contents(ids), header(ids).turn_count, header(ids).fence, header(ids).message_count),
        (["Hello", "Hi!", "Again"], 2, 2, 3),
    ),
    "AP-51": (
        lambda ids: renew_lease(begin(header(ids)).lease, LEASE),
        lambda ids: (header(ids).fence, header(ids).leased()),
        (2, True),
    ),
    "AP-52": (
        end,
        lambda ids: (contents(ids), header(ids).message_count, header(ids).input_tokens, header(ids).leased()),
        (["Hello", "Hi!", "Again", "Hi again!"], 4, 7, False),
    ),
    "AP-54": (
        lambda ids: reconcile_turn(begin(header(ids), "Again", lease=timedelta(0)).lease.turn),
        lambda ids: (contents(ids), header(ids).lease_turn),
        (["Hello", "Hi!", "Again"], None),
    ),
    "AP-55": (
        lambda ids: request_cancel(begin(header(ids), "Again").lease.turn),
        lambda ids: header(ids).cancel_turn == header(ids).lease_turn,
        True,
    ),
    "AP-56": (
        lambda ids: append_events(ids.turn_id, EventId(3), ["Hi", "!"]),
        lambda ids: streamed(ids.turn_id, EventId(1)),
        [(EventId(2), "Hi"), (EventId(3), "!")],
    ),
    "AP-61": (
        lambda ids: put_state(ids.owner, "session", "key", 2, if_version=1).version,
        lambda ids: (get_state(ids.owner, "session", "key").value, get_state(ids.owner, "session", "key").version),
        (2, 2),
    ),
    "AP-62": (
        lambda ids: delete_state(Owner(ids.user_id), "session", "key", if_version=1),
        lambda ids: count(list_states(Owner(ids.user_id), 10).items),
        0,
    ),
    "AP-70": (
        lambda ids: erasure.delete_conversation(ids.user_id, ids.conversation_id, asked_by="me", hold=hold()),
        lambda ids: (missing(get_conversation, ids.user_id, ids.conversation_id), open_jobs(ids)),
        (True, ["conversation"]),
    ),
    "AP-71": (
        lambda ids: erasure.delete_agent(ids.user_id, ids.agent_id, asked_by="me", hold=hold()),
        lambda ids: (missing(get_agent, ids.user_id, ids.agent_id), open_jobs(ids)),
        (True, ["agent"]),
    ),
    "AP-72": (
        lambda ids: erasure.delete_user(ids.user_id, asked_by="me", hold=hold()),
        lambda ids: (missing(get_user, ids.user_id), open_jobs(ids)),
        (True, ["user"]),
    ),
    "AP-73": (
        lambda ids: delete_user(ids.user_id).removed,
        lambda ids: (missing(get_turn, ids.user_id, ids.turn_id), left_of(ids), open_jobs(ids)),
        (True, [], []),
    ),
    "AP-98": (
        # This is the only pattern whose effect may be repeated: a request may be counted more than once.
        lambda ids: count_request(ids.user_id, "user", 100),
        lambda ids: refused(count_request, ids.user_id, "user", 1),
        True,
    ),
    "AP-80": (
        lambda ids: get_allowance(ids.user_id),
        lambda ids: get_allowance(ids.user_id).tokens,
        {},
    ),
    "AP-81": (
        lambda ids: change_limits(ids.user_id, {"turns_at_once": 3}),
        lambda ids: get_allowance(ids.user_id).limits,
        {"turns_at_once": 3},
    ),
    "AP-82": (
        lambda ids: release_ended_turns(with_deleted_turn(ids).user_id),
        lambda ids: get_allowance(ids.user_id).running,
        None,
    ),
    "AP-84": (
        lambda ids: completion(ids),
        lambda ids: (sorted(get_allowance(ids.user_id).tokens.values()), len(get_allowance(ids.user_id).running or ())),
        ([100, 100], 1),
    ),
    "AP-85": (
        lambda ids: end_completion(completion(ids), ids.agent_id, "echo-1", (7, 3)),
        lambda ids: (sorted(get_allowance(ids.user_id).tokens.values()), get_allowance(ids.user_id).running),
        ([10, 10], None),
    ),
    "AP-76": (
        lambda ids: erasure.take_erasure(dead_job(ids.user_id), hold()) is not None or pytest.fail("not taken"),
        lambda ids: [(int(job.fence), job.leased) for job in jobs(ids)],
        [(2, True)],
    ),
}


def fork(ids: Ids) -> Fork:
    return find_fork(ids.user_id, ids.conversation_id, ids.message_id)


def made_branch(ids: Ids) -> Conversation:
    branch, _ = make_branch(fork(ids))
    choose_branch(ids.user_id, ids.conversation_id, None)
    return branch


def long_fork(ids: Ids) -> Fork:
    """Return a branch to be made whose path is too long."""
    found = fork(ids)
    while not found.too_long:
        branch, (message,) = make_branch(found, [Draft("user", "Hello")])
        found = find_fork(ids.user_id, branch.conversation_id, message.message_id)
    return found


def branches_of(ids: Ids) -> list[tuple[list[str], int]]:
    """Return what each branch shows, and how many messages it has of its own."""
    found = []
    for each in list_branches(ids.user_id, ids.conversation_id, 100).items:
        opened = open_conversation(ids.user_id, each.branch_id, 100)
        found.append(([message.content for message in opened.messages], int(opened.conversation.message_count)))
    return found


def jobs(ids: Ids) -> list[Erasure]:
    """Return this user's pending erasures."""
    found = [erasure.find_erasure(each.erasure_id) for each in erasure.list_pending_erasures(100).items]
    return [job for job in found if job.user_id == ids.user_id]


def open_jobs(ids: Ids) -> list[str]:
    return [job.kind for job in jobs(ids)]


def left_of(ids: Ids) -> list[tuple[str, str]]:
    """Return the keys of the remaining items of a user and a conversation."""
    wanted = (f"USER#{ids.user_id}", f"CONV#{ids.conversation_id}", f"TURN#{ids.turn_id}")
    return [keys for keys in whole_table() if keys[0].startswith(wanted)]


EVERY_WRITE = [
    pytest.param(pattern.id, operation, id=f"{pattern.id}-{operation}")
    for pattern in patterns()
    for operation in WRITES
    if any(request.operation == operation for request in pattern.requests)
]


@contextmanager
def note_before(operation: str, noted: list[object]) -> Iterator[None]:
    """Read the whole table before the first request of an operation is sent."""

    def note(**_: object) -> None:
        if not noted:
            noted.append(None)
            noted[0] = Context().run(whole_table)

    event = f"before-send.dynamodb.{operation}"
    client().meta.events.register_first(event, note)
    try:
        yield
    finally:
        client().meta.events.unregister(event, note)


def as_problem(error: BaseException) -> object:
    """Return the error that a caller of the API gets."""
    return from_table(error) if isinstance(error, TableError) else from_aws(error)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let botocore retry at once; it would wait up to a second."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)


def test_every_pattern_that_writes_has_a_scenario() -> None:
    """A new pattern fails here until it has one."""
    assert {each.values[0] for each in EVERY_WRITE} == CASES.keys()


Fault = Callable[[str], AbstractContextManager[list[str]]]
FAULTS: dict[str, Fault] = {
    "its answer is lost": lost_answers,
    "two answers are lost": partial(lost_answers, times=2),
    **{f"{refusal}, not executed": partial(refusals, refusal=refusal) for refusal in REFUSALS},
    "a 500, executed": partial(refusals, refusal="a 500", done=True),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("name", "operation"), EVERY_WRITE)
def test_a_write_takes_effect_once(name: str, operation: str, fault: str, fake_clock: FakeClock) -> None:
    ids = make_everything()
    act, look, expected = CASES[name]
    if name == "AP-29":
        delete_user(create_identity(ISSUER, ids.key_hash).user_id)
    with FAULTS[fault](operation) as met:
        act(ids)
    assert met
    assert look(ids) == expected


@pytest.mark.usefixtures("empty_table")
@pytest.mark.parametrize(("name", "operation"), EVERY_WRITE)
def test_a_write_that_is_always_refused_is_an_error_and_changes_nothing(
    name: str, operation: str, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.table.retries.time.sleep", lambda _seconds: None)
    ids = make_everything()
    act, *_ = CASES[name]
    before: list[object] = []
    with refusals(operation, "throttling", times=10_000) as met, note_before(operation, before):
        with pytest.raises((PynamoDBException, ClientError, Contended, BeginUncertain)) as error:
            act(ids)
        assert isinstance(as_problem(error.value), TableUnavailable)
    assert len(met) < 100, "it was never given up"
    assert whole_table() == before[0]


def test_a_write_takes_effect_once_if_every_answer_but_the_last_is_lost() -> None:
    ids = make_everything()
    with lost_answers("TransactWriteItems", times=3) as lost:
        append_messages(ids.user_id, ids.conversation_id, [Draft("user", "a")])
    assert len(lost) == 3
    assert contents(ids) == ["Hello", "Hi!", "a"]
