"""The clock of the data layer, and the one format of times in keys.

The format is RFC 3339 with a fixed width of 27 characters, so that strings sort chronologically.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from models.table.errors import InvalidValue

MICROSECOND = timedelta(microseconds=1)
_WIDTH = 27


def _system_clock() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system_clock
_measured = True
_ahead = timedelta(0)
# A `Date` header has whole seconds, and the response took some time: smaller differences are ignored.
_TOLERANCE = timedelta(seconds=2)
_HALF = timedelta(milliseconds=500)


def now() -> datetime:
    """Return the current time in UTC, with microseconds."""
    return _source()


def set_clock(source: Callable[[], datetime], *, measured: bool | None = None) -> Callable[[], datetime]:
    """Replace the source of the time; return the previous one.

    `measured` says whether it is compared with DynamoDB's clock: by default the system clock is, and a replacement,
    such as a fake clock in a test, is not.
    """
    global _source, _measured, _ahead
    previous, _source = _source, source
    _measured = source is _system_clock if measured is None else measured
    _ahead = timedelta(0)
    return previous


def table_now() -> datetime:
    """Return the current time by DynamoDB's clock, which is the same for all hosts; it decides when a lease expires.

    Otherwise a host whose clock is five minutes fast would consider every lease expired.
    """
    return now() + _ahead


def observe(date: str | None) -> None:
    """Learn from the `Date` header of a DynamoDB response how far DynamoDB's clock is ahead of this host's."""
    global _ahead
    if date is None or not _measured:
        return
    try:
        difference = parsedate_to_datetime(date) + _HALF - now()
    except (TypeError, ValueError):
        return
    _ahead = difference if abs(difference) > _TOLERANCE else timedelta(0)


def to_timestamp(moment: datetime, field: str = "time") -> str:
    """Return `moment` as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, 27 characters; `field` is its name in an error.

    Raises:
        InvalidValue: `moment` is not a `datetime`, has no time zone, or is out of range in UTC.
    """
    if not isinstance(moment, datetime):
        raise InvalidValue(field, f"must be a datetime, not {type(moment).__name__}")
    if moment.tzinfo is None:
        raise InvalidValue(field, "a time without a time zone cannot be stored")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(field, "a time before the year 1 or after the year 9999 in UTC cannot be stored") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(_WIDTH)


def from_timestamp(text: str) -> datetime:
    """Return the time that `to_timestamp` formatted.

    Raises:
        ValueError: `text` does not have that format.
    """
    if len(text) != _WIDTH or text[-1] != "Z":
        raise ValueError(f"{text!r} is not a UTC timestamp of {_WIDTH} characters")
    return datetime.fromisoformat(text)


def strictly_after(previous: datetime | None) -> datetime:
    """Return the current time, or one microsecond after `previous` if the clock is behind it.

    This keeps the messages of a conversation in one order even when hosts' clocks disagree.
    """
    present = now()
    return present if previous is None or present > previous else previous + MICROSECOND
