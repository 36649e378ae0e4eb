"""Retention: how long the content of a conversation is kept, enforced by DynamoDB's TTL.

Each item (a message, a turn's record, a state value) expires a number of days after it was written. The header expires
with its newest item: each message extends the header's TTL in the update that counts the message. If a conversation
contains an item that never expires, its header never expires either. A root's header is kept as long as its branches'.

The number of days is stored on the header: the shorter of the deployment's and the agent's, as of the beginning of the
conversation or its last turn. So a change applies from the next turn on, and never to existing items.
"""

from datetime import datetime, timedelta

from models.conversation import Conversation
from models.table.item import expiry
from models.table.values import number_value

MAX_DAYS = 36_500
"""The longest retention: a hundred years."""


def shorter(*ends: int | None) -> int | None:
    """Return the shortest of several retention periods, or the earliest of several expiry times; None means never."""
    return min((each for each in ends if each is not None), default=None)


def later(*ends: float | None) -> int | None:
    """Return the latest of several expiry times; None means never."""
    return None if None in ends else max((int(each) for each in ends if each is not None), default=None)


def checked_days(days: int | None) -> int | None:
    """Return a retention period in days after checking it; None means that nothing expires.

    Raises:
        InvalidValue: it is not a whole number from 1 to 36,500.
    """
    return None if days is None else number_value("retention_days", days, 1, MAX_DAYS)


def expires_after(conversation: Conversation, moment: datetime) -> int | None:
    """Return when an item written in a conversation at `moment` expires, in epoch seconds; None means never."""
    if conversation.retention_days is None:
        return None
    return expiry(moment + timedelta(days=int(conversation.retention_days)))


def header_expires(conversation: Conversation, moment: datetime) -> int | None:
    """Return when a conversation's header expires after a write at `moment`, in epoch seconds; None means never.

    A root's header is kept as long as its branches, even if it has no messages itself.
    """
    end = expires_after(conversation, moment)
    if end is None or (conversation.expires_at is None and (conversation.message_count or conversation.branched)):
        return None
    return max(end, int(conversation.expires_at or 0))
