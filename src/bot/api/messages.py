"""Messages: said, answered, read again, taken back. A new one makes the agent answer, unless told otherwise."""

from datetime import datetime
from typing import Any, Literal

from flask import Response
from pydantic import Field

from bot.api.blueprint import answers, resource
from bot.api.context import services
from bot.api.conversations import ConversationPath
from bot.api.message_bodies import MessageCreate, TurnCreate
from bot.api.message_views import MessageView, TurnResult, TurnView, show_message, show_turn
from bot.api.paging import Listing, list_of
from bot.api.requests import agent_read_along, caller
from bot.api.sse import STREAM_DOCUMENT, event_stream
from bot.api.types import ConversationId, MessageId, MomentIn, PageQuery, Parameters, TurnId
from bot.turns.events import TurnEnded
from bot.turns.service import Question
from bot.turns.tools import ToolResult
from models.access_patterns import messages
from models.access_patterns.turns import get_turn

api = resource("messages", "What was said; and turns, in which the agent answers.")


class MessageQuery(PageQuery):
    """Which messages, in which order."""

    order: Literal["asc", "desc"] = Field("asc", description="`asc`: oldest first; `desc`: newest first.")
    since: MomentIn | None = Field(None, description="Only messages at or after this moment.")
    until: MomentIn | None = Field(None, description="Only messages before this moment.")


class MessagePath(Parameters):
    """Which message."""

    conversation_id: ConversationId
    message_id: MessageId


class TurnPath(Parameters):
    """Which turn."""

    turn_id: TurnId


MessageViewList = list_of(MessageView)
_TURN_ANSWERS = answers({201: TurnResult, **STREAM_DOCUMENT}, 400, 404, 409, 413, 415, 502, 504)


@api.post("/conversations/<conversation_id>/messages", responses=_TURN_ANSWERS, summary="Send a message")
def send(path: ConversationPath, body: MessageCreate) -> Any:
    """The message is stored, and the agent answers: as JSON when it is done, or as a stream while it speaks.

    If the model fails, the message stays, and the problem document says what the provider said.
    """
    body.check()
    if not body.reply:
        draft = body.draft()
        stored = messages.append_messages(caller().user_id, path.conversation_id, [draft] if draft else [])
        result = TurnResult(turn=None, input=[show_message(message) for message in stored], output=[])
        return result.model_dump(mode="json"), 201
    results = [ToolResult(result.call_id, result.content) for result in body.results]
    return _turn(path.conversation_id, Question(body.draft(), results), stream=body.stream)


@api.post("/conversations/<conversation_id>/turns", responses=_TURN_ANSWERS, summary="Run a turn")
def run(path: ConversationPath, body: TurnCreate) -> Any:
    """The agent answers what is there, without a new message."""
    return _turn(path.conversation_id, Question(), stream=body.stream)


def _turn(conversation_id: str, question: Question, *, stream: bool) -> Any:
    turns = services().turns
    user_id = caller().user_id
    agent = agent_read_along() or turns.agent_of(user_id, conversation_id)
    services().hints.remember(conversation_id, agent.user_id, agent.agent_id)
    events = turns.run(turns.begin(user_id, conversation_id, question, agent), agent)
    if stream:
        return event_stream(services().streams.follow(events))
    for event in events:
        if isinstance(event, TurnEnded):
            return _answer(event), 201
    raise AssertionError("a turn ends with its end")


def _answer(ended: TurnEnded) -> dict[str, Any]:
    if ended.error is not None:
        ended.error.extra |= {"turn": show_turn(ended.turn).model_dump(mode="json")}
        raise ended.error
    return TurnResult(
        turn=show_turn(ended.turn),
        input=[show_message(message) for message in ended.input],
        output=[show_message(message) for message in ended.output],
    ).model_dump(mode="json")


@api.get(
    "/conversations/<conversation_id>/messages",
    responses=answers({200: MessageViewList}, 400, 404),
    summary="List messages",
)
def list_all(path: ConversationPath, query: MessageQuery) -> dict[str, Any]:
    """In order, or newest first; all of them, or those between two times."""
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
    return listing.answer(page, show_message, lambda message: [message.ts.isoformat()])


@api.get(
    "/conversations/<conversation_id>/messages/<message_id>",
    responses=answers({200: MessageView}, 404),
    summary="Read a message",
)
def read(path: MessagePath) -> dict[str, Any]:
    """One message by its id."""
    message = messages.get_message(caller().user_id, path.conversation_id, path.message_id)
    return show_message(message).model_dump(mode="json")


@api.delete(
    "/conversations/<conversation_id>/messages/<message_id>",
    responses=answers({204: None}, 404),
    summary="Delete a message",
)
def delete(path: MessagePath) -> Response:
    """It is gone from the conversation and from what the agent sees."""
    messages.delete_message(caller().user_id, path.conversation_id, path.message_id)
    return Response(status=204)


@api.get("/turns/<turn_id>", responses=answers({200: TurnView}, 404), summary="Read a turn")
def read_turn(path: TurnPath) -> dict[str, Any]:
    """How a turn ended; while it runs it is the conversation's `active_turn_id`."""
    return show_turn(get_turn(caller().user_id, path.turn_id)).model_dump(mode="json")
