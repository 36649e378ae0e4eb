"""The reasoning behind messages, read only on request."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from models.access_patterns.declare import Budget, Request, access_pattern
from models.branch import MAX_HOPS
from models.message import Message, MessageReasoning
from models.table import clock
from models.table.long_text import load
from models.table.reading import MAX_LIMIT, query


@access_pattern(
    "AP-44",
    "Reasoning of messages",
    question="What did the model reason before it gave these answers?",
    requests=(
        Request(
            "Query",
            (MessageReasoning,),
            sort_key="between MESSAGE_REASONING#{ts} and MESSAGE_REASONING#{ts}",
            consistent=True,
            order="ascending",
            page="all in the range",
        ),
    ),
    budget=Budget(
        1,
        13,
        0,
        "25 answers, each with 2 KB of reasoning; no request if none has any, one more Query for each MB, and for each "
        "conversation on a branch's path",
        in_a_branch=MAX_HOPS,
    ),
    routes=(
        "GET /api/v1/conversations/{conversation_id}/messages?include=reasoning",
        "POST /api/v1/conversations/{conversation_id}/messages with a model server that requires the reasoning",
        "POST /api/v1/conversations/{conversation_id}/turns with a model server that requires the reasoning",
        "POST /api/v1/conversations/{conversation_id}/branches with a model server that requires the reasoning",
        "POST /api/v1/conversations/{conversation_id}/messages?include=reasoning with a repeated Idempotency-Key",
        "GET /api/v1/turns/{turn_id}/events?include=reasoning",
        "GET /api/v1/conversations/{conversation_id}/events?include=reasoning",
        "GET /api/v1/users/{user_id}/export",
    ),
)
def read_reasoning(messages: Iterable[Message]) -> None:
    """Set `reasoning` of the messages that have some and are not loaded with it yet.

    Cost: 1 Query for each conversation that the messages are in; a branch continues others.

    It does not check the owner: the messages were already read for that user. As with messages, one call returns at
    most 8 MB of texts; reasoning that is left out or cannot be fetched has `unavailable` set.
    """
    wanted = [message for message in messages if message.reasoned and message.reasoning is None]
    for conversation_id in dict.fromkeys(message.conversation_id for message in wanted):
        _read(
            conversation_id, {message.ts: message for message in wanted if message.conversation_id == conversation_id}
        )
    load(message.reasoning for message in wanted if message.reasoning is not None)


def _read(conversation_id: str, wanted: Mapping[datetime, Message]) -> None:
    """Set the reasoning of messages of one conversation, given by their `ts`; long texts are not loaded."""
    first, last = (clock.to_timestamp(ts) for ts in (min(wanted), max(wanted)))
    prefix = MessageReasoning.SK.template.prefix
    found = query(
        MessageReasoning.PK.template.render(conversation_id=conversation_id),
        MessageReasoning.SK.between(prefix + first, prefix + last),
        limit=MAX_LIMIT,
        consistent=True,
        peek=False,
        whole=False,
    )
    for reasoning in found.items:
        if reasoning.ts in wanted:
            wanted[reasoning.ts].reasoning = reasoning
