"""Checks round trips to DynamoDB without a clock: each one is held back until all its requests have been sent.

Requests that depend on each other cannot pass as one round trip: the first would wait for the second for ever.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Barrier, BrokenBarrierError, Lock
from typing import Any

import flask

from models.table.connection import client

# After this time, a missing request of a round trip is not expected any more.
_PATIENCE = 20.0
_NOTE = "turntable_trip"


class NotTogether(Exception):
    """A request waited for others of its round trip, which were not sent."""


class _Held:
    """The requests of one API call, in the order in which they are sent."""

    def __init__(self, trips: Sequence[int]) -> None:
        self._lock = Lock()
        # One barrier before the requests of a round trip are sent, and one before their responses are returned.
        self._sent = [Barrier(count) for count in trips]
        self._answered = [Barrier(count) for count in trips]
        self._places = [number for number, count in enumerate(trips) for _ in range(count)]
        self._under_way: dict[int, int] = {}
        self.operations: list[str] = []
        self.problems: list[str] = []

    def send(self, model: Any, context: dict[str, Any], **_: Any) -> None:
        if not flask.has_request_context():
            return
        with self._lock:
            number = len(self.operations)
            self.operations.append(model.name)
            if number >= len(self._places):
                self.problems.append(f"{model.name} is one request more")
                return
            trip = context[_NOTE] = self._places[number]
            if any(count for earlier, count in self._under_way.items() if earlier < trip):
                self.problems.append(f"{model.name} did not wait for the trip before")
            self._under_way[trip] = self._under_way.get(trip, 0) + 1
        self._wait(self._sent[trip], trip)

    def answer(self, context: dict[str, Any], **_: Any) -> None:
        trip = context.get(_NOTE)
        if trip is None:
            return
        with self._lock:
            self._under_way[trip] -= 1
        self._wait(self._answered[trip], trip)

    def _wait(self, barrier: Barrier, trip: int) -> None:
        try:
            barrier.wait(_PATIENCE)
        except BrokenBarrierError as error:
            self.problems.append(f"trip {trip + 1} is not {barrier.parties} requests at once")
            raise NotTogether(f"trip {trip + 1} of {self.operations}") from error

    def check(self) -> None:
        assert not self.problems, f"{self.problems}: {self.operations}"
        assert len(self.operations) == len(self._places), f"fewer requests than that: {self.operations}"


@contextmanager
def held_to(trips: Sequence[int]) -> Iterator[None]:
    """Fail unless the API call inside sends its requests to DynamoDB in exactly these round trips.

    Requests of the application's background threads do not count.
    """
    held = _Held(trips)
    events = client().meta.events
    handlers = {"before-call.dynamodb": held.send, "after-call.dynamodb": held.answer}
    for event, handler in handlers.items():
        events.register_last(event, handler)
    try:
        yield
    finally:
        for event, handler in handlers.items():
            events.unregister(event, handler)
    held.check()
