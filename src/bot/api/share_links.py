"""Share links of a conversation, for its owner: created and shown once, listed, revoked."""

from functools import partial
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from bot.access.keys import hash_of
from bot.access.share_tokens import new_token
from bot.api.shapes.conversations import ConversationPath
from bot.api.shapes.share_links import LinkId, LinkView, NewLinkView, link_fields, show_link
from bot.errors import ShareLinksDisabled
from bot.http.blueprint import answers, resource
from bot.http.context import settings
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import WHOLE, Body, ConversationId, MessageId, PageQuery, Parameters
from models.access_patterns.share_links import create_share_link, list_share_links, revoke_share_link
from models.share_link import DEFAULT_DAYS, MAX_DAYS, ShareLinkEntry

api = resource("share-links", "Links with which anyone can read a conversation up to one message.")


class LinkCreate(Body):
    """A new link to the conversation."""

    up_to_message_id: MessageId | None = Field(
        None, description="The last message that the link shows; by default the newest. Later ones are never shown."
    )
    expires_in_days: Annotated[int, Field(ge=1, le=MAX_DAYS), WHOLE] = Field(
        DEFAULT_DAYS, description="When it expires. Retention can end it earlier."
    )


class LinkPath(Parameters):
    """Which link."""

    conversation_id: ConversationId
    link_id: LinkId


LinkViewList = list_of(LinkView)


@api.post(
    "/conversations/<conversation_id>/links",
    responses=answers({201: NewLinkView}, 400, 404, 413, 415),
    summary="Share a conversation by link",
)
@repeatable()
def create(path: ConversationPath, body: LinkCreate) -> tuple[dict[str, Any], int]:
    """The link shows the conversation as it is now, or up to a message; the token is shown only in this answer.

    Only if the deployment allows share links. 404 if there is no such message, or none at all yet.
    """
    if not settings().share_links:
        raise ShareLinksDisabled("This deployment does not allow share links; its operator can, with BOT_SHARE_LINKS.")
    token = new_token()
    created = partial(_created, token)
    entry = create_share_link(
        caller().user_id,
        path.conversation_id,
        token_hash=hash_of(token),
        up_to_message_id=body.up_to_message_id,
        days=body.expires_in_days,
        once=once(created),
    )
    return created(entry)


def _created(token: str, entry: ShareLinkEntry) -> tuple[dict[str, Any], int]:
    view = NewLinkView(**link_fields(entry), token=token, path=f"/api/v1/shared-conversations/{token}")
    return view.model_dump(mode="json"), 201


@api.get(
    "/conversations/<conversation_id>/links",
    responses=answers({200: LinkViewList}, 400, 404),
    summary="List share links",
)
def list_all(path: ConversationPath, query: PageQuery) -> dict[str, Any]:
    """The links to the conversation that have not expired, oldest first; without their tokens."""
    listing = Listing("share-links", query.cursor, conversation_id=path.conversation_id)
    after = listing.position[0] if listing.position else None
    page = list_share_links(caller().user_id, path.conversation_id, query.limit, after)
    return listing.answer(page, show_link, lambda entry: [entry.link_id])


@api.delete(
    "/conversations/<conversation_id>/links/<link_id>",
    responses=answers({204: None}, 404),
    summary="Revoke a share link",
)
def delete(path: LinkPath) -> Response:
    """Takes effect at once, also if the deployment no longer allows share links."""
    revoke_share_link(caller().user_id, path.conversation_id, path.link_id)
    return Response(status=204)
