"""Turn: one run of an agent: its status, its tokens, and the partial text if it did not complete."""

from datetime import timedelta
from typing import Literal, NamedTuple

from pynamodb.attributes import BinaryAttribute

from models.table.attributes import (
    FlagAttribute,
    JsonAttribute,
    TextAttribute,
    TimestampAttribute,
    WholeNumberAttribute,
)
from models.table.item import Item
from models.table.keys import Key, KeyField

TurnEnd = Literal["completed", "failed", "cancelled", "interrupted"]
TurnStatus = Literal["running", "completed", "failed", "cancelled", "interrupted"]

ID_PREFIX = "turn"

EVENTS_KEPT = timedelta(hours=24)
"""How long the events of a turn can be replayed."""

MOST_UNSTORED = 1000
"""How many events a worker may have sent but not yet stored; the end of an orphaned turn is numbered after them, so
that no client mistakes it for an event it has already seen."""

UNKEPT_END = 2**31 - 1
"""The number of the end of an orphaned turn whose stream was not kept: nobody knows how many events were sent."""


class EventId(NamedTuple):
    """An event's place in its turn.

    Texts, like the turn's start and end, are numbered from 1, and have the part 0. Pieces of reasoning are parts, from
    1, of the event that they follow: a client that does not ask for reasoning sees numbers without a gap.
    """

    number: int
    part: int = 0

    def __str__(self) -> str:
        """Return the id as clients see it: `5`, or `5-2` for a piece of reasoning."""
        return f"{self.number}-{self.part}" if self.part else str(self.number)


class TurnEntry(Item):
    """Leads from a conversation to a turn that none of its messages names, so that both are deleted together."""

    ENTITY = "TurnEntry"

    PK = Key("CONV#{conversation_id}", hash_key=True)
    SK = Key("ENDED#{turn_id}", range_key=True)

    conversation_id = KeyField()
    turn_id = TextAttribute()


class TurnCount(Item):
    """The tokens that a turn used, for usage sums: kept when its record is deleted or expires. It has no content.

    A completion, of which nothing is stored, leaves only this.
    """

    ENTITY = "TurnCount"

    PK = Key("USER#{user_id}#TURNS", hash_key=True)
    SK = Key("COUNTED#{turn_id}", range_key=True)

    user_id = KeyField()
    turn_id = KeyField()
    agent_id = TextAttribute()
    model = TextAttribute(null=True)
    input_tokens = WholeNumberAttribute(null=True)
    output_tokens = WholeNumberAttribute(null=True)


class Turn(Item):
    """One run of an agent. Its key contains its owner, and ids sort by time: a user's turns of a day are one Query.

    A streamed or background turn is written as `running` when it begins; a plain one only when it ends, and while it
    runs, only the lease on its conversation's header exists.

    `error` has `code` and `detail`, and if the caller received them, `retry_after` and `extra`; `partial_text` is the
    text of an unfinished answer. `first_message_at` and `last_message_at` are the range of the turn's messages in the
    sort key; `last_event` is the number of the event that reported its end.

    `kept` says, of a turn that is written when it begins, whether its stream is stored while it runs. If it is not,
    `pieces` has the sizes of what was streamed (`models.access_patterns.pieces`), from its end on. `fence` is that of
    its lease: the turns of a conversation are numbered in the order in which they began.
    """

    ENTITY = "Turn"

    PK = Key("USER#{user_id}#TURNS", hash_key=True)
    SK = Key("TURN#{turn_id}", range_key=True)

    user_id = KeyField()
    turn_id = KeyField()
    conversation_id = TextAttribute()
    agent_id = TextAttribute()
    status = TextAttribute()
    provider = TextAttribute(null=True)
    model = TextAttribute(null=True)
    started_at = TimestampAttribute()
    ended_at = TimestampAttribute(null=True)
    first_message_at = TimestampAttribute(null=True)
    last_message_at = TimestampAttribute(null=True)
    last_event = WholeNumberAttribute(null=True)
    finish_reason = TextAttribute(null=True)
    input_tokens = WholeNumberAttribute(null=True)
    output_tokens = WholeNumberAttribute(null=True)
    error = JsonAttribute(null=True)
    partial_text = TextAttribute(null=True)
    fence = WholeNumberAttribute(null=True)
    kept = FlagAttribute(null=True)
    pieces = BinaryAttribute(legacy_encoding=False, null=True)

    def has_event(self, event: EventId) -> bool:
        """Whether the stored piece with this id belongs to the turn, as far as is known now.

        A worker that resumes after its turn was recorded as interrupted may still store pieces, which are no longer
        part of the turn. Reasoning that follows the last text of such a turn has that text's number: it is shown.
        """
        if self.status != "interrupted" or self.last_event is None:
            return True
        return event.number < int(self.last_event) - MOST_UNSTORED

    def as_counted(self) -> TurnCount:
        """Return the turn's count, for usage sums."""
        return TurnCount(
            user_id=self.user_id,
            turn_id=self.turn_id,
            agent_id=self.agent_id,
            model=self.model,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
        )

    def as_begun(self) -> "Turn":
        """Return the record as it was when the turn began."""
        return Turn(
            user_id=self.user_id,
            turn_id=self.turn_id,
            conversation_id=self.conversation_id,
            agent_id=self.agent_id,
            status="running",
            started_at=self.started_at,
            kept=self.kept,
        )


class TurnEvents(Item):
    """Some consecutive pieces of an answer's text, or of its reasoning, as they were streamed; `last` is the last one.

    The key contains the id of the last one, so "everything after N" is one key condition, however they are batched.
    """

    ENTITY = "TurnEvents"

    PK = Key("TURN#{turn_id}", hash_key=True)
    SK = Key("EVENT#{last}", range_key=True)

    turn_id = KeyField()
    last = KeyField()
    texts = JsonAttribute()

    @property
    def numbered(self) -> list[tuple[EventId, str]]:
        """Each piece with its id in the turn."""
        number, _, part = self.last.partition("-")
        last = EventId(int(number), int(part or 0))
        before = range(len(self.texts) - 1, -1, -1)
        if last.part:
            ids = [EventId(last.number, last.part - back) for back in before]
        else:
            ids = [EventId(last.number - back) for back in before]
        return list(zip(ids, self.texts, strict=True))


def event_key(event: EventId) -> str:
    """Return an event's id as it is stored in a key: with leading zeros, so that keys sort like ids."""
    return f"{event.number:010}-{event.part:010}" if event.part else f"{event.number:010}"
