"""How many clients may follow conversations at one process: their streams have no end, and each takes a thread."""

import threading

from bot.errors import Overloaded


class FollowerRoom:
    """The threads that followers of conversations may take; the others stay free for requests and turns."""

    def __init__(self, threads: int) -> None:
        """Give them half of the `threads` of this process."""
        self._room = threading.Semaphore(max(1, threads // 2))

    def enter(self) -> None:
        """Take a place, until `leave`.

        Raises:
            Overloaded: none is free.
        """
        if not self._room.acquire(blocking=False):
            raise Overloaded("This process has as many followers of conversations as it can; try again.", retry_after=5)

    def leave(self) -> None:
        """Give the place back."""
        self._room.release()
