"""How the audit trail is written: by what it records, in the same transaction.

So there is neither a change without a record nor a record without a change. Who acts is set in `acting`, for each
request and for each command of the operator's.
"""

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from models.audit import ID_PREFIX, Action, AuditEvent
from models.table import clock
from models.table.connection import settings
from models.table.ids import new_id
from models.table.item import expiry
from models.table.writing import Transaction

# Where logs are searched, the trail has had this name from the beginning.
log = logging.getLogger("models.audit")


@dataclass(frozen=True)
class Actor:
    """Who acts: a user's id, `operator` (a command) or `system`; with which key, in which request, from where."""

    actor_id: str = "system"
    key_id: str | None = None
    request_id: str | None = None
    address: str | None = None


acting: ContextVar[Actor] = ContextVar("acting", default=Actor())  # noqa: B039 - it cannot be changed


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


def record(transaction: Transaction, made: AuditEvent) -> None:
    """Add a record to the transaction of what it records; the log tells it once it is stored. Cost: as `create`.

    Raises:
        ItemTooLarge: its details do not fit in an item.
    """
    transaction.create("audit", made)
    transaction.then(partial(tell, made))


def tell(made: AuditEvent) -> None:
    """Write a record that has been stored to the log, too: one line, for where logs are searched."""
    fields = {
        "action": made.action,
        "user_id": made.user_id,
        "actor_id": made.actor_id,
        "key_id": made.key_id,
        "target_id": made.target_id,
        "request_id": made.request_id,
        "address": made.address,
    }
    told = {name: value for name, value in fields.items() if value is not None}
    log.info("audit %s", " ".join(f"{name}={value}" for name, value in told.items()), extra={"audit": told})
