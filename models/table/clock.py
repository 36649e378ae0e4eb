"""The clock of the data layer, and the one form in which a time stands in a key.

Source of the form: RFC 3339, at a fixed width of 27 characters, so that the order of the strings is the order of time.
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
# A `Date` header is cut to the second, and the answer took its time: less than this is no difference.
_TOLERANCE = timedelta(seconds=2)
_HALF = timedelta(milliseconds=500)


def now() -> datetime:
    """Return the present moment in UTC, with microseconds."""
    return _source()


def set_clock(source: Callable[[], datetime], *, measured: bool | None = None) -> Callable[[], datetime]:
    """Replace the source of time; return the one before.

    `measured` says whether it is compared with DynamoDB's clock: the system's own is, a fake one that stands still is
    not, a skewed one of a chaos run may be.
    """
    global _source, _measured, _ahead
    previous, _source = _source, source
    _measured = source is _system_clock if measured is None else measured
    _ahead = timedelta(0)
    return previous


def table_now() -> datetime:
    """Return the present moment by DynamoDB's clock, which is the same for all hosts; leases are judged by it.

    A host whose own clock is five minutes fast would take every lease for expired otherwise.
    """
    return now() + _ahead


def observe(date: str | None) -> None:
    """Learn from the `Date` header of an answer of DynamoDB's how far its clock is ahead of this host's."""
    global _ahead
    if date is None or not _measured:
        return
    try:
        difference = parsedate_to_datetime(date) + _HALF - now()
    except (TypeError, ValueError):
        return
    _ahead = difference if abs(difference) > _TOLERANCE else timedelta(0)


def to_timestamp(moment: datetime, field: str = "time") -> str:
    """Return `moment` as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, 27 characters; `field` is what an error calls it.

    Raises:
        InvalidValue: `moment` is no time, has no time zone, or is out of range in UTC.
    """
    if not isinstance(moment, datetime):
        raise InvalidValue(field, f"must be a time, and not a {type(moment).__name__}")
    if moment.tzinfo is None:
        raise InvalidValue(field, "a time without a time zone cannot be stored")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(field, "a time before the year 1 or after the year 9999 in UTC cannot be stored") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(_WIDTH)


def from_timestamp(text: str) -> datetime:
    """Return the moment that `to_timestamp` wrote.

    Raises:
        ValueError: `text` is not in that form.
    """
    if len(text) != _WIDTH or text[-1] != "Z":
        raise ValueError(f"{text!r} is no timestamp of {_WIDTH} characters in UTC")
    return datetime.fromisoformat(text)


def strictly_after(previous: datetime | None) -> datetime:
    """Return the present moment, or one microsecond after `previous` where a clock is behind.

    This is what keeps the messages of a conversation in one order, whatever the clocks of the hosts say.
    """
    present = now()
    return present if previous is None or present > previous else previous + MICROSECOND
