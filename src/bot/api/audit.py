"""The audit trail: what was done to a user's things. One's own for everybody, anybody's for an administrator."""

from typing import Any

from pydantic import Field

from bot.api.blueprint import answers, resource
from bot.api.paging import Listing, list_of
from bot.api.requests import caller
from bot.api.types import Json, KeyId, Moment, PageQuery, View
from bot.api.users import UserPath, reachable
from models.access_patterns.audit import list_events
from models.audit import Action, AuditEvent
from models.tenancy import UserId

api = resource("audit", "What was done to a user's things, by whom, and from where.")


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


EventViewList = list_of(EventView)


def show(event: AuditEvent) -> EventView:
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


@api.get("/audit", responses=answers({200: EventViewList}, 400), summary="Read one's own audit trail")
def list_own(query: PageQuery) -> dict[str, Any]:
    """The caller's, newest first."""
    return _list(caller().user_id, query)


@api.get(
    "/users/<user_id>/audit", responses=answers({200: EventViewList}, 400, 404), summary="Read a user's audit trail"
)
def list_of_user(path: UserPath, query: PageQuery) -> dict[str, Any]:
    """`me` is the caller; anybody's is for an administrator, also that of a user who was deleted."""
    return _list(reachable(path.user_id), query)


def _list(user_id: UserId, query: PageQuery) -> dict[str, Any]:
    listing = Listing("audit", query.cursor, user_id=user_id)
    after = listing.position[0] if listing.position else None
    return listing.answer(list_events(user_id, query.limit, after), show, lambda event: [event.event_id])
