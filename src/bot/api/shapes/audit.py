"""How a record of the audit trail is shown."""

from pydantic import Field

from bot.http.types import Json, KeyId, Moment, View
from models.audit import Action, AuditEvent


class EventView(View):
    """A record of the audit trail. It never contains a secret or the text of a message."""

    id: str
    action: Action
    actor_id: str = Field(description="A user's id; `operator` for a command on the server, `system` for the server.")
    key_id: KeyId | None = Field(description="The API key that was used, null for a token, `operator` or `system`.")
    target_id: str | None = Field(description="The id of the affected resource; for a sign-in, of the API key.")
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
