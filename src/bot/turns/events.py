"""What happens in a turn, in the order in which it happens: one start, deltas, one end; `sequence` counts from 1."""

from dataclasses import dataclass

from bot.errors import BotError
from models.message import Message
from models.turn import Turn


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The user's messages are stored, and the model is about to be asked."""

    turn_id: str
    conversation_id: str
    agent_id: str
    input: tuple[Message, ...]
    sequence: int = 1


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """The next piece of the answer's text."""

    text: str
    sequence: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """How the turn ended, after that was stored. `error` says what went wrong, None for a completed turn."""

    turn: Turn
    input: tuple[Message, ...]
    output: tuple[Message, ...]
    error: BotError | None = None

    @property
    def sequence(self) -> int:
        """The last one of the turn."""
        return int(self.turn.last_event or 1)


TurnEvent = TurnStarted | AnswerDelta | TurnEnded
