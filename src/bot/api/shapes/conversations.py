"""How a conversation is shown: as an entry of a list, or in full."""

from typing import Any

from bot.http.types import (
    AgentId,
    ConversationId,
    Json,
    Moment,
    Parameters,
    TurnId,
    UserId,
    View,
)
from models.conversation import Conversation, ConversationStatus


class ConversationEntry(View):
    """A conversation, as shown in a list. `last_active_at` is accurate to the minute here."""

    id: ConversationId
    user_id: UserId
    agent_id: AgentId
    title: str | None
    status: ConversationStatus
    started_at: Moment
    last_active_at: Moment


class ConversationUsage(View):
    """The tokens of all turns so far, as the providers counted them."""

    input_tokens: int
    output_tokens: int


class ConversationView(ConversationEntry):
    """A conversation. `active_turn_id` is the turn that is running now."""

    metadata: dict[str, Json]
    message_count: int
    turn_count: int
    usage: ConversationUsage
    active_turn_id: TurnId | None


class ConversationPath(Parameters):
    """Which conversation."""

    conversation_id: ConversationId


def entry_fields(conversation: Conversation) -> dict[str, Any]:
    """Return what a list shows of a conversation."""
    return {
        "id": conversation.conversation_id,
        "user_id": conversation.user_id,
        "agent_id": conversation.agent_id,
        "title": conversation.title,
        "status": conversation.status,
        "started_at": conversation.started_at,
        "last_active_at": conversation.last_active_at or conversation.listed_at,
    }


def conversation_fields(conversation: Conversation) -> dict[str, Any]:
    """Return what is shown of a single conversation."""
    return {
        **entry_fields(conversation),
        "metadata": conversation.metadata,
        "message_count": int(conversation.message_count),
        "turn_count": int(conversation.turn_count),
        "usage": ConversationUsage(
            input_tokens=int(conversation.input_tokens), output_tokens=int(conversation.output_tokens)
        ),
        "active_turn_id": conversation.lease_turn if conversation.leased() else None,
    }


def show_conversation(conversation: Conversation) -> ConversationView:
    """Return a conversation as the API shows one."""
    return ConversationView(**conversation_fields(conversation))
