"""What a turn streams, text and reasoning, stored in batches while it runs: any process can resume the stream."""

from collections.abc import Sequence

from pynamodb.exceptions import PutError

from models.access_patterns.declare import Budget, Request, access_pattern
from models.message import Message
from models.table import clock
from models.table.changes import condition_failed
from models.table.item import expiry
from models.table.reading import query
from models.table.values import number_value
from models.turn import EVENTS_KEPT, EventId, Turn, TurnEvents, event_key

_PAGE = 100
_FOLLOWED = ("GET /api/v1/turns/{turn_id}/events", "GET /api/v1/conversations/{conversation_id}/events")
_AGAIN = (
    "POST /api/v1/conversations/{conversation_id}/messages with an Idempotency-Key",
    "POST /api/v1/conversations/{conversation_id}/turns with an Idempotency-Key",
    "POST /api/v1/conversations/{conversation_id}/branches with an Idempotency-Key",
)


@access_pattern(
    "AP-56",
    "Append streamed text",
    question="Let a disconnected client resume the stream where it left off.",
    requests=(Request("PutItem", (TurnEvents,)),),
    budget=Budget(
        1,
        0,
        5,
        "a batch of 4 KB of text; about 2 batches a second at most, and one per 4 KB or change to or from reasoning",
    ),
    routes=(
        'POST /api/v1/conversations/{conversation_id}/messages with "stream" or "background"',
        'POST /api/v1/conversations/{conversation_id}/turns with "stream" or "background"',
        'POST /api/v1/conversations/{conversation_id}/branches with "stream" or "background"',
    ),
)
def append_events(turn_id: str, last: EventId, texts: Sequence[str]) -> None:
    """Store consecutive pieces of an answer, or of its reasoning, the last of which is `last`. They expire after a day.

    If the batch already exists, its acknowledgement was lost: only the turn's worker writes its events.
    """
    number_value("last", last.number, 1)
    number_value("last", last.part, 0)
    until = clock.now() + EVENTS_KEPT
    events = TurnEvents(turn_id=turn_id, last=event_key(last), texts=list(texts), expires_at=expiry(until))
    try:
        events.save(condition=TurnEvents.PK.does_not_exist())
    except PutError as error:
        if not condition_failed(error):
            raise


@access_pattern(
    "AP-57",
    "Read streamed text",
    question="What has the agent said since this event?",
    requests=(
        Request(
            "Query",
            (TurnEvents,),
            sort_key="SK > EVENT#{last}",
            consistent=True,
            order="ascending",
            page="100",
        ),
    ),
    budget=Budget(1, 1, 0, "the text of one second of an answer; one more Query for each MB"),
    routes=(*_FOLLOWED, *_AGAIN),
)
def streamed(turn_id: str, after: EventId) -> list[tuple[EventId, str]]:
    """Return the pieces of a turn's text and reasoning after the event `after`, each with its own id.

    It does not check the turn's owner; `models.access_patterns.turn_states.get_turn` does.
    """
    found: list[tuple[EventId, str]] = []
    while True:
        page = query(
            TurnEvents.PK.template.render(turn_id=turn_id),
            TurnEvents.SK.template.render(last=event_key(found[-1][0] if found else after)) < TurnEvents.SK,
            limit=_PAGE,
            consistent=True,
        )
        for batch in page.items:
            # A batch whose acknowledgement was lost is repeated at the beginning of the next one.
            last = found[-1][0] if found else after
            found += [(event, text) for event, text in batch.numbered if event > last]
        if not page.more:
            return found


@access_pattern(
    "AP-58",
    "Messages of a turn",
    question="What was asked in this turn, and what was answered?",
    requests=(
        Request(
            "Query",
            (Message,),
            sort_key="between MSG#{ts} and MSG#{ts}",
            consistent=True,
            order="ascending",
            page="100",
        ),
    ),
    budget=Budget(1, 1, 0, "a question of 300 characters and an answer of 1,200"),
    routes=(*_FOLLOWED, *_AGAIN),
)
def turn_messages(turn: Turn) -> list[Message]:
    """Return the messages of a turn that still exist, in order.

    The turn's record has the range of their sort keys. Messages of other writers in that range are left out.
    """
    if turn.first_message_at is None:
        return []
    first = clock.to_timestamp(turn.first_message_at)
    # If a turn stored no answer, the messages that began it are a microsecond apart.
    last = clock.to_timestamp(turn.last_message_at or turn.first_message_at + clock.MICROSECOND * _PAGE)
    partition = Message.PK.template.render(conversation_id=turn.conversation_id)
    prefix = Message.SK.template.prefix
    found: list[Message] = []
    after = None
    while True:
        page = query(
            partition,
            Message.SK.between(prefix + first, prefix + last),
            limit=_PAGE,
            after=after,
            consistent=True,
        )
        found += [message for message in page.items if message.turn_id == turn.turn_id]
        if not page.more:
            return found
        after = {"PK": page.items[-1].PK, "SK": page.items[-1].SK}
