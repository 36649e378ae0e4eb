"""Retention: how long what is written in a conversation is kept, through DynamoDB's TTL.

Each item expires so many days after it was written: a message, a turn's record, a value of state. The header expires
when its newest item does, and moves on with each message, in the update that is made anyway. A conversation that holds
something without an end has a header without an end.

The number of days stands on the header: the shorter of the deployment's and the agent's, as it was when the
conversation or its last turn began. So a change applies to what is written from the next turn on, and to nothing that
is there.
"""

from datetime import datetime, timedelta

from pynamodb.expressions.update import Action

from models.conversation import Conversation
from models.table.changes import set_or_remove
from models.table.item import expiry


def shorter(*ends: int | None) -> int | None:
    """Return the shortest of some retentions, or the first of some ends; None is without an end."""
    return min((each for each in ends if each is not None), default=None)


def retain(conversation: Conversation, days: int | None) -> list[Action]:
    """Let a retention apply to what is written in a conversation from now on; return the actions that say so."""
    if days == conversation.retention_days:
        return []
    conversation.retention_days = days
    return [set_or_remove(Conversation.retention_days, days)]


def expires_after(conversation: Conversation, moment: datetime) -> int | None:
    """Return when what is written in a conversation at `moment` expires, as the TTL attribute wants it."""
    if conversation.retention_days is None:
        return None
    return expiry(moment + timedelta(days=int(conversation.retention_days)))


def header_expires(conversation: Conversation, moment: datetime) -> int | None:
    """Return when a conversation's header expires after something was written at `moment`."""
    end = expires_after(conversation, moment)
    if end is None or (conversation.expires_at is None and conversation.message_count):
        return None
    return max(end, int(conversation.expires_at or 0))
