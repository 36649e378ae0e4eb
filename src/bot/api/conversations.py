"""Conversations: started, opened, listed by latest activity, renamed, archived, deleted."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from flask import Response
from pydantic import ConfigDict, Field

from bot.api.shapes.agents import AgentPath
from bot.api.shapes.conversations import (
    ConversationEntry,
    ConversationPath,
    ConversationView,
    conversation_fields,
    entry_fields,
    show_conversation,
)
from bot.api.shapes.erasures import DELETED, deleted
from bot.api.shapes.messages import MessageView, show_message
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.context import services
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import (
    AgentId,
    Body,
    ConversationId,
    JsonMap,
    PageQuery,
    Parameters,
    Title,
)
from models.access_patterns import conversations
from models.access_patterns.agents import get_agent
from models.access_patterns.branches import choose_branch
from models.access_patterns.conversations import Position
from models.access_patterns.sharing import get_shared_agent
from models.conversation import Conversation, ConversationStatus
from models.table.errors import ItemNotFound
from models.table.reading import Page
from models.table.side_by_side import both

api = resource("conversations", "Conversations between a user and an agent.")

NEWEST = 20


class ConversationCreate(Body):
    """A new conversation."""

    agent_id: AgentId
    title: Title | None = None
    metadata: JsonMap = Field(default_factory=dict)


_PATCHES: dict[str, Any] = {"if": {"required": ["active_branch_id"]}, "then": {"maxProperties": 1}}


class ConversationPatch(Body):
    """Changes to a conversation. In `metadata`, a name sent as null is removed; names that are not sent stay."""

    model_config = ConfigDict(json_schema_extra=_PATCHES)

    title: Title | None = None
    status: ConversationStatus | None = None
    metadata: JsonMap | None = None
    active_branch_id: ConversationId | None = Field(
        None,
        description="The branch in which the user goes on; null for the root itself. Only for a root, and only alone.",
    )


class OpenedConversation(ConversationView):
    """A conversation with its newest messages, oldest first. `has_more` says whether older ones exist."""

    messages: list[MessageView]
    has_more: bool


ConversationEntryList = list_of(ConversationEntry)


class OpenQuery(Parameters):
    """How much of the conversation to return."""

    messages: int = Field(NEWEST, ge=0, le=1000, description="How many of the newest messages to return.")


class ConversationQuery(PageQuery):
    """Which conversations."""

    status: ConversationStatus | None = None


def _list_entries(listing: Listing, read: Callable[[Position | None], Page[Conversation]]) -> dict[str, Any]:
    """Answer with a list of conversations; `read` reads the page after a position."""
    after = None
    if listing.position:
        after = Position(datetime.fromisoformat(listing.position[0]), listing.position[1])
    return listing.answer(
        read(after),
        lambda conversation: ConversationEntry(**entry_fields(conversation)),
        lambda conversation: [conversation.listed_at.isoformat(), conversation.conversation_id],
    )


def _list_with_agent(agent_id: str, query: PageQuery) -> dict[str, Any]:
    """Answer with the list of the caller's conversations with one agent."""
    return _list_entries(
        Listing("agent conversations", query.cursor, agent_id=agent_id),
        lambda after: conversations.list_agent_conversations(caller().user_id, agent_id, query.limit, after=after),
    )


@api.post(
    "/conversations", responses=answers({201: ConversationView}, 400, 404, 413, 415), summary="Start a conversation"
)
@repeatable()
def create(body: ConversationCreate) -> tuple[dict[str, Any], int]:
    """With one of the caller's agents, or one that is shared with the caller."""
    caller().check_agent(body.agent_id)
    start = partial(
        conversations.create_conversation,
        caller().user_id,
        body.agent_id,
        title=body.title,
        metadata=body.metadata,
        retention_days=services().settings.retention_days,
        once=once(_created),
    )
    try:
        conversation = start()
    except ItemNotFound as error:
        if error.what != "agent":
            raise
        conversation = start(owner_id=get_shared_agent(caller().user_id, body.agent_id).user_id)
    owner_id = conversation.agent_owner_id or conversation.user_id
    services().agent_cache.remember(conversation.conversation_id, owner_id, conversation.agent_id)
    return _created(conversation)


def _created(conversation: Conversation) -> tuple[dict[str, Any], int]:
    return show_conversation(conversation).model_dump(mode="json"), 201


@api.get("/conversations", responses=answers({200: ConversationEntryList}, 400), summary="List conversations")
def list_all(query: ConversationQuery) -> dict[str, Any]:
    """The caller's conversations, latest activity first; with one status, or all.

    With an API key for one agent, only those with that agent; `status` is refused there.
    """
    only = caller().agent_id
    if only is not None:
        if query.status is not None:
            problem = "cannot be used with an API key for one agent"
            raise ValidationFailed(f"status: {problem}", fields=(FieldError("status", problem),))
        return _list_with_agent(only, query)
    return _list_entries(
        Listing("conversations", query.cursor, status=query.status),
        lambda after: conversations.list_conversations(caller().user_id, query.limit, status=query.status, after=after),
    )


@api.get(
    "/agents/<agent_id>/conversations",
    responses=answers({200: ConversationEntryList}, 400, 404),
    summary="List an agent's conversations",
)
def list_agents_conversations(path: AgentPath, query: PageQuery) -> dict[str, Any]:
    """The caller's conversations with this agent, latest activity first; never other users', even for the owner."""
    user_id = caller().user_id

    def check() -> None:
        try:
            get_agent(user_id, path.agent_id)
        except ItemNotFound:
            get_shared_agent(user_id, path.agent_id)

    # The list reads only the caller's own partition of the index, so it need not wait for the check.
    return both(check, partial(_list_with_agent, path.agent_id, query))[1]


@api.get(
    "/conversations/<conversation_id>",
    responses=answers({200: OpenedConversation}, 404),
    summary="Open a conversation",
)
def read(path: ConversationPath, query: OpenQuery) -> dict[str, Any]:
    """Returns the conversation and its newest messages."""
    opened = conversations.open_conversation(caller().user_id, path.conversation_id, query.messages)
    return OpenedConversation(
        **conversation_fields(opened.conversation),
        messages=[show_message(message) for message in opened.messages],
        has_more=opened.more,
    ).model_dump(mode="json")


@api.patch(
    "/conversations/<conversation_id>",
    responses=answers({200: ConversationView}, 400, 404, 413, 415),
    summary="Rename, complete, archive or reopen a conversation",
)
def update(path: ConversationPath, body: ConversationPatch) -> dict[str, Any]:
    """Fields that are not sent stay unchanged; the position in the list does not change."""
    changes = body.model_dump(exclude_unset=True)
    if "active_branch_id" in changes:
        if len(changes) > 1:
            problem = "must be sent without other fields"
            raise ValidationFailed(f"active_branch_id: {problem}", fields=(FieldError("active_branch_id", problem),))
        chosen = choose_branch(caller().user_id, path.conversation_id, body.active_branch_id)
        return show_conversation(chosen).model_dump(mode="json")
    status = changes.pop("status", None)
    changes = {name: value for name, value in changes.items() if value is not None or name == "title"}
    user_id, conversation_id = caller().user_id, path.conversation_id
    if status is not None:
        conversation = conversations.set_conversation_status(user_id, conversation_id, status, changes)
    elif changes:
        conversation = conversations.update_conversation(user_id, conversation_id, changes)
    else:
        conversation = conversations.get_conversation(user_id, conversation_id)
    return show_conversation(conversation).model_dump(mode="json")


@api.delete("/conversations/<conversation_id>", responses=answers(DELETED, 404), summary="Delete a conversation")
def delete(path: ConversationPath) -> Response:
    """Also deletes its messages, its state, its turns and the branches that hang on it: all of them for a root.

    204 if everything is removed. 202 if that takes longer: it is unreachable at once; `Location` shows the progress.
    """
    user_id = caller().user_id
    return deleted(services().erasures.conversation(user_id, path.conversation_id, asked_by=user_id))
