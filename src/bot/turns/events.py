"""The events of a turn, in order: one start, deltas, one end. Each has an id, whose number counts from 1."""

from dataclasses import dataclass

from bot.errors import BotError
from models.message import Message
from models.turn import EventId, Turn

STARTED = EventId(1)


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The user's messages are stored, and the model is about to be asked."""

    turn_id: str
    conversation_id: str
    agent_id: str
    input: tuple[Message, ...]
    id: EventId = STARTED


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """The next piece of the answer's text."""

    text: str
    id: EventId


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """The next piece of the model's reasoning; its id is a part of the event before it, so texts have no gaps."""

    text: str
    id: EventId


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The end of the turn, once it is stored. `error` is what went wrong; None for a completed turn."""

    turn: Turn
    input: tuple[Message, ...]
    output: tuple[Message, ...]
    error: BotError | None = None

    @property
    def id(self) -> EventId:
        """The last event id of the turn."""
        return EventId(int(self.turn.last_event or 1))


TurnEvent = TurnStarted | AnswerDelta | ReasoningDelta | TurnEnded
