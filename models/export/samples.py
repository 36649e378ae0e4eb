"""Sample items: two people, an agent and a conversation, as the models themselves would store them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
from models.audit import AuditEvent
from models.branch import BranchEntry
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure, PendingErasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity, identity_hash
from models.message import Message, MessageReasoning
from models.request_count import RequestCount
from models.share import AgentGrant, PublishedAgent
from models.share_link import ShareLink, ShareLinkEntry
from models.state import ConversationState, UserState
from models.table.item import Item
from models.turn import EventId, Turn, TurnCount, TurnEntry, TurnEvents, event_key
from models.user import EmailClaim, User

DynamoItem = Mapping[str, Mapping[str, Any]]

_DAY = datetime(2030, 1, 7, 9, 0, tzinfo=UTC)
ANN, BEN = "usr_01ann", "usr_02ben"
AGENT, SECOND_AGENT = "agt_01guide", "agt_02cook"
CONVERSATION, ANOTHER = "conv_01lisbon", "conv_02soup"
ANSWERED, FAILED = "turn_01answered", "turn_02failed"
ERASURE = "era_01ben"
FINGERPRINT = "0b14d501a594442a01c6859541bcb3e8164d183d32937b851835442f69d5c94e"
KEY = "5e884898da28047151d0e56f8dc62927"
LINK = "c1e0b2f59a6b8d1c5ad2f0c0a56e7d3f"


def _at(**passed: float) -> datetime:
    return _DAY + timedelta(**passed)


def _user(user_id: str, name: str, email: str, role: str) -> list[Item]:
    user = User(
        user_id=user_id,
        email=email,
        name=name,
        role=role,
        preferences={"language": "en"},
        created_at=_DAY,
        updated_at=_DAY,
        last_active_at=_at(hours=1),
    )
    return [user, EmailClaim(email=email, user_id=user_id)]


def _agent(agent_id: str, name: str, system_message: str, **more: Any) -> Agent:
    return Agent(
        user_id=ANN,
        agent_id=agent_id,
        name=name,
        provider="openai",
        model="gpt-6-luna",
        system_message=system_message,
        settings={"temperature": 0.3},
        created_at=_DAY,
        updated_at=_DAY,
        **more,
    )


def _message(minutes: float, message_id: str, sender: str, role: str, content: str, **more: Any) -> Message:
    return Message(
        conversation_id=CONVERSATION,
        ts=_at(minutes=minutes),
        message_id=message_id,
        sender=sender,
        role=role,
        content=content,
        **more,
    )


def _conversation(conversation_id: str, agent_id: str, title: str, status: str, minutes: float, **more: Any) -> Item:
    return Conversation(
        conversation_id=conversation_id,
        listed_at=_at(minutes=minutes),
        user_id=ANN,
        agent_id=agent_id,
        title=title,
        status=status,
        started_at=_DAY,
        last_active_at=_at(minutes=minutes),
        **more,
    )


def _turn(turn_id: str, status: str, minutes: float, **more: Any) -> Turn:
    return Turn(
        turn_id=turn_id,
        user_id=ANN,
        conversation_id=CONVERSATION,
        agent_id=AGENT,
        status=status,
        provider="openai",
        model="gpt-6-luna",
        started_at=_at(minutes=minutes),
        ended_at=_at(minutes=minutes, seconds=4),
        **more,
    )


@cache
def samples() -> tuple[Item, ...]:
    """Return the sample items, sorted by their keys."""
    made: list[Item] = [
        *_user(ANN, "Ann", "ann@example.com", "admin"),
        *_user(BEN, "Ben", "ben@example.com", "user"),
        _agent(AGENT, "Guide", "You are a friendly guide."),
        _agent(SECOND_AGENT, "Cook", "You cook with what is there.", published=True, shared_with={BEN}),
        AgentGrant(user_id=BEN, agent_id=SECOND_AGENT, owner_id=ANN, created_at=_DAY),
        AuditEvent(
            user_id=ANN,
            event_id="evt_01shared",
            action="agent.shared",
            actor_id=ANN,
            key_id="key_01laptop",
            target_id=SECOND_AGENT,
            details={"shared_with": BEN},
            request_id="req_01",
            address="203.0.113.7",
            at=_DAY,
            expires_at=int(_at(days=365).timestamp()),
        ),
        PublishedAgent(agent_id=SECOND_AGENT, owner_id=ANN, created_at=_DAY),
        Identity(
            identity_hash=identity_hash("https://auth.example.com", "auth0|ben"),
            user_id=BEN,
            issuer="https://auth.example.com",
            subject="auth0|ben",
            created_at=_DAY,
        ),
        ApiKey(key_hash=KEY, key_id="key_01laptop", user_id=ANN, role="admin"),
        ApiKeyEntry(
            user_id=ANN,
            key_id="key_01laptop",
            key_hash=KEY,
            name="laptop",
            hint="x7Qa",
            created_at=_DAY,
            last_used_at=_at(hours=1),
        ),
        RequestCount(
            user_id=ANN, minute="2030-01-07T09:05", who="user", requests=12, expires_at=int(_at(minutes=15).timestamp())
        ),
        Allowance(user_id=ANN, limits={"tokens_per_day": 50_000}, tokens={"2030-01": 1640, "2030-01-07": 1640}),
        UserState(
            user_id=ANN, kind="application", key="theme", value="dark", version=3, created_at=_DAY, updated_at=_DAY
        ),
        _conversation(
            CONVERSATION,
            AGENT,
            "A journey to Lisbon",
            "active",
            5,
            last_message_at=_at(minutes=5),
            linked=True,
            message_count=3,
            turn_count=2,
            input_tokens=1410,
            output_tokens=230,
            fence=2,
        ),
        _conversation(ANOTHER, SECOND_AGENT, "Soup", "completed", 3),
        ConversationState(
            conversation_id=CONVERSATION,
            kind="session",
            key="trip",
            value={"to": "Lisbon", "nights": 4},
            version=1,
            created_at=_DAY,
            updated_at=_DAY,
            expires_at=int(_at(days=30).timestamp()),
        ),
        _message(1, "msg_01", "user", "user", "What should we see in Lisbon?", turn_id=ANSWERED),
        _message(
            1.1,
            "msg_02",
            "agent",
            "assistant",
            "The castle, early.",
            turn_id=ANSWERED,
            llm_response_id="resp_01",
            reasoned=True,
        ),
        MessageReasoning(
            conversation_id=CONVERSATION, ts=_at(minutes=1.1), text="They travel with children: something short."
        ),
        _message(5, "msg_03", "user", "user", "And in the evening?", turn_id=FAILED),
        _turn(
            ANSWERED,
            "completed",
            1,
            finish_reason="stop",
            input_tokens=1410,
            output_tokens=230,
            first_message_at=_at(minutes=1),
            last_message_at=_at(minutes=1.1),
            last_event=5,
            fence=1,
            kept=True,
        ),
        TurnEvents(
            turn_id=ANSWERED,
            last=event_key(EventId(4)),
            texts=["The castle", ", ", "early."],
            expires_at=int(_at(days=1).timestamp()),
        ),
        _turn(
            FAILED,
            "failed",
            5,
            first_message_at=_at(minutes=5),
            last_event=4,
            fence=2,
            partial_text="In the evening you",
            error={"code": "provider_incomplete", "detail": "The model provider's answer was cut off."},
        ),
        TurnEntry(conversation_id=CONVERSATION, turn_id=FAILED),
        TurnCount(
            user_id=ANN,
            turn_id="turn_00deleted",
            agent_id=AGENT,
            model="gpt-6-luna",
            input_tokens=1804,
            output_tokens=96,
        ),
        IdempotencyRecord(
            user_id=ANN,
            fingerprint=FINGERPRINT,
            body_hash="8c2574892063f995fdf756bce07f46c1a5193e54cd52837ed91e32008ccf41ac",
            effect_id=ANSWERED,
            created_at=_at(minutes=1),
            expires_at=int(_at(days=1, minutes=1).timestamp()),
        ),
        ConversationEntry(user_id=ANN, agent_id=AGENT, conversation_id=CONVERSATION),
        ConversationEntry(user_id=ANN, agent_id=SECOND_AGENT, conversation_id=ANOTHER),
        BranchEntry(
            conversation_id=CONVERSATION,
            parent_id=CONVERSATION,
            left_at=_at(minutes=1.1),
            branch_id="conv_03porto",
            from_message_id="msg_02",
        ),
        ShareLink(
            token_hash=LINK,
            link_id="lnk_01lisbon",
            user_id=ANN,
            tree=[CONVERSATION],
            title="A journey to Lisbon",
            until=_at(minutes=1.1),
            expires_at=int(_at(days=30, minutes=10).timestamp()),
        ),
        ShareLinkEntry(
            conversation_id=CONVERSATION,
            link_id="lnk_01lisbon",
            token_hash=LINK,
            until=_at(minutes=1.1),
            created_at=_at(minutes=10),
            expires_at=int(_at(days=30, minutes=10).timestamp()),
        ),
        Erasure(
            erasure_id=ERASURE,
            user_id=BEN,
            kind="user",
            target_id=BEN,
            asked_by=ANN,
            asked_at=_at(hours=2),
            removed={"Message": 300, "Turn": 140},
            counted=["conv_03old", "MSG#2030-01-06T09:00:00.000000Z"],
            worker="worker_01",
            lease_expires_at=_at(hours=2, seconds=30),
        ),
        PendingErasure(erasure_id=ERASURE),
    ]
    return tuple(sorted(made, key=lambda item: (item.PK, item.SK)))


def sample_of(entity: type[Item]) -> Item:
    """Return the first sample of an entity.

    Raises:
        LookupError: there is none.
    """
    for item in samples():
        if type(item) is entity:
            return item
    raise LookupError(f"{entity.ENTITY} has no sample item in models/export/samples.py")


def stored(item: Item) -> DynamoItem:
    """Return an item as it is in the table, keys first."""
    raw: dict[str, Any] = dict(item.serialize())
    first = {name: raw.pop(name) for name in ("PK", "SK")}
    return {**first, **dict(sorted(raw.items()))}
