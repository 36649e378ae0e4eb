"""How a conversation is shown: as an entry of a list, or in full."""

from typing import Any

from pydantic import Field

from bot.http.types import (
    AgentId,
    ConversationId,
    Json,
    MessageId,
    Moment,
    Parameters,
    TurnId,
    UserId,
    View,
)
from models.branch import BranchEntry
from models.conversation import ID_PREFIX, Conversation, ConversationStatus
from models.table.ids import moment_of


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
    """A conversation. `active_turn_id` is the turn that is running now.

    For a branch, `root_id` is the conversation that its tree began with, `parent_id` the one that it leaves, and
    `from_message_id` the last message that it continues, null if it begins anew; the counters do not include what came
    before. For a root, `active_branch_id` is the branch that was continued last, null if that was the root itself.
    """

    metadata: dict[str, Json]
    message_count: int
    turn_count: int
    usage: ConversationUsage
    active_turn_id: TurnId | None
    root_id: ConversationId | None
    parent_id: ConversationId | None
    from_message_id: MessageId | None
    active_branch_id: ConversationId | None


class BranchView(View):
    """A branch of a conversation; read it, list its messages and continue it like a conversation, by its id."""

    id: ConversationId
    root_id: ConversationId
    parent_id: ConversationId
    from_message_id: MessageId | None = Field(
        description="The last message that it continues; null if it begins before the first one."
    )
    created_at: Moment


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
        "root_id": conversation.root_id,
        "parent_id": conversation.parent_id,
        "from_message_id": conversation.from_message_id,
        "active_branch_id": conversation.active_branch_id,
    }


def show_conversation(conversation: Conversation) -> ConversationView:
    """Return a conversation as the API shows one."""
    return ConversationView(**conversation_fields(conversation))


def show_branch(branch: BranchEntry) -> BranchView:
    """Return a branch as the API shows one."""
    return BranchView(
        id=branch.branch_id,
        root_id=branch.conversation_id,
        parent_id=branch.parent_id,
        from_message_id=branch.from_message_id,
        created_at=moment_of(branch.branch_id, ID_PREFIX),
    )
