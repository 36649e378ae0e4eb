"""Which entities a user's export contains, and which it leaves out, and why. Each entity is in one of the two.

A test creates a user with an item of each entity and checks the export; docs/erasure.md quotes the reasons.
"""

from collections.abc import Mapping

from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
from models.audit import AuditEvent
from models.branch import BranchEntry
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure, PendingErasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.message import Message, MessageReasoning
from models.request_count import RequestCount
from models.share import AgentGrant, PublishedAgent
from models.share_link import ShareLink, ShareLinkEntry
from models.state import ConversationState, UserState
from models.table.item import Item
from models.turn import Turn, TurnCount, TurnEntry, TurnEvents
from models.user import EmailClaim, User

EXPORTED: Mapping[type[Item], str] = {
    User: "user",
    Identity: "identity",
    ApiKeyEntry: "api_key",
    Agent: "agent",
    UserState: "user_state",
    Conversation: "conversation",
    ConversationState: "conversation_state",
    ShareLinkEntry: "share_link",
    Message: "message",
    Turn: "turn",
    TurnCount: "turn_count",
    AuditEvent: "audit_event",
}
"""The `type` of the lines that show an item of each entity."""

LEFT_OUT: Mapping[type[Item], str] = {
    ApiKey: "stored under the key's hash, which is useless to its reader; the key's line has everything else",
    ShareLink: "stored under the token's hash, which is useless to its reader; the link's line has everything else",
    EmailClaim: "keeps an email unique; the user's line has the email",
    ConversationEntry: "points to a conversation, which has its own line",
    BranchEntry: "points to a branch, which has its own line",
    TurnEntry: "points to a turn, which has its own line",
    MessageReasoning: "part of its message's line",
    PublishedAgent: "points to an agent, whose line says that it is published",
    AgentGrant: "points to another user's agent; the owner's export says with whom it is shared",
    TurnEvents: "the chunks of a stream, kept for a day; text is in its message or turn, reasoning with its message",
    Allowance: "the operator's limits, and totals of the turns' lines; `GET /api/v1/users/me/limits` shows it",
    RequestCount: "the number of requests in a minute, kept for ten minutes",
    IdempotencyRecord: "hashes of requests and encrypted first answers, kept for a day; what they created has lines",
    Erasure: "a receipt: ids and counts of deleted data; the audit trail says what was deleted and when",
    PendingErasure: "says that an erasure is in progress",
}
"""Why an entity has no lines."""
