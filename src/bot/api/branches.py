"""Branches: a message edited and sent again, an answer given again, and where a conversation went on."""

from typing import Any

from pydantic import Field

from bot.api.shapes.bodies import BranchCreate
from bot.api.shapes.conversations import BranchView, ConversationPath, show_branch
from bot.api.shapes.events import STREAM_DOCUMENT
from bot.api.shapes.turns import TurnResult, show_result
from bot.api.turn_answers import TURN_PROBLEMS, replay_turn, run_and_answer
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.context import services
from bot.http.idempotency import once, repeatable, stored_answer
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import Included, MessageId, PageQuery
from bot.turns.service import Question
from bot.turns.tools import ToolResult
from models.access_patterns.branches import BranchPosition, list_branches, make_branch
from models.access_patterns.conversations import get_conversation
from models.access_patterns.copies import shortened
from models.access_patterns.forks import Fork, find_fork
from models.access_patterns.idempotency import Once
from models.access_patterns.messages import Draft
from models.access_patterns.roots import entry_of
from models.access_patterns.turn_beginnings import Begun
from models.agent import Agent
from models.conversation import Conversation
from models.idempotency import IdempotencyRecord
from models.message import Message
from models.table.errors import ItemTooLarge

api = resource("branches", "Branches of a conversation.")


class BranchQuery(PageQuery):
    """Which branches."""

    from_message_id: MessageId | None = Field(None, description="Only those that leave after this message.")
    from_start: bool = Field(False, description="Only those that begin before the first message.")


class BranchResult(TurnResult):
    """A branch, and what was stored in it; without a reply, `turn` is null."""

    branch: BranchView


BranchViewList = list_of(BranchView)


def _replay(record: IdempotencyRecord, path: ConversationPath, query: Included, body: BranchCreate) -> Any:
    if not body.reply:
        return stored_answer(record)
    answer = replay_turn(record, path, query, body)
    if not isinstance(answer, tuple):
        return answer
    branch = get_conversation(caller().user_id, answer[0]["turn"]["conversation_id"])
    return _with_branch(answer, branch)


@api.post(
    "/conversations/<conversation_id>/branches",
    responses=answers({201: BranchResult, 202: BranchResult, **STREAM_DOCUMENT}, *TURN_PROBLEMS),
    summary="Make a branch",
)
@repeatable(_replay)
def make(path: ConversationPath, query: Included, body: BranchCreate) -> Any:
    """The branch continues the conversation after a message, and costs the same however many messages come before.

    With `content`, the message is stored in the branch and answered: edit and send again. Without, the agent answers
    what is there: answer again. With `"reply": false` there is no answer. The conversation itself stays as it is, and
    a turn that runs in it goes on.
    """
    body.check()
    try:
        return _made(path.conversation_id, query, body)
    except ItemTooLarge as error:
        raise body.blame(error) from error


def _made(conversation_id: str, query: Included, body: BranchCreate) -> Any:
    draft = body.draft()
    found = find_fork(caller().user_id, conversation_id, body.from_message_id, body.title)
    with shortened(found) as fork:
        if body.reply:
            return _answered(conversation_id, fork, draft, query, body)
        return _stored(make_branch(fork, [draft] if draft else [], once=once(_stored)))


def _answered(conversation_id: str, fork: Fork, draft: Draft | None, query: Included, body: BranchCreate) -> Any:
    question = Question(draft, [ToolResult(result.call_id, result.content) for result in body.results])
    made: list[Conversation] = []

    def begin(
        *,
        agent: Agent,
        announced: bool,  # noqa: ARG001 - always announced
        keep: bool | None,
        once: Once | None,
    ) -> Begun:
        begun = services().turns.begin_in_branch(fork, question, agent, keep=keep, once=once)
        branch = begun.lease.conversation
        made.append(branch)
        services().agent_cache.remember(branch.conversation_id, agent.user_id, agent.agent_id)
        return begun

    answer = run_and_answer(conversation_id, begin, query, body)
    return _with_branch(answer, made[0]) if isinstance(answer, tuple) else answer


def _stored(made: tuple[Conversation, list[Message]]) -> Any:
    branch, messages = made
    return _with_branch((show_result(None, messages).model_dump(mode="json"), 201), branch)


def _with_branch(answer: Any, branch: Conversation) -> Any:
    """Return an answer with the branch in its body."""
    body, *rest = answer
    return {"branch": show_branch(entry_of(branch)).model_dump(mode="json"), **body}, *rest


@api.get(
    "/conversations/<conversation_id>/branches",
    responses=answers({200: BranchViewList}, 400, 404),
    summary="List branches",
)
def list_all(path: ConversationPath, query: BranchQuery) -> dict[str, Any]:
    """All branches of the conversation's tree, or those at one place.

    Sorted by the conversation that they leave, where they leave it, and when they were made.
    """
    if query.from_message_id is not None and query.from_start:
        problem = "cannot be combined with from_message_id"
        raise ValidationFailed(f"from_start: {problem}", fields=(FieldError("from_start", problem),))
    listing = Listing(
        "branches",
        query.cursor,
        conversation_id=path.conversation_id,
        at=query.from_message_id,
        at_start=query.from_start,
    )
    page = list_branches(
        caller().user_id,
        path.conversation_id,
        query.limit,
        at=query.from_message_id,
        at_start=query.from_start,
        after=BranchPosition.of(*listing.position) if listing.position else None,
    )
    return listing.answer(
        page, show_branch, lambda entry: [entry.parent_id, entry.left_at.isoformat(), entry.branch_id]
    )
