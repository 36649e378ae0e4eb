"""How a record of the audit trail is shown."""

from pydantic import Field

from bot.http.types import Json, KeyId, Moment, View
from models.audit import Action, AuditEvent


class EventView(View):
    """Something that was done. It never holds a secret, nor anything that was said."""

    id: str
    action: Action
    actor_id: str = Field(description="A user's id; `operator` for a command on the server, `system` for the server.")
    key_id: KeyId | None = Field(description="The API key with which it was done.")
    target_id: str | None = Field(description="To what it was done.")
    details: dict[str, Json]
    request_id: str | None
    address: str | None
    at: Moment


def show_event(event: AuditEvent) -> EventView:
    """Return a record as the API shows one."""
    return EventView(
        id=event.event_id,
        action=event.action,
        actor_id=event.actor_id,
        key_id=event.key_id,
        target_id=event.target_id,
        details=event.details or {},
        request_id=event.request_id,
        address=event.address,
        at=event.at,
    )
