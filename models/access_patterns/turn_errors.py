"""What can go wrong between two turns of a conversation, or between a turn and its worker."""

from models.table.errors import TableError
from models.turn import Turn


class LeaseHeld(TableError):
    """Another turn holds the conversation's lease; `retry_after` is the most it can still last, in seconds."""

    def __init__(self, turn_id: str, retry_after: float) -> None:
        """Carry the running turn's id and the seconds until its lease would expire."""
        super().__init__(f"Turn {turn_id} is running on this conversation.")
        self.turn_id = turn_id
        self.retry_after = retry_after


class LeaseExpired(TableError):
    """The worker of the conversation's turn is gone: its lease has run out. `reconcile_turn` frees the conversation."""

    def __init__(self, turn: Turn) -> None:
        """Carry the `turn` that was left behind."""
        super().__init__(f"The worker of turn {turn.turn_id} stopped before it ended.")
        self.turn = turn


class BeginUncertain(TableError):
    """DynamoDB did not say whether a turn began. Nobody runs it: if it did, `reconcile_turn` frees its conversation."""

    def __init__(self, turn: Turn, why: object) -> None:
        """Carry the `turn` as it would have begun; `why` is for the log."""
        super().__init__(f"nobody knows whether turn {turn.turn_id} began: {why}")
        self.turn = turn


class CancelRequested(TableError):
    """The turn that was about to complete has been cancelled; nothing was written."""

    def __init__(self, turn_id: str) -> None:
        """Carry the turn's id."""
        super().__init__(f"Turn {turn_id} has been cancelled; its end was not written.")
        self.turn_id = turn_id
