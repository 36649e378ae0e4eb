"""The events of a conversation: turns begin and end, messages are added, whichever process does it."""

from dataclasses import dataclass

from bot.turns.events import AnswerDelta, ReasoningDelta, TurnEnded, TurnStarted
from bot.turns.positions import Position
from models.message import Message


@dataclass(frozen=True, slots=True)
class Followed:
    """The client follows the conversation from here on; `active_turn_id` is running."""

    active_turn_id: str | None


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """A message was added without a turn, or its turn's record was deleted."""

    message: Message


@dataclass(frozen=True, slots=True)
class TurnDeleted:
    """The record of a turn was deleted with one of its messages, so nobody knows how it ended."""


@dataclass(frozen=True, slots=True)
class ConversationDeleted:
    """The conversation is gone; the last event."""


Content = (
    Followed | MessageAdded | TurnStarted | AnswerDelta | ReasoningDelta | TurnEnded | TurnDeleted | ConversationDeleted
)


@dataclass(frozen=True, slots=True)
class ConversationEvent:
    """What happened, the turn in which it did, and the position after it."""

    content: Content
    turn_id: str | None
    position: Position
