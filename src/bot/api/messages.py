"""Messages: sent, read, deleted. A new one makes the agent answer, unless `reply` is false."""

from datetime import datetime
from functools import partial
from typing import Any, Literal

from flask import Response
from pydantic import Field

from bot.api.shapes.bodies import MessageCreate
from bot.api.shapes.conversations import ConversationPath
from bot.api.shapes.messages import MessageView, show_message
from bot.api.shapes.turns import show_result
from bot.api.turn_answers import TURN_ANSWERS, TurnQuery, answer_turn, replay_turn
from bot.http.blueprint import answers, resource
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import ConversationId, Included, MessageId, MomentIn, PageQuery, Parameters
from bot.turns.service import Question
from bot.turns.tools import ToolResult
from models.access_patterns import messages
from models.access_patterns.reasoning import read_reasoning
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.table.errors import ItemTooLarge

api = resource("messages", "The messages of a conversation.")


class MessageQuery(PageQuery, Included):
    """Which messages, in which order."""

    order: Literal["asc", "desc"] = Field("asc", description="`asc`: oldest first; `desc`: newest first.")
    since: MomentIn | None = Field(None, description="Only messages at or after this moment.")
    until: MomentIn | None = Field(None, description="Only messages before this moment.")


class MessagePath(Parameters):
    """Which message."""

    conversation_id: ConversationId
    message_id: MessageId


MessageViewList = list_of(MessageView)


def _replay(record: IdempotencyRecord, path: ConversationPath, query: TurnQuery, body: MessageCreate) -> Any:
    if body.reply:
        return replay_turn(record, path, query, body)
    return _stored([messages.get_message(caller().user_id, path.conversation_id, record.effect_id)])


@api.post("/conversations/<conversation_id>/messages", responses=TURN_ANSWERS, summary="Send a message")
@repeatable(_replay)
def send(path: ConversationPath, query: TurnQuery, body: MessageCreate) -> Any:
    """Stores the message; the agent answers, as JSON when it is done or as a stream while it answers.

    If the model fails, the message stays stored, and the problem document has the provider's reason. The turn continues
    if the client disconnects.
    """
    body.check()
    try:
        return _sent(path.conversation_id, query, body)
    except ItemTooLarge as error:
        raise body.blame(error) from error


def _sent(conversation_id: str, query: TurnQuery, body: MessageCreate) -> Any:
    draft = body.draft()
    if not body.reply:
        drafts = [draft] if draft else []
        return _stored(messages.append_messages(caller().user_id, conversation_id, drafts, once=once()))
    results = [ToolResult(result.call_id, result.content) for result in body.results]
    question = Question(draft, results)
    return answer_turn(conversation_id, question, query, body)


def _stored(stored: list[Message]) -> tuple[dict[str, Any], int]:
    return show_result(None, stored).model_dump(mode="json"), 201


@api.get(
    "/conversations/<conversation_id>/messages",
    responses=answers({200: MessageViewList}, 400, 404),
    summary="List messages",
)
def list_all(path: ConversationPath, query: MessageQuery) -> dict[str, Any]:
    """Oldest or newest first; all of them, or those between two times."""
    listing = Listing(
        "messages",
        query.cursor,
        conversation_id=path.conversation_id,
        order=query.order,
        since=query.since,
        until=query.until,
    )
    page = messages.list_messages(
        caller().user_id,
        path.conversation_id,
        query.limit,
        descending=query.order == "desc",
        after=datetime.fromisoformat(listing.position[0]) if listing.position else None,
        since=query.since,
        until=query.until,
    )
    if query.reasoning:
        read_reasoning(page.items)
    show = partial(show_message, reasoning=query.reasoning)
    return listing.answer(page, show, lambda message: [message.ts.isoformat()])


@api.get(
    "/conversations/<conversation_id>/messages/<message_id>",
    responses=answers({200: MessageView}, 404),
    summary="Read a message",
)
def read(path: MessagePath, query: Included) -> dict[str, Any]:
    """One message by its id."""
    message = messages.get_message(caller().user_id, path.conversation_id, path.message_id, reasoning=query.reasoning)
    if message.unavailable is not None:
        raise message.unavailable
    return show_message(message, reasoning=query.reasoning).model_dump(mode="json")


@api.delete(
    "/conversations/<conversation_id>/messages/<message_id>",
    responses=answers({204: None}, 404),
    summary="Delete a message",
)
def delete(path: MessagePath) -> Response:
    """Removes it from the conversation, and from what the agent sees."""
    messages.delete_message(caller().user_id, path.conversation_id, path.message_id)
    return Response(status=204)
