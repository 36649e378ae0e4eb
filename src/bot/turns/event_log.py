"""Stores what a turn streams, in batches, so that a client can resume from any process. See `docs/turns.md`.

A batch is written when it is half a second old or has 4 KB of text (the deployment can set both): about two writes a
second, one more for each 4 KB and one for each change between reasoning and text, however fast the model is. Between
two batches, a live client is ahead of the table; if the worker dies, at most that much is lost.

A stream that is not kept is not stored at all; the turn's record gets the sizes of its pieces instead.
"""

import logging
import time
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from models.access_patterns.pieces import pack_pieces
from models.access_patterns.turn_events import append_events
from models.turn import MOST_UNSTORED, EventId

log = logging.getLogger(__name__)

# Half of what may be unstored: a failed write can be retried with a few hundred more.
MOST_PIECES = 500


@dataclass(frozen=True, slots=True)
class BatchSize:
    """When a batch is written: when it is `seconds` old, has `bytes` of text, or `MOST_PIECES` pieces."""

    seconds: float = 0.5
    bytes: int = 4096


DEFAULT_BATCH = BatchSize()


class EventLog(Protocol):
    """Stores the pieces of an answer, each with the next id."""

    @property
    def record(self) -> dict[str, Any]:
        """What the turn's record has of the pieces, at its end."""

    def add(self, event: EventId, text: str) -> None:
        """Take the next piece."""

    def tick(self) -> None:
        """Write what is due; called several times a second while the model is silent."""

    def close(self) -> None:
        """Write what is left."""


class NoLog:
    """For a plain turn: nobody can follow it, and it costs nothing."""

    @property
    def record(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def add(self, event: EventId, text: str) -> None:
        """Discard it."""

    def tick(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class SizeLog(NoLog):
    """For a stream that is not kept: counts its pieces, so that its text can be cut in the same way at its end."""

    def __init__(self) -> None:
        """Begin with no piece."""
        self._sizes: list[int] = []

    @property
    def record(self) -> dict[str, Any]:
        """The sizes of the pieces, unless there are too many."""
        packed = pack_pieces(self._sizes)
        return {} if packed is None else {"pieces": packed}

    def add(self, event: EventId, text: str) -> None:
        """Note the size of the next piece."""
        self._sizes.append(-len(text) if event.part else len(text))


class TableLog:
    """Writes the pieces to the table. Used by one thread."""

    def __init__(self, turn_id: str, batch: BatchSize = DEFAULT_BATCH) -> None:
        """Begin the log of a turn, which is written in batches of this size."""
        self._turn_id = turn_id
        self._batch = batch
        self._pieces: list[tuple[EventId, str]] = []
        self._size = 0
        self._since = 0.0

    @property
    def record(self) -> dict[str, Any]:
        """Nothing: the events have it."""
        return {}

    def add(self, event: EventId, text: str) -> None:
        """Take the next piece, and write the batch if it is large or old enough."""
        if not self._pieces:
            self._since = time.monotonic()
        self._pieces.append((event, text))
        self._size += len(text.encode())
        if self._size >= self._batch.bytes or len(self._pieces) >= MOST_PIECES:
            self._write()
        else:
            self.tick()

    def tick(self) -> None:
        """Write the batch if it is old enough."""
        if self._pieces and time.monotonic() - self._since >= self._batch.seconds:
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
            # Retried with a later piece; followers wait, or read the whole text at the end. But there must never be
            # more unstored events than the numbering of an orphaned turn's end allows for.
            log.warning("could not store events of %s", self._turn_id, exc_info=True)
            if len(self._pieces) >= MOST_UNSTORED:
                raise
            self._since = time.monotonic()
        else:
            self._size = 0
