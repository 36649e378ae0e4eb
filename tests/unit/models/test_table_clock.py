"""Lease expiry is decided by DynamoDB's clock, however wrong the host's clock is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from models.table import clock

NOON = datetime(2030, 1, 7, 12, 0, tzinfo=UTC)
HALF = timedelta(seconds=0.5)


@pytest.fixture(params=[-300, 0, 300, 86400])
def ahead(request: pytest.FixtureRequest) -> Iterator[timedelta]:
    """How far this host's clock is ahead."""
    skew = timedelta(seconds=request.param)
    before = clock.set_clock(lambda: NOON + skew, measured=True)
    yield skew
    clock.set_clock(before)


def test_the_date_header_of_a_response_sets_the_clock(ahead: timedelta) -> None:
    clock.observe(format_datetime(NOON, usegmt=True))
    assert clock.now() == NOON + ahead
    assert abs(clock.table_now() - NOON) <= HALF


def test_a_corrected_clock_is_used_again(ahead: timedelta) -> None:
    clock.observe(format_datetime(NOON, usegmt=True))
    clock.observe(format_datetime(NOON + ahead, usegmt=True))
    assert clock.table_now() == clock.now()


@pytest.mark.parametrize("seconds", [-1, 0, 1])
def test_a_difference_within_the_headers_precision_is_ignored(seconds: int) -> None:
    before = clock.set_clock(lambda: NOON, measured=True)
    clock.observe(format_datetime(NOON + timedelta(seconds=seconds), usegmt=True))
    assert clock.table_now() == NOON
    clock.set_clock(before)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Jan 2030 12:00:00 GMT"])
def test_a_response_without_a_date_is_ignored(ahead: timedelta, date: str | None) -> None:
    clock.observe(date)
    assert clock.table_now() == clock.now()


def test_a_fake_clock_is_not_compared() -> None:
    before = clock.set_clock(lambda: NOON)
    clock.observe(format_datetime(NOON + timedelta(hours=1), usegmt=True))
    assert clock.table_now() == NOON
    clock.set_clock(before)
    assert abs(clock.table_now() - datetime.now(UTC)) < timedelta(minutes=1)
