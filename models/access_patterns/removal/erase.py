"""The access pattern that removes everything that is being deleted: its declaration and its function.

The other modules of this package implement it.
"""

from collections.abc import Callable

from models.access_patterns.declare import Budget, Request, Write, access_pattern
from models.access_patterns.erasure import Hold
from models.access_patterns.removal.progress import complete, head_of
from models.access_patterns.removal.steps import steps_of
from models.agent import Agent
from models.allowance import Allowance
from models.api_key import ApiKey, ApiKeyEntry
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
from models.table import retries
from models.table.item import Item
from models.turn import Turn, TurnCount, TurnEntry, TurnEvents
from models.user import EmailClaim, User


def _query(*entities: type[Item], sort_key: str) -> Request:
    return Request("Query", entities, sort_key=sort_key, consistent=True, order="ascending", page="100", optional=True)


@access_pattern(
    "AP-73",
    "Continue an erasure",
    question="Remove what is left of something that is being deleted.",
    requests=(
        _query(
            BranchEntry,
            ShareLinkEntry,
            Message,
            MessageReasoning,
            ConversationState,
            TurnEntry,
            sort_key="SK < THREAD",
        ),
        _query(BranchEntry, sort_key="begins_with BRANCH#"),
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
        Request("UpdateItem", (BranchEntry,), optional=True),
        Request("UpdateItem", (Agent,), optional=True),
        Request("UpdateItem", (Identity,), optional=True),
        Request("UpdateItem", (Erasure,), optional=True),
        Request(
            "BatchWriteItem",
            writes=tuple(
                Write("Delete", entity, optional=True)
                for entity in (
                    Message,
                    MessageReasoning,
                    ConversationState,
                    TurnEntry,
                    Turn,
                    TurnCount,
                    TurnEvents,
                    Conversation,
                    ConversationEntry,
                    BranchEntry,
                    ShareLink,
                    ShareLinkEntry,
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
                    for entity in (Conversation, ConversationEntry, BranchEntry, Agent, EmailClaim, User)
                ),
                Write("Update", Erasure),
                Write("Delete", PendingErasure),
            ),
        ),
    ),
    budget=Budget(
        9,
        11,
        44,
        "a conversation of 10 messages in 5 turns; a larger one takes a Query for each 100 items and a BatchWriteItem "
        "for each 25",
        grows=True,
    ),
    routes=(
        "DELETE /api/v1/conversations/{conversation_id}",
        "DELETE /api/v1/agents/{agent_id}",
        "DELETE /api/v1/users/{user_id}",
    ),
)
def erase(job: Erasure, hold: Hold, go_on: Callable[[Erasure], bool] | None = None) -> Erasure:
    """Run a removal until it is complete or `go_on` returns False; return the job's latest state.

    Args:
        job: the job; this worker has its lease.
        hold: the lease, which is renewed with each page.
        go_on: called with the job after each page.

    Raises:
        LeaseLost: another worker has taken over the job.
        Contended: DynamoDB or the bucket kept leaving deletes undone; the job can be resumed later.
    """
    head = head_of(job)
    for _ in steps_of(job, hold, head):
        # Each page has its own time limit for retries.
        retries.begin()
        if go_on is not None and not go_on(job):
            return job
    complete(job, head)
    return job
