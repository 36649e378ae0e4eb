"""Retries are few, come later each time, and start within the time that a request has for them."""

from types import SimpleNamespace

import pytest

from bot.llm import retrying
from bot.llm.interruption import Interrupted, interruptible, sleep
from bot.llm.retrying import Retries, is_transient


@pytest.fixture
def slept(monkeypatch):
    """What was slept; the clock moves by that and by nothing else."""
    waits = []
    monkeypatch.setattr(retrying, "sleep", waits.append)
    monkeypatch.setattr(retrying, "time", SimpleNamespace(monotonic=lambda: 1000.0 + sum(waits)))
    return waits


def test_delays_double_up_to_eight_seconds_and_are_shortened_by_a_quarter_at_the_most(slept):
    retries = Retries(7, 3600)
    assert [retries.wait() for _ in range(8)] == [True] * 7 + [False]
    for wait, longest in zip(slept, (0.5, 1, 2, 4, 8, 8, 8), strict=True):
        assert 0.75 * longest <= wait <= longest


def test_a_provider_says_how_long(slept):
    retries = Retries(3, 60)
    assert retries.wait({"retry-after": "7"})
    assert retries.wait({"retry-after": "7", "retry-after-ms": "150"})
    assert slept == [7.0, 0.15]


def test_a_retry_after_of_nothing_is_our_own_delay(slept):
    assert Retries(3, 60).wait({"retry-after": "0"})
    assert slept[0] >= 0.375


def test_a_retry_that_would_start_too_late_is_not_waited_for(slept):
    retries = Retries(5, 10)
    assert retries.wait({"retry-after": "7"})
    assert not retries.wait({"retry-after": "7"})
    assert slept == [7.0]
    assert retries.wait({"retry-after": "2"}), "a shorter one still fits"


@pytest.mark.parametrize("headers", [None, {"retry-after-ms": "1"}])
def test_no_retries_without_time_or_number(slept, headers):
    assert not Retries(2, 0).wait(headers)
    assert not Retries(0, 60).wait(headers)
    assert slept == []


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
def test_transient_statuses(status):
    assert is_transient(status, {})
    assert not is_transient(status, {"x-should-retry": "false"})


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
def test_lasting_statuses(status):
    assert not is_transient(status, {})
    assert is_transient(status, {"x-should-retry": "true"})


def test_a_wait_can_be_interrupted():
    asked = []

    def waiting():
        sleep(60)
        yield

    def shall_stop():
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(Interrupted):
        next(interruptible(waiting(), shall_stop))


def test_outside_a_turn_a_wait_is_not_interruptible():
    sleep(0.01)
