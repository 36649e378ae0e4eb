"""Follows a conversation: polls its header, and reports what others do in it, from a position on.

docs/following.md describes the events, their order and their cost.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import groupby

from bot.stopping import stopping
from bot.turns.conversation_events import (
    Content,
    ConversationDeleted,
    ConversationEvent,
    Followed,
    MessageAdded,
    TurnDeleted,
)
from bot.turns.events import STARTED, AnswerDelta, ReasoningDelta, TurnStarted
from bot.turns.following import ended_event
from bot.turns.positions import Position
from bot.turns.streams import KEEP_ALIVE_SECONDS
from models.access_patterns.news import glance, read_news, silent_turns
from models.access_patterns.orphans import running_turn
from models.access_patterns.turn_events import streamed, turn_messages
from models.access_patterns.turn_states import get_turn, reconcile_turn
from models.conversation import Conversation
from models.message import Message
from models.table import clock
from models.table.errors import ItemNotFound
from models.table.tenancy import UserId
from models.turn import Turn

# How many seconds to wait before looking again: while a turn is streamed, and when nothing happens.
_STREAMED_PAUSE = 0.3
_PAUSE = 1.0
_LONGEST_PAUSE = 5.0
# A transaction's items become visible one after the other, within milliseconds.
_SETTLE_SECONDS = 0.1
_SETTLE_TRIES = 5


def follow_conversation(
    user_id: UserId, conversation_id: str, after: Position | None, *, reasoning: bool = False
) -> Iterator[ConversationEvent | None]:
    """Return the events of a conversation after a position, by default from now on; None is a keep-alive.

    A turn that is running counts as new unless the position is in it. The events end when the conversation is deleted,
    or when this process stops.

    Cost: AP-65 about once a second, after a few quiet minutes every 5 seconds. When something has happened: AP-66, and
    for each turn AP-53 and AP-58. While a turn is streamed: AP-65 and AP-57 about three times a second. AP-67 if a turn
    left no message, AP-54 if a worker died, AP-44 with `reasoning`.

    Raises:
        ItemNotFound: the user has no such conversation.
    """
    return _Follower(user_id, conversation_id, after, reasoning=reasoning).events()


class _Follower:
    """One client's view of a conversation."""

    def __init__(self, user_id: UserId, conversation_id: str, after: Position | None, *, reasoning: bool) -> None:
        self._user_id = user_id
        self._conversation_id = conversation_id
        self._reasoning = reasoning
        header = glance(user_id, conversation_id, consistent=True)
        self._first: Followed | None = None
        if after is None:
            after = Position(self._start(header))
            self._first = Followed(header.lease_turn if header.leased() else None)
        self._ts = after.ts
        self._fence = int(header.fence) if after.fence is None else after.fence
        if after.fence is None and header.lease_turn is not None:
            # The turn that is running is new.
            self._fence -= 1
        # The turn that has begun but not ended, for the client, and its last event.
        self._turn = self._known(after.turn_id, header) if after.turn_id else None
        self._event = after.event
        # What the header said when everything up to it had been reported.
        self._seen: object = None
        self._settled: object = None
        # Turns that left no message and are not reported yet, in order.
        self._silent: list[Turn] = []
        # Whether more messages are known to follow.
        self._more = False

    def _start(self, header: Conversation) -> datetime | None:
        """Return the moment after which everything is new: now, or just before the running turn began."""
        if header.lease_turn is None:
            return header.last_message_at
        turn = self._record(header.lease_turn, running=True) or running_turn(header)
        begun = self._input(turn, header)
        return begun[0].ts - clock.MICROSECOND if begun else header.last_message_at

    def _known(self, turn_id: str, header: Conversation) -> Turn | None:
        try:
            turn = get_turn(self._user_id, turn_id)
        except ItemNotFound:
            # Its record was deleted since, which the next look reports.
            return Turn(user_id=self._user_id, turn_id=turn_id, conversation_id=self._conversation_id)
        # A position of another conversation is of no use here.
        return turn if turn.conversation_id == header.conversation_id else None

    def events(self) -> Iterator[ConversationEvent | None]:
        """Yield what happens."""
        if self._first is not None:
            yield self._at(self._first)
        happened_at = sent_at = time.monotonic()
        while not stopping.is_set():
            try:
                for event in self._news():
                    yield event
                    happened_at = sent_at = time.monotonic()
            except ItemNotFound:
                yield self._at(ConversationDeleted())
                return
            now = time.monotonic()
            if now - sent_at >= KEEP_ALIVE_SECONDS:
                yield None
                sent_at = time.monotonic()
            stopping.wait(0 if self._more else self._pause(now - happened_at))

    def _pause(self, quiet: float) -> float:
        if self._turn is not None:
            return _STREAMED_PAUSE if self._turn.kept else _PAUSE
        # A minute of quiet is a second, five minutes are five.
        return min(max(quiet / 60, _PAUSE), _LONGEST_PAUSE)

    def _news(self) -> Iterator[ConversationEvent]:
        self._more = False
        if self._unchanged():
            yield from self._deltas()
            return
        news = read_news(self._user_id, self._conversation_id, self._ts)
        if news.header is not None and self._unsettled(news.header, news.messages):
            time.sleep(_SETTLE_SECONDS)
            self._settled = news.header.last_message_at
            news = read_news(self._user_id, self._conversation_id, self._ts)
        header = news.header
        if header is None:
            self._more, self._seen = True, None
            header = glance(self._user_id, self._conversation_id, consistent=True)
        self._find_silent(news.messages, header)
        yield from self._said(news.messages, header)
        if self._more:
            return
        if self._turn is not None and header.lease_turn != self._turn.turn_id:
            yield from self._end()
        if self._turn is None:
            yield from self._report_silent(len(self._silent))
            if header.lease_turn is not None:
                yield from self._begin(header.lease_turn, header, ())
            self._fence = max(self._fence, int(header.fence))
        yield from self._deltas()
        self._seen = _state(header)
        if self._turn is not None and not header.leased():
            # Its worker died. The next look finds its end.
            with suppress(ItemNotFound):
                reconcile_turn(self._turn)
            self._seen = None

    def _unchanged(self) -> bool:
        """Whether nothing but text was added since the last look."""
        if self._seen is None:
            return False
        try:
            header = glance(self._user_id, self._conversation_id)
        except ItemNotFound:
            return False
        running = header.lease_turn is None or header.leased()
        return running and _state(header) == self._seen

    def _unsettled(self, header: Conversation, messages: Sequence[Message]) -> bool:
        """Whether the header knows of a newer message, which was deleted, or is not visible yet."""
        newest = messages[-1].ts if messages else self._ts
        last = header.last_message_at
        return last is not None and (newest is None or last > newest) and last != self._settled

    def _said(self, messages: Sequence[Message], header: Conversation) -> Iterator[ConversationEvent]:
        """Report messages and the turns that they belong to."""
        for turn_id, group in groupby(messages, key=lambda message: message.turn_id):
            said = list(group)
            if turn_id is None:
                if self._ended_before(said[0], header):
                    yield from self._end()
                yield from self._added(said)
                continue
            if self._turn is None or self._turn.turn_id != turn_id:
                if self._turn is not None:
                    yield from self._end()
                begun = [message for message in said if message.sender != "agent"]
                yield from self._begin(turn_id, header, begun)
                if self._turn is None:
                    yield from self._added(said)
                    continue
            if any(message.sender == "agent" for message in said):
                yield from self._end(said[-1])
            self._ts = said[-1].ts

    def _ended_before(self, message: Message, header: Conversation) -> bool:
        """Whether the turn that is reported as running had ended when a message was added."""
        if self._turn is None or header.lease_turn == self._turn.turn_id:
            return False
        turn = self._record(self._turn.turn_id, running=False)
        return turn is None or turn.ended_at is None or turn.ended_at <= message.ts

    def _added(self, messages: Sequence[Message]) -> Iterator[ConversationEvent]:
        for message in messages:
            yield from self._report_silent(sum(turn.started_at < message.ts for turn in self._silent))
            self._ts = message.ts
            yield self._at(MessageAdded(message))

    def _begin(self, turn_id: str, header: Conversation, begun: Sequence[Message]) -> Iterator[ConversationEvent]:
        """Report that a turn began, if it has a record or runs."""
        turn = self._record(turn_id, running=header.lease_turn == turn_id)
        if turn is None and header.lease_turn == turn_id:
            turn = running_turn(header)
        if turn is None:
            return
        if turn.fence is not None:
            yield from self._report_silent(sum(int(each.fence) < int(turn.fence) for each in self._silent))
            self._fence = max(self._fence, int(turn.fence))
        if begun:
            self._ts = begun[-1].ts
        else:
            begun = self._input(turn, header)
        self._turn, self._event = turn, STARTED
        yield self._at(TurnStarted(turn_id, turn.conversation_id, turn.agent_id, tuple(begun)))

    def _input(self, turn: Turn, header: Conversation) -> list[Message]:
        """Return the messages that began a turn, for a client that starts after them."""
        if turn.status == "running" and turn.first_message_at is None and turn.kept is None:
            # A plain turn that runs has no record of its messages, but they are not older than its id.
            if header.last_message_at is None or header.last_message_at < turn.started_at:
                return []
            turn.first_message_at, turn.last_message_at = turn.started_at, header.last_message_at
        return [message for message in turn_messages(turn) if message.sender != "agent"]

    def _record(self, turn_id: str, *, running: bool) -> Turn | None:
        """Return a turn's record; that of an ended turn as soon as its end is visible."""
        turn = None
        for _ in range(1 if running else _SETTLE_TRIES):
            try:
                turn = get_turn(self._user_id, turn_id)
            except ItemNotFound:
                turn = None
            if running or (turn is not None and turn.status != "running"):
                return turn
            time.sleep(_SETTLE_SECONDS)
        return None

    def _end(self, last: Message | None = None) -> Iterator[ConversationEvent]:
        """Report the rest of a turn that has ended; `last` is its last message, if it stored an answer."""
        begun = self._turn
        if begun is None:
            return
        turn = self._record(begun.turn_id, running=False)
        if turn is None:
            self._turn = None
            yield self._at(TurnDeleted(), begun.turn_id)
            return
        self._turn = turn
        yield from self._deltas()
        self._turn = None
        if last is not None:
            self._ts = last.ts
        if turn.fence is not None:
            self._fence = max(self._fence, int(turn.fence))
        yield self._at(ended_event(turn, reasoning=self._reasoning), turn.turn_id)

    def _deltas(self) -> Iterator[ConversationEvent]:
        """Report what a turn has streamed since, if its stream is kept."""
        turn = self._turn
        if turn is None or not turn.kept:
            return
        for event, text in streamed(turn.turn_id, self._event):
            if not turn.has_event(event):
                return
            self._event = event
            if not event.part:
                yield self._at(AnswerDelta(text, event))
            elif self._reasoning:
                yield self._at(ReasoningDelta(text, event))

    def _find_silent(self, messages: Sequence[Message], header: Conversation) -> None:
        """Find the turns that began since and left no message, if some are missing among those that did."""
        reported = self._turn.turn_id if self._turn is not None else None
        known = {message.turn_id for message in messages} | {header.lease_turn}
        missing = range(self._fence + 1, int(header.fence) + 1)
        self._silent = []
        if len(missing) > len(known - {None, reported}):
            found = silent_turns(header, self._ts, missing)
            self._silent = [turn for turn in found if turn.turn_id not in known | {reported}]

    def _report_silent(self, count: int) -> Iterator[ConversationEvent]:
        """Report the first `count` turns that left no message."""
        for _ in range(count):
            if self._turn is not None:
                yield from self._end()
            turn = self._silent.pop(0)
            self._turn, self._event, self._fence = turn, STARTED, int(turn.fence)
            yield self._at(TurnStarted(turn.turn_id, turn.conversation_id, turn.agent_id, ()))
            yield from self._end()

    def _at(self, content: Content, turn_id: str | None = None) -> ConversationEvent:
        open_turn = self._turn.turn_id if self._turn is not None else None
        event = self._event if self._turn is not None else STARTED
        return ConversationEvent(content, turn_id or open_turn, Position(self._ts, self._fence, open_turn, event))


def _state(header: Conversation) -> object:
    return header.fence, header.lease_turn, header.last_message_at
