"""A client for the chaos tests, and the checks that every answer must pass."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Any

import httpx2

from tests.e2e.bot_server import Api, Event, Stream

LEASE = 3
"""How long a dead worker blocks its conversation here, in seconds."""

WORDS = "One two three four five six seven eight nine ten eleven twelve."
PATIENCE = 90.0


@dataclass
class Heard:
    """What a client received of a streamed turn before its connection ended, for whatever reason."""

    events: list[Event] = field(default_factory=list)
    refused: httpx2.Response | None = None

    @property
    def turn_id(self) -> str | None:
        return self.events[0].data["turn_id"] if self.events else None

    @property
    def text(self) -> str:
        return joined(self.events)

    @property
    def ended_as(self) -> str | None:
        """The name of the turn's last event, if it was received."""
        return self.events[-1].name if self.events and has_ended(self.events[-1]) else None


class Talk:
    """A caller of one process."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def new_conversation(self) -> str:
        """Return the path of a new conversation with an agent that uses llmock."""
        agent = self.api.make("/agents", name="Ada", provider="openai", model="gpt-test")
        return f"/conversations/{self.api.make('/conversations', agent_id=agent['id'])['id']}"

    def listen(self, conversation: str, content: str, *, until: int = 1, reached: Flag | None = None) -> Heard:
        """Begin a streamed turn and read it until the connection ends; `reached` is set at event `until`."""
        heard = Heard()
        body = {"content": content, "stream": True}
        reached = reached or Flag()
        try:
            if until <= 0:
                reached.set()
            with self.api.http.stream("POST", f"{conversation}/messages", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    heard.refused = response
                    return heard
                for event in Stream(response):
                    heard.events.append(event)
                    if len(heard.events) >= until:
                        reached.set()
        except httpx2.TransportError:
            pass
        finally:
            reached.set()
        return heard

    @contextmanager
    def following(self, turn_id: str, after: int = 0) -> Iterator[Iterator[Event]]:
        """Follow a turn after an event; there are no events if that one was the last."""
        with self.api.http.stream("GET", f"/turns/{turn_id}/events", params={"after": after}) as response:
            assert response.status_code in (200, 204), response.read()
            yield iter(Stream(response)) if response.status_code == 200 else iter(())

    def follow(self, turn_id: str, after: int = 0) -> list[Event]:
        """Follow a turn after an event to its end, and return its events."""
        with self.following(turn_id, after) as events:
            return list(events)

    def settled(self, turn_id: str) -> dict[str, Any]:
        """Wait until a turn has ended, also by the expiry of a dead worker's lease, and return it."""
        deadline = time.monotonic() + PATIENCE
        while (turn := self.api.get(f"/turns/{turn_id}"))["status"] == "running":
            assert time.monotonic() < deadline, f"the turn never ended: {turn}"
            time.sleep(0.2)
        assert isinstance(turn, dict)
        return turn

    def idle(self, conversation: str) -> None:
        """Wait until no turn holds a conversation."""
        deadline = time.monotonic() + PATIENCE
        while self.api.get(conversation, messages=0)["active_turn_id"]:
            assert time.monotonic() < deadline, "the lease never expired"
            time.sleep(0.2)

    def history(self, conversation: str, order: str = "asc", limit: int = 100) -> list[dict[str, Any]]:
        """Return all messages, page by page."""
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.api.get(
                f"{conversation}/messages", limit=limit, order=order, **({"cursor": cursor} if cursor else {})
            )
            found += page["data"]
            cursor = page["next_cursor"]
            if not cursor:
                return found


def joined(events: Sequence[Event]) -> str:
    """Return the joined text of events."""
    return "".join(event.data["text"] for event in events if event.name == "message.delta")


def has_ended(event: Event) -> bool:
    """Whether an event is the last of its turn."""
    return event.name in ("turn.completed", "turn.failed", "turn.cancelled")


def in_one_order(messages: Sequence[dict[str, Any]]) -> None:
    """Check that messages have strictly increasing times and unique ids."""
    times = [message["created_at"] for message in messages]
    assert times == sorted(set(times)), "the times are not strictly increasing"
    assert len({message["id"] for message in messages}) == len(messages), "a message appears twice"


def agrees(turn: dict[str, Any], messages: Sequence[dict[str, Any]], text: str = WORDS) -> None:
    """Check that a turn's record and the messages agree: a whole answer, or none and a partial text in the record."""
    answers = [each for each in messages if each["turn_id"] == turn["id"] and each["sender"] == "agent"]
    if turn["status"] == "completed":
        assert [each["content"] for each in answers] == [text], "a completed turn has one whole answer"
        assert turn["partial_text"] is None
    else:
        assert not answers, f"half a turn is in the messages: {turn}"
        assert text.startswith(turn["partial_text"] or ""), "the partial text is not the answer's beginning"


def numbered(events: Sequence[Event], first: int = 1) -> None:
    """Check that events are numbered without gaps or repeats; the end of an orphaned turn may skip numbers."""
    numbers = [int(event.id) for event in events]
    before_end = numbers[:-1] if events and has_ended(events[-1]) else numbers
    assert before_end == list(range(first, first + len(before_end))), f"events are duplicated or missing: {numbers}"
    assert numbers == sorted(set(numbers)), f"events are out of order: {numbers}"
