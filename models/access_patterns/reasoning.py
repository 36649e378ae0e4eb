"""The reasoning that led to messages, read by those who ask for it."""

from collections.abc import Iterable

from models.access_patterns.declare import Budget, Request, access_pattern
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
        1, 13, 0, "25 answers, each with 2 KB of reasoning; no request if none has any, one Query more for each MB"
    ),
    routes=(
        "GET /api/v1/conversations/{conversation_id}/messages?include=reasoning",
        "POST /api/v1/conversations/{conversation_id}/messages with a model that wants its reasoning back",
        "POST /api/v1/conversations/{conversation_id}/turns with a model that wants its reasoning back",
        "POST /api/v1/conversations/{conversation_id}/messages?include=reasoning with an Idempotency-Key again",
        "GET /api/v1/turns/{turn_id}/events?include=reasoning",
        "GET /api/v1/users/{user_id}/export",
    ),
)
def read_reasoning(messages: Iterable[Message]) -> None:
    """Set `reasoning` of those messages of one conversation that have some, and not yet on them.

    It does not check whose the messages are: they were read for their owner. As of messages, the texts of one call are
    8 MB at most; a reasoning that is left out, or cannot be fetched, says so in its own `unavailable`.
    """
    wanted = {message.ts: message for message in messages if message.reasoned and message.reasoning is None}
    if not wanted:
        return
    first, last = (clock.to_timestamp(ts) for ts in (min(wanted), max(wanted)))
    conversation_id = next(iter(wanted.values())).conversation_id
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
    load(message.reasoning for message in wanted.values() if message.reasoning is not None)
