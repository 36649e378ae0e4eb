"""Orphaned turns: their worker died. The next request records them as interrupted, with the text streamed so far."""

from models.access_patterns.partial_answers import unfinished
from models.access_patterns.retention import expires_after
from models.access_patterns.turn_events import streamed
from models.conversation import Conversation
from models.table import clock
from models.table.changes import set_or_remove
from models.table.ids import moment_of
from models.table.reading import get
from models.table.writing import Transaction
from models.turn import ID_PREFIX, MOST_UNSTORED, UNKEPT_END, EventId, Turn, TurnEntry

WORKER_STOPPED = "The worker that ran this turn stopped before it ended."
_NOT_KEPT = "Its text was not stored while it ran."


def running_turn(conversation: Conversation) -> Turn:
    """Return the turn that holds a conversation's lease, as far as the header describes it."""
    return Turn(
        user_id=conversation.user_id,
        turn_id=conversation.lease_turn,
        conversation_id=conversation.conversation_id,
        agent_id=conversation.agent_id,
        status="running",
        started_at=moment_of(conversation.lease_turn, ID_PREFIX) or clock.now(),
        fence=conversation.fence,
        expires_at=expires_after(conversation, clock.now()),
    )


def record_orphan(transaction: Transaction, conversation: Conversation, why: str) -> Turn:
    """Record in a transaction that the turn that holds a conversation's lease was interrupted; return the record.

    `why` becomes the error's detail. The transaction must check that the turn still has the lease and nobody runs it.

    Cost: 1 GetItem; 1 Query for each MB of streamed text, none if the stream was not kept.
    """
    turn_id = conversation.lease_turn
    turn: Turn | None = get(Turn, user_id=conversation.user_id, turn_id=turn_id)
    announced = turn is not None
    if turn is None:
        turn = running_turn(conversation)
    turn.status = "interrupted"
    turn.ended_at = clock.now()
    pieces = streamed(turn_id, EventId(0)) if announced and turn.kept is not False else []
    turn.last_event = (pieces[-1][0].number if pieces else 1) + MOST_UNSTORED + 1
    if turn.kept is False:
        turn.last_event, why = UNKEPT_END, f"{why} {_NOT_KEPT}"
    kept = unfinished("".join(text for event, text in pieces if not event.part), "turn_interrupted", why)
    turn.error, turn.partial_text = kept["error"], kept["partial_text"]
    if announced:
        names = ("status", "ended_at", "last_event", "error", "partial_text")
        attributes = Turn.get_attributes()
        actions = [set_or_remove(attributes[name], getattr(turn, name)) for name in names]
        transaction.update("orphan", turn, actions, Turn.status == "running")
    else:
        transaction.create("orphan", turn)
        entry = TurnEntry(conversation_id=turn.conversation_id, turn_id=turn_id, expires_at=turn.expires_at)
        transaction.create("orphan entry", entry)
    if turn.expires_at is not None:
        transaction.put("orphan count", turn.as_counted())
    return turn
