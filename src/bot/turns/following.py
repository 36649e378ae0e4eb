"""Turns as any process can see them: read the status, follow the stream, cancel."""

import time
from collections.abc import Generator, Iterator

from bot.errors import BotError, stored_error
from bot.turns.events import STARTED, AnswerDelta, ReasoningDelta, TurnEnded, TurnEvent, TurnStarted
from bot.turns.leases import LeaseKeeper
from bot.turns.streams import KEEP_ALIVE_SECONDS
from models.access_patterns.pieces import cut_again
from models.access_patterns.reasoning import read_reasoning
from models.access_patterns.turn_events import streamed, turn_messages
from models.access_patterns.turn_states import get_turn, reconcile_turn, request_cancel
from models.table.errors import ItemNotFound
from models.table.tenancy import UserId
from models.turn import EventId, Turn

_PAUSE = 0.3
_WHOLE_REASONING, _WHOLE_TEXT = EventId(1, 1), EventId(2)


def find_turn(user_id: UserId, turn_id: str) -> Turn:
    """Return a turn with its current status; it is reconciled first if its worker died.

    Cost: AP-53, twice if the turn is not found; AP-54 while it runs.

    Raises:
        ItemNotFound: the user has no such turn.
    """
    try:
        turn = get_turn(user_id, turn_id)
    except ItemNotFound:
        # A plain turn has no record while it runs and no lease once it has ended: one that ended between the two reads
        # was found by neither. By now it has a record.
        turn = get_turn(user_id, turn_id)
    return reconcile_turn(turn) if turn.status == "running" else turn


def cancel_turn(user_id: UserId, turn_id: str, leases: LeaseKeeper, patience: float) -> Turn:
    """Cancel a turn and return it; it is still `running` if its worker does not stop within `patience` seconds.

    A turn that has already ended does not change. The cancellation is one conditional write: the turn can complete
    before it, but not after it.

    Cost: AP-53, AP-54 and AP-55, and AP-54 again until the turn has ended.

    Raises:
        ItemNotFound: the user has no such turn.
    """
    turn = find_turn(user_id, turn_id)
    if turn.status == "running" and request_cancel(turn):
        leases.cancel(turn_id)
    deadline = time.monotonic() + patience
    while turn.status == "running" and time.monotonic() < deadline:
        time.sleep(_PAUSE / 3)
        turn = reconcile_turn(turn)
    return turn


def await_end(turn: Turn, seconds: float) -> Turn:
    """Wait up to `seconds` for a turn to end, and return it; it is still `running` if the time is up.

    Cost: AP-54, at first ten times a second, later once a second.

    Raises:
        ItemNotFound: it was deleted with its conversation.
    """
    deadline, pause = time.monotonic() + seconds, _PAUSE / 3
    while turn.status == "running" and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
        turn = reconcile_turn(turn)
    return turn


def ended_event(turn: Turn, *, reasoning: bool = False) -> TurnEnded:
    """Return the last event of an ended turn, as it was sent at the time; with `reasoning`, its messages include it.

    Cost: AP-58; AP-44 with `reasoning`.
    """
    messages = turn_messages(turn)
    if reasoning:
        read_reasoning(messages)
    return TurnEnded(
        turn,
        tuple(message for message in messages if message.sender != "agent"),
        tuple(message for message in messages if message.sender == "agent"),
        problem_of(turn),
    )


def problem_of(turn: Turn) -> BotError | None:
    """Return what went wrong with a turn that has ended, None for one that completed."""
    return stored_error(**turn.error) if turn.error else None


def has_more(turn: Turn, after: EventId) -> bool:
    """Whether a turn has, or will have, an event after `after`."""
    return turn.status == "running" or after.number < int(turn.last_event or _WHOLE_TEXT.number)


def follow_turn(turn: Turn, after: EventId, *, reasoning: bool = False) -> Iterator[TurnEvent | None]:
    """Yield the events of a turn after `after`, to its end; None as a keep-alive while nothing happens.

    Pieces of reasoning are left out unless `reasoning`. A stream that is not kept comes at the turn's end, in the
    pieces in which it was sent. If the turn was not streamed, or its events have expired and `after` is its start, the
    text comes as one event at the end, and so does the reasoning.

    Cost: AP-57 and AP-54 about three times a second, until the turn has ended, or AP-54 about once a second if its
    stream is not kept; AP-58 at its end, and AP-44 with `reasoning`.
    """
    if after < STARTED:
        begun = tuple(message for message in turn_messages(turn) if message.sender != "agent")
        yield TurnStarted(turn.turn_id, turn.conversation_id, turn.agent_id, begun)
        after = STARTED
    if turn.kept is False:
        turn = yield from _awaited(turn)
    else:
        turn, after = yield from _followed(turn, after, reasoning=reasoning)
    ended = ended_event(turn, reasoning=reasoning)
    for event, text in _sent(ended):
        if event > after and (reasoning or not event.part):
            yield _delta(event, text)
            after = event
    if after == STARTED and (text := _whole_reasoning(ended)):
        yield ReasoningDelta(text, _WHOLE_REASONING)
    if after.number == STARTED.number and (text := _whole_text(ended)):
        yield AnswerDelta(text, _WHOLE_TEXT)
    yield ended


def _awaited(turn: Turn) -> Generator[TurnEvent | None, None, Turn]:
    """Wait for a turn to end, and return it; yields keep-alives."""
    while turn.status == "running":
        turn = await_end(turn, KEEP_ALIVE_SECONDS)
        if turn.status == "running":
            yield None
    return turn


def _followed(
    turn: Turn, after: EventId, *, reasoning: bool
) -> Generator[TurnEvent | None, None, tuple[Turn, EventId]]:
    """Yield what a turn stores of its stream, until it has ended; return it, and its last event so far."""
    sent_at = time.monotonic()
    while True:
        # The status is read before the events: once a turn has ended, no more events are added.
        running = turn.status == "running"
        for event, text in streamed(turn.turn_id, after):
            if not turn.has_event(event):
                break
            after = event
            if event.part and not reasoning:
                continue
            yield _delta(event, text)
            sent_at = time.monotonic()
        if not running:
            return turn, after
        now = time.monotonic()
        if now - sent_at >= KEEP_ALIVE_SECONDS:
            yield None
            sent_at = now
        time.sleep(_PAUSE)
        turn = reconcile_turn(turn)


def _delta(event: EventId, text: str) -> TurnEvent:
    return ReasoningDelta(text, event) if event.part else AnswerDelta(text, event)


def _sent(ended: TurnEnded) -> list[tuple[EventId, str]]:
    """Return the pieces of a stream that was not kept, as far as the turn's record has their sizes."""
    if ended.turn.pieces is None:
        return []
    text = _text(ended)
    return cut_again(ended.turn.pieces, text, _whole_reasoning(ended)) or []


def _whole_reasoning(ended: TurnEnded) -> str:
    read = [message.reasoning for message in ended.output if message.reasoning is not None]
    return "".join(each.text for each in read if each.unavailable is None)


def _whole_text(ended: TurnEnded) -> str:
    # A turn that ended with this number streamed no text: its answer is a refusal, which its end contains.
    if ended.turn.last_event == _WHOLE_TEXT.number:
        return ""
    return _text(ended)


def _text(ended: TurnEnded) -> str:
    if ended.turn.status != "completed":
        return ended.turn.partial_text or ""
    return "".join(message.content for message in ended.output if message.type == "text")
