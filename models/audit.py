"""AuditEvent: who did what to whose data, when, and from where. Never message content, and never a secret."""

from typing import Literal

from models.table.attributes import JsonMapAttribute, TextAttribute, TimestampAttribute
from models.table.item import Item
from models.table.keys import Key, KeyField

ID_PREFIX = "evt"

Action = Literal[
    "signed_in",
    "key.created",
    "key.revoked",
    "link.created",
    "link.revoked",
    "agent.shared",
    "agent.unshared",
    "agent.published",
    "agent.withdrawn",
    "agent.credentials_lent",
    "agent.credentials_kept",
    "credentials.changed",
    "credentials.rotated",
    "email.changed",
    "role.changed",
    "limits.changed",
    "conversation.deleted",
    "agent.deleted",
    "user.deleted",
    "data.exported",
]


class AuditEvent(Item):
    """An action on a user's data. `details` are ids and field names, never the fields' values.

    Each user's records have their own partition. They are kept until they expire even if the user is deleted, so that
    the deletion can be audited.
    """

    ENTITY = "AuditEvent"

    PK = Key("AUDIT#{user_id}", hash_key=True)
    SK = Key("EVENT#{event_id}", range_key=True)

    user_id = KeyField()
    event_id = KeyField()
    action = TextAttribute()
    actor_id = TextAttribute()
    key_id = TextAttribute(null=True)
    target_id = TextAttribute(null=True)
    details = JsonMapAttribute(null=True)
    request_id = TextAttribute(null=True)
    address = TextAttribute(null=True)
    at = TimestampAttribute()
