"""Times have one format that sorts chronologically, and a clock that goes backwards does not break the order."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.table import clock
from tests.fake_clock import FakeClock

MOMENTS = st.datetimes(timezones=st.just(UTC))


@given(MOMENTS)
def test_a_timestamp_has_27_characters_and_reads_back(moment: datetime) -> None:
    text = clock.to_timestamp(moment)
    assert len(text) == 27
    assert clock.from_timestamp(text) == moment


@given(MOMENTS, MOMENTS)
def test_timestamps_sort_chronologically(one: datetime, other: datetime) -> None:
    assert (clock.to_timestamp(one) < clock.to_timestamp(other)) == (one < other)


def test_a_timestamp_is_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert clock.to_timestamp(moment) == "2025-12-31T23:30:00.000000Z"


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        clock.to_timestamp(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test


def test_a_time_that_is_out_of_range_in_utc_is_refused() -> None:
    with pytest.raises(ValueError, match="year 1"):
        clock.to_timestamp(datetime.min.replace(tzinfo=timezone(timedelta(hours=2))))


@pytest.mark.parametrize(
    "text", ["", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000000", "2026-01-01T00:00:00.000+00:00"]
)
def test_another_format_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        clock.from_timestamp(text)


def test_the_current_time_is_used_if_it_is_later(fake_clock: FakeClock) -> None:
    assert clock.strictly_after(None) == fake_clock.moment
    assert clock.strictly_after(fake_clock.moment - timedelta(seconds=1)) == fake_clock.moment


def test_times_increase_even_if_the_clock_stops_or_goes_backwards(fake_clock: FakeClock) -> None:
    moments = [clock.strictly_after(None)]
    for step in (0, 0, -300, -300, 400, 0, 1000):
        fake_clock.advance(seconds=step)
        moments.append(clock.strictly_after(moments[-1]))
    assert moments == sorted(set(moments))
    assert moments[1] - moments[0] == clock.MICROSECOND
    assert moments[3] - moments[2] == clock.MICROSECOND
    assert moments[-1] == fake_clock.moment


def test_setting_a_clock_returns_the_previous_one() -> None:
    mine = FakeClock()
    before = clock.set_clock(mine)
    assert clock.now() == mine.moment
    assert clock.set_clock(before) is mine
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
