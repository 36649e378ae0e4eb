"""Parallel reads: in parallel if threads are free, complete even without threads, and never left running."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from threading import Barrier, Event, current_thread

import pytest

from models.table import side_by_side as module
from models.table.side_by_side import AT_ONCE, THREAD_NAME, both, in_turn, side_by_side

_PATIENCE = 20.0
colour: ContextVar[str] = ContextVar("colour", default="none")


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def no_thread_free() -> Iterator[None]:
    """Keep every thread busy."""
    over, busy = Event(), Barrier(AT_ONCE + 1)

    def work() -> None:
        busy.wait(_PATIENCE)
        over.wait(_PATIENCE)

    works = [module._threads.get().submit(work) for _ in range(AT_ONCE)]
    busy.wait(_PATIENCE)
    yield
    over.set()
    for each in works:
        each.result()


@pytest.mark.parametrize("count", [1, 2, 5, AT_ONCE + 1])
def test_all_reads_run_in_parallel(count: int) -> None:
    together = Barrier(count)
    assert sorted(side_by_side([lambda: together.wait(_PATIENCE)] * count)) == list(range(count))


def test_results_are_in_the_given_order() -> None:
    second_is_done = Event()

    def first() -> str:
        assert second_is_done.wait(_PATIENCE)
        return "a"

    def second() -> int:
        second_is_done.set()
        return 2

    assert both(first, second) == ("a", 2)
    assert side_by_side([lambda number=number: number for number in range(9)]) == list(range(9))  # type: ignore[misc]


def test_a_single_read_uses_no_thread() -> None:
    assert side_by_side([current_thread]) == [current_thread()]


def test_the_caller_does_the_last_read() -> None:
    other, own = both(current_thread, current_thread)
    assert own is current_thread()
    assert own is other or other.name.startswith(THREAD_NAME)


@pytest.mark.usefixtures("no_thread_free")
def test_without_a_free_thread_the_caller_does_all_reads() -> None:
    assert side_by_side([current_thread] * 5) == [current_thread()] * 5


@pytest.mark.usefixtures("no_thread_free")
def test_nested_reads_do_not_wait_for_a_thread() -> None:
    assert both(lambda: both(lambda: 1, lambda: 2), lambda: both(lambda: 3, lambda: 4)) == ((1, 2), (3, 4))


def test_more_nested_reads_than_threads_do_not_deadlock() -> None:
    def nested(depth: int) -> int:
        return sum(both(lambda: nested(depth - 1), lambda: nested(depth - 1))) if depth else 1

    with ThreadPoolExecutor(AT_ONCE) as callers:
        assert list(callers.map(nested, [4] * AT_ONCE * 2)) == [16] * AT_ONCE * 2


def test_each_read_has_a_copy_of_the_callers_context() -> None:
    token = colour.set("red")

    def repaint() -> str:
        before = colour.get()
        colour.set(current_thread().name)
        return before

    try:
        assert side_by_side([repaint, repaint, colour.get]) == ["red", "red", "red"]
        assert colour.get() == "red"
    finally:
        colour.reset(token)


class TestOneThatFails:
    def test_the_first_error_in_the_given_order_is_raised(self) -> None:
        later = Event()

        def first() -> None:
            assert later.wait(_PATIENCE)
            raise KeyError("first")

        def second() -> None:
            later.set()
            raise ValueError("second")

        with pytest.raises(KeyError, match="first"):
            both(first, second)

    def test_all_reads_have_ended_when_the_error_is_raised(self) -> None:
        begun, go_on, over = Event(), Event(), Event()

        def slow() -> None:
            begun.set()
            assert go_on.wait(_PATIENCE)
            over.set()

        def fail() -> None:
            assert begun.wait(_PATIENCE)
            go_on.set()
            raise ValueError("at once")

        with pytest.raises(ValueError, match="at once"):
            both(slow, fail)
        assert over.is_set()

    def test_all_reads_have_ended_when_the_caller_is_interrupted(self) -> None:
        begun, go_on, over = Event(), Event(), Event()

        def slow() -> None:
            begun.set()
            assert go_on.wait(_PATIENCE)
            over.set()

        def stop() -> None:
            assert begun.wait(_PATIENCE)
            go_on.set()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            both(slow, stop)
        assert over.is_set()

    @pytest.mark.usefixtures("no_thread_free")
    def test_the_error_is_also_raised_without_threads(self) -> None:
        with pytest.raises(KeyError):
            side_by_side([failing(KeyError(1)), failing(ValueError()), lambda: None])


def test_in_turn_each_read_begins_after_the_previous_one_ends() -> None:
    order: list[str] = []

    def read(name: str) -> Callable[[], object]:
        def noted() -> object:
            order.append(name)
            return current_thread()

        return noted

    with in_turn():
        assert side_by_side([read(name) for name in "abc"]) == [current_thread()] * 3
    assert order == ["a", "b", "c"]


_FORKED = """
import os, threading
from models.table.side_by_side import both

def together():
    meeting = threading.Barrier(2)
    return sorted(both(lambda: meeting.wait(20), lambda: meeting.wait(20))) == [0, 1]

assert together()
child = os.fork()
if child == 0:
    os._exit(0 if together() else 1)
assert os.waitpid(child, 0)[1] == 0
assert together()
"""


def test_a_forked_process_has_its_own_threads() -> None:
    """As gunicorn forks its workers: the child has none of the parent's threads, and would wait for them forever."""
    done = subprocess.run([sys.executable, "-c", _FORKED], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
