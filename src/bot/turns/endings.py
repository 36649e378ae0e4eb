"""How a turn that failed is reported to the caller and stored on its record."""

import logging
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pynamodb.exceptions import PynamoDBException

from bot import errors
from bot.errors import BotError, TableUnavailable, TooLarge, TurnInterrupted
from models.access_patterns.turn_beginnings import Begun
from models.table.errors import Contended, ContentUnavailable, ItemTooLarge, LeaseLost, TooManyWrites
from models.turn import Turn

log = logging.getLogger(__name__)


def as_bot_error(error: Exception, begun: Begun) -> BotError:
    """Return the error that the caller gets; the log has the details that it hides."""
    match error:
        case BotError():
            return error
        case LeaseLost():
            return TurnInterrupted("Another worker has taken over the conversation, or it was deleted.")
        case ContentUnavailable():
            return errors.ContentUnavailable(str(error), retry_after=None if error.lasting else 5)
        case ItemTooLarge() | TooManyWrites():
            return TooLarge(f"The answer cannot be stored: {error}")
        case Contended() | PynamoDBException() | ClientError() | BotoCoreError():
            log.error("could not store the turn %s: %s", begun.lease.turn_id, error)
            return TableUnavailable("DynamoDB could not process the request; try again.", retry_after=1)
        case _:
            log.exception("turn %s failed", begun.lease.turn_id, exc_info=error)
            return BotError("The turn failed on our side; the log has the reason.")


def unstored(begun: Begun, record: dict[str, Any]) -> Turn:
    """Return the record of a turn whose end could not be stored, as the next turn will record it."""
    conversation = begun.lease.conversation
    return Turn(
        turn_id=begun.lease.turn_id,
        user_id=begun.lease.user_id,
        conversation_id=conversation.conversation_id,
        agent_id=conversation.agent_id,
        status="interrupted",
        started_at=begun.lease.started_at,
        **record,
    )
