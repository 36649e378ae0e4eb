"""The audit trail: what was done to a user's things. Most records are written by the patterns that do them."""

from collections.abc import Mapping
from typing import Any

from pynamodb.exceptions import PutError

from models.access_patterns.audit_records import Actor, event, tell
from models.access_patterns.declare import Budget, Request, access_pattern
from models.audit import Action, AuditEvent
from models.table.changes import condition_failed
from models.table.reading import Page, keys, query
from models.table.tenancy import UserId


@access_pattern(
    "AP-90",
    "Record an audit event",
    question="Keep that this was done to this user's things.",
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
    """Store a record of what has no transaction to be part of.

    Args:
        user_id: whose things.
        action: what was done.
        target: to which of them; an id.
        details: ids and names of fields, never their values.
        actor: by whom; by default, whoever acts at this moment.
    """
    made = event(user_id, action, target, actor=actor, **(details or {}))
    try:
        made.save(condition=AuditEvent.PK.does_not_exist())
    except PutError as error:
        # Nobody else makes this id: it is there because an earlier try, whose answer was lost, has written it.
        if not condition_failed(error):
            raise
    tell(made)
    return made


@access_pattern(
    "AP-91",
    "List a user's audit trail",
    question="What was done to my things, by whom, and from where?",
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
    """Return the records of what was done to a user's things, newest first, from the one after the id `after`.

    They are there for as long as the deployment keeps them, also when the user is not there any more.
    """
    return query(
        AuditEvent.PK.template.render(user_id=user_id),
        AuditEvent.SK.startswith(AuditEvent.SK.template.prefix),
        limit=limit,
        after=keys(AuditEvent.keyed(user_id=user_id, event_id=after)) if after else None,
        descending=True,
        consistent=True,
    )
