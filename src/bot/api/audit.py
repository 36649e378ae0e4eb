"""The audit trail: what was done to a user's resources. Users read their own; administrators read any."""

from typing import Any

from bot.api.shapes.audit import EventView, show_event
from bot.api.shapes.users import UserPath, reachable
from bot.http.blueprint import answers, resource
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import PageQuery
from models.access_patterns.audit import list_events
from models.table.tenancy import UserId

api = resource("audit", "What was done to a user's resources, by whom, and from where.")


EventViewList = list_of(EventView)


@api.get("/audit", responses=answers({200: EventViewList}, 400), summary="Read your audit trail")
def list_own(query: PageQuery) -> dict[str, Any]:
    """The caller's own, newest first."""
    return _list(caller().user_id, query)


@api.get(
    "/users/<user_id>/audit", responses=answers({200: EventViewList}, 400, 404), summary="Read a user's audit trail"
)
def list_of_user(path: UserPath, query: PageQuery) -> dict[str, Any]:
    """`me` is the caller. An administrator may read any user's, even that of a deleted user."""
    return _list(reachable(path.user_id), query)


def _list(user_id: UserId, query: PageQuery) -> dict[str, Any]:
    listing = Listing("audit", query.cursor, user_id=user_id)
    after = listing.position[0] if listing.position else None
    return listing.answer(list_events(user_id, query.limit, after), show_event, lambda event: [event.event_id])
