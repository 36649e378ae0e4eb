"""Stores what a turn streams, in batches, so that a client can resume from any process. See `docs/turns.md`.

A batch is written when it is half a second old or has 4 KB of text: about two writes a second, one more for each 4 KB
and one for each change between reasoning and text, however fast the model is. Between two batches, a live client is
ahead of the table; if the worker dies, at most that much is lost.
"""

import logging
import time
from itertools import groupby
from typing import Protocol

from models.access_patterns.turn_events import append_events
from models.turn import MOST_UNSTORED, EventId

log = logging.getLogger(__name__)

OLDEST_SECONDS = 0.5
LARGEST_BYTES = 4096
_MOST_PIECES = 200


class EventLog(Protocol):
    """Stores the pieces of an answer, each with the next id."""

    def add(self, event: EventId, text: str) -> None:
        """Take the next piece."""

    def tick(self) -> None:
        """Write what is due; called several times a second while the model is silent."""

    def close(self) -> None:
        """Write what is left."""


class NoLog:
    """For a plain turn: nobody can follow it, and it costs nothing."""

    def add(self, event: EventId, text: str) -> None:
        """Discard it."""

    def tick(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TableLog:
    """Writes the pieces to the table. Used by one thread."""

    def __init__(self, turn_id: str) -> None:
        """Begin the log of a turn."""
        self._turn_id = turn_id
        self._pieces: list[tuple[EventId, str]] = []
        self._size = 0
        self._since = 0.0

    def add(self, event: EventId, text: str) -> None:
        """Take the next piece, and write the batch if it is large or old enough."""
        if not self._pieces:
            self._since = time.monotonic()
        self._pieces.append((event, text))
        self._size += len(text.encode())
        if self._size >= LARGEST_BYTES or len(self._pieces) >= _MOST_PIECES:
            self._write()
        else:
            self.tick()

    def tick(self) -> None:
        """Write the batch if it is old enough."""
        if self._pieces and time.monotonic() - self._since >= OLDEST_SECONDS:
            self._write()

    def close(self) -> None:
        """Write what is left."""
        if self._pieces:
            self._write()

    def _write(self) -> None:
        try:
            # A batch has pieces of one kind, numbered without a gap. A turn usually has reasoning first, then text.
            for _, run in groupby(self._pieces[:], key=lambda piece: piece[0].part and piece[0].number):
                batch = list(run)
                append_events(self._turn_id, batch[-1][0], [text for _, text in batch])
                del self._pieces[: len(batch)]
        except Exception:
            # Retried with the next piece; followers wait, or read the whole text at the end. But there must never be
            # more unstored events than the numbering of an orphaned turn's end allows for.
            log.warning("could not store events of %s", self._turn_id, exc_info=True)
            if len(self._pieces) >= MOST_UNSTORED:
                raise
            self._since = time.monotonic()
        else:
            self._size = 0
