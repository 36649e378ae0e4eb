"""Writing the audit trail: each record is part of the transaction of the change that it records.

So there is neither a change without a record nor a record without a change. `acting` holds the current actor; each
request and each operator's command sets it.
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

# The logger's name is stable, because log searches use it.
log = logging.getLogger("models.audit")


@dataclass(frozen=True)
class Actor:
    """Who acts: a user's id, `operator` (a command) or `system`; also the key, the request and the IP address."""

    actor_id: str = "system"
    key_id: str | None = None
    request_id: str | None = None
    address: str | None = None


acting: ContextVar[Actor] = ContextVar("acting", default=Actor())  # noqa: B039 - it cannot be changed


def event(
    user_id: str, action: Action, target_id: str | None = None, *, actor: Actor | None = None, **details: Any
) -> AuditEvent:
    """Return the record of an action on a user's data, now and by the current actor unless `actor` is given."""
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
    """Add a record to the transaction of the change; it is logged once it is stored. Cost: as `create`.

    Raises:
        ItemTooLarge: its details do not fit in an item.
    """
    transaction.create("audit", made)
    transaction.on_commit(partial(log_event, made))


def log_event(made: AuditEvent) -> None:
    """Log a stored record as one line, so that it can be found in log searches."""
    fields = {
        "action": made.action,
        "user_id": made.user_id,
        "actor_id": made.actor_id,
        "key_id": made.key_id,
        "target_id": made.target_id,
        "request_id": made.request_id,
        "address": made.address,
    }
    known = {name: value for name, value in fields.items() if value is not None}
    log.info("audit %s", " ".join(f"{name}={value}" for name, value in known.items()), extra={"audit": known})
