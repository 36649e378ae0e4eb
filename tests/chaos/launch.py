"""The `bot` command with a wrong clock and a shorter DynamoDB timeout.

`CHAOS_CLOCK_SECONDS` is how far the clock is ahead. `CHAOS_READ_TIMEOUT` is the read timeout for DynamoDB: less than
the usual ten seconds, so that a thousand faults take only minutes.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bot.cli import main
from models.table import clock, connection

AHEAD = timedelta(seconds=float(os.environ.get("CHAOS_CLOCK_SECONDS", "0")))
READ_TIMEOUT = float(os.environ.get("CHAOS_READ_TIMEOUT", "10"))

_configure = connection.configure


def _impatient(settings: connection.TableSettings) -> None:
    _configure(replace(settings, read_timeout=READ_TIMEOUT))


if __name__ == "__main__":
    if AHEAD:
        clock.set_clock(lambda: datetime.now(UTC) + AHEAD, measured=True)
    connection.configure = _impatient
    main()
