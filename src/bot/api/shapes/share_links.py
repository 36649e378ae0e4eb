"""How a share link is shown to the conversation's owner, and the conversation to those who have the link."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from bot.api.shapes.messages import show_message
from bot.http.types import ConversationId, Json, Moment, View
from models.message import Message, MessageType, Sender
from models.share_link import ShareLink, ShareLinkEntry

LinkId = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="The link's id, for its owner; it opens nothing.",
        examples=["lnk_01k9zc3v9te8rbt8w4mhkt5m2x"],
    ),
]


class LinkView(View):
    """A share link. Its token is shown only when it is created."""

    id: LinkId
    conversation_id: ConversationId
    shows_until: Moment = Field(description="The time of the last message that it shows.")
    created_at: Moment
    expires_at: Moment


class NewLinkView(LinkView):
    """A share link that was just created. `token` and `path` are shown only this once."""

    token: str = Field(description="Whoever has it can read the conversation up to that message.")
    path: str = Field(description="Where it is read, without a credential.")


class SharedMessageView(View):
    """A message as a share link shows it: without ids, attributes and reasoning."""

    sender: Sender
    role: str = Field(description="The sender in the terms of model APIs: user, assistant, system, tool.")
    type: MessageType
    content: str | list[dict[str, Json]] | None = Field(description="Null if it is withheld or unavailable.")
    withheld: bool = Field(
        description="True for function calls, their results and system messages: only that there was one is shown."
    )
    unavailable: Literal["left_out", "unreachable", "lost"] | None = Field(
        description="Null unless a large text is unavailable. `left_out`: too large together with others, ask for a "
        "smaller page; `unreachable`: try again; `lost`: it is missing or damaged."
    )
    created_at: Moment


class SharedConversationView(View):
    """A page of a shared conversation, oldest message first."""

    title: str | None = Field(description="The conversation's title when it was shared.")
    expires_at: Moment = Field(description="When the link expires.")
    data: list[SharedMessageView] = Field(description="The messages; always `limit` of them, except on the last page.")
    next_cursor: str | None = Field(description="The cursor of the next page; null on the last one.")


def end_of(item: ShareLink | ShareLinkEntry) -> datetime:
    """Return when a link expires."""
    return datetime.fromtimestamp(int(item.expires_at), UTC)


def link_fields(entry: ShareLinkEntry) -> dict[str, Any]:
    """Return what is shown of every link."""
    return {
        "id": entry.link_id,
        "conversation_id": entry.conversation_id,
        "shows_until": entry.until,
        "created_at": entry.created_at,
        "expires_at": end_of(entry),
    }


def show_link(entry: ShareLinkEntry) -> LinkView:
    """Return a link as the API shows one to its owner."""
    return LinkView(**link_fields(entry))


def show_shared_message(message: Message) -> SharedMessageView:
    """Return a message as a link shows it. What is shown is listed here, so a new field of a message is not."""
    shown = show_message(message)
    withheld = message.sender not in ("user", "agent") or message.type not in ("text", "parts")
    return SharedMessageView(
        sender=shown.sender,
        role=shown.role,
        type=shown.type,
        content=None if withheld else shown.content,
        withheld=withheld,
        unavailable=shown.unavailable.code if shown.unavailable and not withheld else None,
        created_at=shown.created_at,
    )
