"""The audit trail: what was done to a user's data. Most records are written by the patterns that make the change."""

from collections.abc import Mapping
from typing import Any, get_args

from pynamodb.exceptions import PutError

from models.access_patterns.audit_records import Actor, event, log_event
from models.access_patterns.declare import Budget, Request, access_pattern
from models.audit import Action, AuditEvent
from models.table.changes import condition_failed
from models.table.reading import Page, keys, query
from models.table.tenancy import UserId
from models.table.values import one_of


@access_pattern(
    "AP-90",
    "Record an audit event",
    question="Record that this was done to this user's data.",
    requests=(Request("PutItem", (AuditEvent,)),),
    budget=Budget(1, 0, 1, "a record of up to 1 KB"),
    routes=("GET /api/v1/users/{user_id}/export",),
)
def record_event(
    user_id: UserId,
    action: Action,
    target: str | None = None,
    details: Mapping[str, Any] | None = None,
    *,
    actor: Actor | None = None,
) -> AuditEvent:
    """Store an audit record of an action that has no transaction of its own.

    Args:
        user_id: the user whose data was affected.
        action: what was done.
        target: the id of what was changed.
        details: ids and field names, never the fields' values.
        actor: who did it; by default the current actor.

    Raises:
        InvalidValue: the action is unknown, or a detail is not JSON.
    """
    one_of("action", action, get_args(Action))
    made = event(user_id, action, target, actor=actor, **(details or {}))
    try:
        made.save(condition=AuditEvent.PK.does_not_exist())
    except PutError as error:
        # The id is unique to this call: it exists because an earlier attempt's acknowledgement was lost.
        if not condition_failed(error):
            raise
    log_event(made)
    return made


@access_pattern(
    "AP-91",
    "List a user's audit trail",
    question="What was done to my data, by whom, and from where?",
    requests=(
        Request(
            "Query",
            (AuditEvent,),
            sort_key="begins_with EVENT#",
            consistent=True,
            order="descending",
            page="1 to 1,000 and one more",
        ),
    ),
    budget=Budget(1, 5, 0, "a page of 50 records of 350 bytes"),
    routes=("GET /api/v1/audit", "GET /api/v1/users/{user_id}/audit", "GET /api/v1/users/{user_id}/export"),
)
def list_events(user_id: UserId, limit: int, after: str | None = None) -> Page[AuditEvent]:
    """Return a user's audit records, newest first, starting after the id `after`.

    They are kept for the deployment's audit retention, even after the user was deleted.
    """
    return query(
        AuditEvent.PK.template.render(user_id=user_id),
        AuditEvent.SK.startswith(AuditEvent.SK.template.prefix),
        limit=limit,
        after=keys(AuditEvent.from_key(user_id=user_id, event_id=after)) if after else None,
        descending=True,
        consistent=True,
    )
