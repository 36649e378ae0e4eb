"""Order as a property: batches stay together, times strictly increase, and cursors stay valid under concurrent changes.

Each scenario is generated from a seed, which is in the test's name, so that a failure can be reproduced.
"""

import random
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from models.access_patterns.messages import Draft, append_messages, delete_message, list_messages
from models.conversation import Conversation
from models.message import Message
from tests.factories import make_conversation
from tests.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("table")

STEPS = 60


@dataclass
class Reader:
    """Pages through a conversation in one direction, one page at a time."""

    conversation: Conversation
    descending: bool
    there_at_start: set[str]
    seen: list[Message] = field(default_factory=list)
    ended: bool = False

    def turn_page(self, limit: int) -> None:
        after: datetime | None = self.seen[-1].ts if self.seen else None
        if self.ended and self.descending:
            return
        page = list_messages(
            self.conversation.user_id,
            self.conversation.conversation_id,
            limit,
            descending=self.descending,
            after=after,
        )
        assert len(page.items) == limit or not page.more, "a page is full unless it is the last one"
        self.seen += page.items
        self.ended = not page.more


class Scenario:
    """A conversation, its expected content, and its readers."""

    def __init__(self, seed: int, clock: FakeClock) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.conversation = make_conversation()
        self.ids = (self.conversation.user_id, self.conversation.conversation_id)
        self.there: list[Message] = []
        self.deleted: set[str] = set()
        self.batches: list[list[str]] = []
        self.readers = [self.reader(descending=False)]

    def reader(self, *, descending: bool) -> Reader:
        return Reader(self.conversation, descending, {message.message_id for message in self.there})

    def step(self) -> None:
        # The clocks of hosts differ by minutes, either way.
        self.clock.advance(seconds=self.random.choice([-300, -1, 0, 0.000001, 1, 300]))
        act = self.random.choices([self.append, self.delete, self.read, self.begin_to_read], weights=[4, 2, 4, 1])[0]
        act()

    def append(self) -> None:
        number = self.random.choice([1, 1, 2, 5, 30])
        made = append_messages(*self.ids, [Draft("user", f"{each}") for each in range(number)])
        self.there += made
        self.batches.append([message.message_id for message in made])

    def delete(self) -> None:
        if self.there:
            # Sometimes the newest one: the next message must still sort after it.
            message = self.there.pop(self.random.choice([-1, self.random.randrange(len(self.there))]))
            delete_message(*self.ids, message.message_id)
            self.deleted.add(message.message_id)

    def read(self) -> None:
        self.random.choice(self.readers).turn_page(self.random.choice([1, 2, 7, 50]))

    def begin_to_read(self) -> None:
        self.readers.append(self.reader(descending=self.random.random() < 0.7))


@pytest.mark.parametrize("seed", range(8))
def test_every_reader_sees_one_order_without_gaps_or_repeats(seed: int, fake_clock: FakeClock) -> None:
    scenario = Scenario(seed, fake_clock)
    for _ in range(STEPS):
        scenario.step()
    for reader in scenario.readers:
        reader.ended = reader.ended and reader.descending
        while not reader.ended:
            reader.turn_page(50)

    stored = list_messages(*scenario.ids, 1000).items
    assert [message.message_id for message in stored] == [message.message_id for message in scenario.there]
    times = [message.ts for message in stored]
    assert times == sorted(set(times)), "times strictly increase"
    order = {message.message_id: position for position, message in enumerate(stored)}
    for batch in scenario.batches:
        places = [order[each] for each in batch if each in order]
        assert places == list(range(places[0], places[0] + len(places))) if places else True, "a batch stays together"
    for reader in scenario.readers:
        ids = [message.message_id for message in reader.seen]
        moments = [message.ts for message in reader.seen]
        assert moments == sorted(set(moments), reverse=reader.descending), "one order, nothing twice"
        kept = reader.there_at_start if reader.descending else order.keys()
        assert kept - scenario.deleted <= set(ids), "nothing that stayed is missed"
