"""The guarantees between threads also hold between processes, each with its own connection and clock."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from models.access_patterns.conversations import get_conversation
from models.access_patterns.messages import Draft, append_messages, list_messages
from models.access_patterns.states import Owner, get_state, put_state
from models.access_patterns.users import create_user, get_user_by_email
from models.table.connection import TableSettings, configure
from models.table.errors import Contended
from tests.factories import make_conversation, make_user, new_email
from tests.together import at_once

PROCESSES, THREADS = 4, 2
WORKERS = PROCESSES * THREADS

_start: Barrier


def connect(settings: TableSettings, start: Barrier) -> None:
    """Prepare a process."""
    global _start
    configure(settings)
    _start = start


def do(work: Callable[[int], object], process: int) -> list[str]:
    """Do the work of one process in several threads; return the outcomes in words."""
    _start.wait()
    return [
        type(outcome).__name__ if isinstance(outcome, Exception) else str(outcome)
        for outcome in at_once([partial(work, process * THREADS + thread) for thread in range(THREADS)])
    ]


@pytest.fixture(scope="module")
def processes(table: TableSettings) -> Iterator[Executor]:
    """Processes that begin each task together: none takes a second task before all have taken one."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, connect, (table, spawn.Barrier(PROCESSES))) as pool:
        yield pool


def outcomes(processes: Executor, work: Callable[[int], object]) -> list[str]:
    found = processes.map(do, [work] * PROCESSES, range(PROCESSES))
    return [outcome for each in found for outcome in each]


def claim(email: str, _worker: int) -> str:
    """Create a user with this email."""
    return str(create_user(email).user_id)


def talk(user_id: str, conversation_id: str, worker: int) -> None:
    """Append three messages one after the other, retrying until each is stored."""
    for number in range(3):
        while True:
            try:
                append_messages(user_id, conversation_id, [Draft("user", f"{worker} {number}")])
                break
            except Contended:
                continue


def put(user_id: str, worker: int) -> str:
    """Put state over version 1."""
    return str(put_state(Owner(user_id), "session", "key", worker, if_version=1).value)


def test_one_of_several_concurrent_processes_gets_the_email(processes: Executor) -> None:
    email = new_email()
    found = outcomes(processes, partial(claim, email))
    assert sorted(found)[: WORKERS - 1] == ["EmailTaken"] * (WORKERS - 1)
    assert get_user_by_email(email).user_id == max(found)


def test_writers_lose_nothing_and_share_one_order(processes: Executor) -> None:
    conversation = make_conversation()
    ids = conversation.user_id, conversation.conversation_id
    assert outcomes(processes, partial(talk, *ids)) == ["None"] * WORKERS
    messages = list_messages(*ids, 100).items
    assert sorted(message.content for message in messages) == sorted(
        f"{worker} {number}" for worker in range(WORKERS) for number in range(3)
    )
    moments = [message.ts for message in messages]
    assert moments == sorted(set(moments))
    for worker in range(WORKERS):
        mine = [message.content for message in messages if message.content.startswith(f"{worker} ")]
        assert mine == [f"{worker} {number}" for number in range(3)]
    header = get_conversation(*ids)
    assert (header.message_count, header.last_message_at) == (3 * WORKERS, moments[-1])


def test_of_writers_that_expect_the_same_version_exactly_one_wins(processes: Executor) -> None:
    user = make_user()
    put_state(Owner(user.user_id), "session", "key", "first")
    found = outcomes(processes, partial(put, user.user_id))
    assert found.count("VersionMismatch") == WORKERS - 1
    (winner,) = (outcome for outcome in found if outcome != "VersionMismatch")
    state = get_state(Owner(user.user_id), "session", "key")
    assert (str(state.value), state.version) == (winner, 2)
