"""The child's side of an embedded process: it exits with its parent, and announces once when it is ready.

Standard input is the read end of a pipe that only the parent and the workers it forks hold open. Nothing is ever
written to it. The kernel closes it when the last holder has ended in whatever way, so a `kill -9` of the server also
ends its children. Standard output carries one line of JSON, the child's readiness; standard error is the log.
"""

import json
import os
import select
import signal
import sys
from types import FrameType
from typing import NoReturn

LIFELINE = 0


class Announcement:
    """The one line that the parent waits for."""

    def __init__(self) -> None:
        """Reserve standard output for that line; anything else printed there, even by C code, goes to the log."""
        self._fd = os.dup(1)
        os.dup2(2, 1)

    def ready(self, **facts: object) -> None:
        """Tell the parent that the child is ready; `facts` are what the parent needs to reach it."""
        self._write(facts)

    def refuse(self, reason: str) -> NoReturn:
        """Tell the parent, in a sentence for the user, why this child cannot serve, and exit with status 1."""
        self._write({"error": reason})
        sys.exit(1)

    def _write(self, facts: dict[str, object]) -> None:
        os.write(self._fd, json.dumps(facts).encode() + b"\n")
        os.close(self._fd)


def ignore_interrupts() -> None:
    """Leave Ctrl-C to the parent, which stops its children last, when no running request needs them any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def wait_for_end() -> None:
    """Block the main thread until the parent is gone or sends SIGTERM."""

    def wake(_signal: int, _frame: FrameType | None) -> None:
        """Do nothing: with a handler, SIGTERM only writes to the wake-up descriptor."""

    woken, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)
    signal.signal(signal.SIGTERM, wake)
    select.select([LIFELINE, woken], [], [])
