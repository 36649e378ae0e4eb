"""Audit: who did what to whose things, when, and from where. Never what was said, and never a secret.

An access pattern that changes who may do what writes the record in the transaction of the change itself, so that there
is neither a change without a record nor a record without a change. Who acts is set in `acting`, for each request and
for each command of the operator's.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from pynamodb.attributes import UnicodeAttribute

from models import clock
from models.attributes import JsonMapAttribute, TimestampAttribute
from models.ids import new_id
from models.keys import Key, KeyField
from models.table import Item, expiry, settings

ID_PREFIX = "evt"

Action = Literal[
    "signed_in",
    "key.created",
    "key.revoked",
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

log = logging.getLogger("models.audit")


@dataclass(frozen=True)
class Actor:
    """Who acts: a user's id, `operator` (a command) or `system`; with which key, in which request, from where."""

    actor_id: str = "system"
    key_id: str | None = None
    request_id: str | None = None
    address: str | None = None


acting: ContextVar[Actor] = ContextVar("acting", default=Actor())  # noqa: B039 - it cannot be changed


class AuditEvent(Item):
    """One thing that was done to a user's things. `details` are ids and names of fields, never their values.

    It lies in a partition of its own for each user: it outlives the user, until its TTL, so that a deletion can be
    accounted for.
    """

    ENTITY = "AuditEvent"

    PK = Key("AUDIT#{user_id}", hash_key=True)
    SK = Key("EVENT#{event_id}", range_key=True)

    user_id = KeyField()
    event_id = KeyField()
    action = UnicodeAttribute()
    actor_id = UnicodeAttribute()
    key_id = UnicodeAttribute(null=True)
    target_id = UnicodeAttribute(null=True)
    details = JsonMapAttribute(null=True)
    request_id = UnicodeAttribute(null=True)
    address = UnicodeAttribute(null=True)
    at = TimestampAttribute()


def event(
    user_id: str, action: Action, target_id: str | None = None, *, actor: Actor | None = None, **details: Any
) -> AuditEvent:
    """Return the record of something that is done now to a user's things, by whoever acts."""
    actor = actor or acting.get()
    moment = clock.now()
    return AuditEvent(
        user_id=user_id,
        event_id=new_id(ID_PREFIX, moment),
        action=action,
        actor_id=actor.actor_id,
        key_id=actor.key_id,
        target_id=target_id,
        details=details or None,
        request_id=actor.request_id,
        address=actor.address,
        at=moment,
        expires_at=expiry(moment + timedelta(days=settings().audit_days)),
    )


def tell(record: AuditEvent) -> None:
    """Write a record that has been stored to the log, too: one line, for where logs are searched."""
    fields = {
        "action": record.action,
        "user_id": record.user_id,
        "actor_id": record.actor_id,
        "key_id": record.key_id,
        "target_id": record.target_id,
        "request_id": record.request_id,
        "address": record.address,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    log.info("audit %s", " ".join(f"{name}={value}" for name, value in told.items()), extra={"audit": told})
