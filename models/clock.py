"""The clock of the data layer, and the one form in which a time stands in a key.

Source of the form: RFC 3339, at a fixed width of 27 characters, so that the order of the strings is the order of time.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

MICROSECOND = timedelta(microseconds=1)
_WIDTH = 27


def _system_clock() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system_clock


def now() -> datetime:
    """Return the present moment in UTC, with microseconds."""
    return _source()


def set_clock(source: Callable[[], datetime]) -> Callable[[], datetime]:
    """Replace the source of time (tests: a fake clock; chaos runs: a skewed one); return the one before."""
    global _source
    previous, _source = _source, source
    return previous


def to_timestamp(moment: datetime) -> str:
    """Return `moment` as `YYYY-MM-DDTHH:MM:SS.ffffffZ`, 27 characters.

    Raises:
        ValueError: `moment` has no time zone, or is out of range in UTC.
    """
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone cannot be stored")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a time before the year 1 or after the year 9999 in UTC cannot be stored") from error
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
