"""Errors of a conversation's lease and of beginning or completing a turn."""

from models.table.errors import TableError
from models.turn import Turn


class LeaseHeld(TableError):
    """Another turn holds the conversation's lease; `retry_after` is its maximum remaining time in seconds."""

    def __init__(self, turn_id: str, retry_after: float) -> None:
        """Take the running turn's id and the seconds until its lease expires."""
        super().__init__(f"Turn {turn_id} is running on this conversation.")
        self.turn_id = turn_id
        self.retry_after = retry_after


class LeaseExpired(TableError):
    """The lease of the conversation's turn has expired: its worker died. `reconcile_turn` frees the conversation."""

    def __init__(self, turn: Turn) -> None:
        """Take the orphaned `turn`."""
        super().__init__(f"The worker of turn {turn.turn_id} stopped before it ended.")
        self.turn = turn


class BeginUncertain(TableError):
    """DynamoDB did not confirm whether a turn began. No worker runs it; if it began, `reconcile_turn` frees it."""

    def __init__(self, turn: Turn, why: object) -> None:
        """Take the `turn` as it would have begun; `why` is for the log."""
        super().__init__(f"it is unknown whether turn {turn.turn_id} began: {why}")
        self.turn = turn


class CancelRequested(TableError):
    """The turn was cancelled before it could complete; nothing was written."""

    def __init__(self, turn_id: str) -> None:
        """Take the turn's id."""
        super().__init__(f"Turn {turn_id} has been cancelled; its end was not written.")
        self.turn_id = turn_id
