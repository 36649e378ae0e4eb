"""Shared conversations: what anyone with a share link can read, without a credential."""

from datetime import datetime
from typing import Any

from flask import Response
from pydantic import Field

from bot.access.share_tokens import hash_of_token
from bot.api.shapes.share_links import SharedConversationView, end_of, show_shared_message
from bot.errors import NotFound
from bot.http.blueprint import public_answers, public_resource
from bot.http.context import settings
from bot.http.paging import Listing
from bot.http.types import Parameters
from models.access_patterns.share_links import read_shared
from models.table.errors import ItemNotFound

_MAX_LIMIT = 100

api = public_resource("shared-conversations", "Conversations that are shared by link; no credential is needed.")


class SharedPath(Parameters):
    """Which link. Any text is accepted here, because a malformed token must answer like an unknown one."""

    token: str = Field(description="The link's token.")


class SharedQuery(Parameters):
    """How the messages are paged; anybody can ask, so pages are smaller than an owner's."""

    limit: int = Field(50, ge=1, le=_MAX_LIMIT, description="The most messages to return.")
    cursor: str | None = Field(None, max_length=1024, description="The `next_cursor` of the previous page.")


@api.after_request
def _private(response: Response) -> Response:
    """Keep search engines away; all API answers already forbid caches, and referrers, which would have the token."""
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@api.get(
    "/shared-conversations/<token>",
    responses=public_answers({200: SharedConversationView}, 400, 404),
    summary="Read a shared conversation",
)
def read(path: SharedPath, query: SharedQuery) -> dict[str, Any]:
    """The title and the messages, oldest first.

    An unknown, expired or revoked link, one to a deleted conversation, and any link if the deployment does not allow
    them, all answer the same 404.
    """
    token_hash = hash_of_token(path.token) if settings().share_links else None
    if token_hash is None:
        raise _missing()
    listing = Listing("shared-conversations", query.cursor, link=token_hash)
    after = datetime.fromisoformat(listing.position[0]) if listing.position else None
    try:
        shared = read_shared(token_hash, query.limit, after)
    except ItemNotFound as error:
        raise _missing() from error
    page = listing.answer(shared.messages, show_shared_message, lambda message: [message.ts.isoformat()])
    found = SharedConversationView(title=shared.link.title, expires_at=end_of(shared.link), **page)
    return found.model_dump(mode="json")


def _missing() -> NotFound:
    return NotFound("There is no such shared conversation.")
