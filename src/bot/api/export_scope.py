"""What of the table a user's export has, and what it leaves out, and why: each entity is in one of the two.

A test makes a user with an item of each entity and looks for them in the export; docs/erasure.md quotes the reasons.
"""

from collections.abc import Mapping

from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
from models.audit import AuditEvent
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure, PendingErasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.message import Message
from models.request_count import RequestCount
from models.share import AgentGrant, PublishedAgent
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
    Message: "message",
    Turn: "turn",
    TurnCount: "turn_count",
    AuditEvent: "audit_event",
}
"""The `type` of the lines that show an item of each entity."""

LEFT_OUT: Mapping[type[Item], str] = {
    ApiKey: "the hash of a key, which opens nothing and says nothing; the line of the key has the rest",
    EmailClaim: "keeps an email unique; the email is on the line of the user",
    ConversationEntry: "leads to a conversation, which has a line",
    TurnEntry: "leads to a turn, which has a line",
    PublishedAgent: "leads to an agent, whose line says that it is published",
    AgentGrant: "leads to somebody else's agent; their export says with whom it is shared",
    TurnEvents: "the pieces in which an answer was streamed, for a day; the text is in its message, or in its turn",
    Allowance: "the operator's limits, and sums of what the lines of turns say; `GET /api/v1/users/me/limits` shows it",
    RequestCount: "how many requests a minute had, for ten minutes",
    IdempotencyRecord: "hashes of requests, for a day, and sealed first answers to them; what they made has lines",
    Erasure: "a receipt: ids and counts of what is not there any more; the audit trail says what was deleted and when",
    PendingErasure: "says that an erasure goes on",
}
"""Why an entity has no lines."""
