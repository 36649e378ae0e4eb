"""The removal of what is being deleted, as an access pattern: all that it may ask of the table, and its one function.

The modules beside this one implement it.
"""

from collections.abc import Callable

from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.erasure import Hold
from models.access_patterns.removal.progress import complete
from models.access_patterns.removal.steps import steps_of
from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
from models.conversation import Conversation, ConversationEntry
from models.erasure import Erasure, PendingErasure
from models.idempotency import IdempotencyRecord
from models.identity import Identity
from models.message import Message
from models.request_count import RequestCount
from models.share import AgentGrant, PublishedAgent
from models.state import ConversationState, UserState
from models.table import retries
from models.table.item import Item
from models.turn import Turn, TurnCount, TurnEntry, TurnEvents
from models.user import EmailClaim, User


def _query(*entities: type[Item], sort_key: str) -> Request:
    return Request("Query", entities, sort_key=sort_key, consistent=True, order="ascending", page="100", optional=True)


@access_pattern(
    "AP-73",
    "Continue an erasure",
    question="Remove what is still there of something that is being deleted.",
    requests=(
        _query(Message, ConversationState, TurnEntry, sort_key="SK < THREAD"),
        _query(ConversationEntry, sort_key="begins_with CONV# or CONV#{agent_id}#"),
        _query(ApiKeyEntry, sort_key="begins_with KEY#"),
        _query(Agent, Allowance, ConversationEntry, ApiKeyEntry, UserState, AgentGrant, sort_key="SK < PROFILE"),
        _query(TurnEvents, sort_key="begins_with EVENT#"),
        _query(Turn, sort_key="begins_with TURN#"),
        _query(TurnCount, sort_key="begins_with COUNTED#"),
        _query(IdempotencyRecord, sort_key="begins_with KEY#"),
        _query(RequestCount, sort_key="begins_with MINUTE#"),
        Request("BatchGetItem", (Turn,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(Write("ConditionCheck", User), Write("Put", TurnCount)),
            optional=True,
        ),
        Request("UpdateItem", (Conversation,), optional=True),
        Request("UpdateItem", (Agent,), optional=True),
        Request("UpdateItem", (Identity,), optional=True),
        Request("UpdateItem", (Erasure,), optional=True),
        Request(
            "BatchWriteItem",
            writes=tuple(
                Write("Delete", entity, optional=True)
                for entity in (
                    Message,
                    ConversationState,
                    TurnEntry,
                    Turn,
                    TurnCount,
                    TurnEvents,
                    Conversation,
                    ConversationEntry,
                    ApiKey,
                    ApiKeyEntry,
                    Agent,
                    UserState,
                    AgentGrant,
                    PublishedAgent,
                    Allowance,
                    IdempotencyRecord,
                    RequestCount,
                )
            ),
            optional=True,
        ),
        Request("GetItem", (Conversation,), consistent=True, optional=True),
        Request("GetItem", (Agent,), consistent=True, optional=True),
        Request("GetItem", (User,), consistent=True, optional=True),
        Request(
            "TransactWriteItems",
            writes=(
                *(
                    Write("Delete", entity, optional=True)
                    for entity in (Conversation, ConversationEntry, Agent, EmailClaim, User)
                ),
                Write("Update", Erasure),
                Write("Delete", PendingErasure),
            ),
        ),
    ),
    budget=Budget(
        9, 11, 44, "a conversation of 10 messages in 5 turns; grows with it, 100 items a page, 25 a delete", grows=True
    ),
    routes=(
        "DELETE /api/v1/conversations/{conversation_id}",
        "DELETE /api/v1/agents/{agent_id}",
        "DELETE /api/v1/users/{user_id}",
    ),
)
def erase(job: Erasure, hold: Hold, go_on: Callable[[Erasure], bool] | None = None) -> Erasure:
    """Remove what a job is for, to its end or until `go_on` says no; return the job as it is then.

    Args:
        job: the job, whose lease this worker has.
        hold: for how long the lease is renewed with each page.
        go_on: asked after each page, with what is removed so far.

    Raises:
        LeaseLost: another worker goes on with it.
        Contended: DynamoDB kept leaving something undone; the job can be gone on with later.
    """
    for _ in steps_of(job, hold):
        # Each page has its own time.
        retries.begin()
        if go_on is not None and not go_on(job):
            return job
    complete(job)
    return job
