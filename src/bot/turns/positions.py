"""Positions in a conversation: the ids of its events, after which a client that reconnects goes on."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bot.turns.events import STARTED
from models.message import ID_PREFIX
from models.table.ids import moment_of
from models.turn import EventId

PATTERN = r"[0-9]{1,17}\.[0-9]{1,12}(\.turn_[0-9a-z]{26}\.[0-9]{1,10}(-[0-9]{1,10})?)?"
"""What a position looks like."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Position(NamedTuple):
    """What a client has received of a conversation.

    Messages up to `ts`; turns up to the fencing number `fence`, None for all that have begun. If `turn_id` is set, that
    turn has not ended, and `event` is its last event.
    """

    ts: datetime | None = None
    fence: int | None = None
    turn_id: str | None = None
    event: EventId = STARTED

    def __str__(self) -> str:
        """Return the position as clients see it: microseconds, fencing number and, in a turn, its id and its event."""
        micros = (self.ts - _EPOCH) // _MICROSECOND if self.ts else 0
        within = f".{self.turn_id}.{self.event}" if self.turn_id else ""
        return f"{micros}.{self.fence or 0}{within}"


def position_of(text: str) -> Position:
    """Return the position in an event's id, or that right after a message, in a message's id.

    Raises:
        ValueError: it is neither.
    """
    if (moment := moment_of(text, ID_PREFIX)) is not None:
        return Position(moment)
    if not re.fullmatch(PATTERN, text):
        raise ValueError("must be the id of an event of this stream, or of a message")
    micros, fence, *within = text.split(".")
    try:
        ts = _EPOCH + int(micros) * _MICROSECOND if int(micros) else None
    except OverflowError as error:
        raise ValueError("must be the id of an event of this stream") from error
    if not within:
        return Position(ts, int(fence))
    number, _, part = within[1].partition("-")
    return Position(ts, int(fence), within[0], EventId(int(number), int(part or 0)))
