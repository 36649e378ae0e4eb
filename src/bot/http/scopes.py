"""The scopes of API keys: everything the user may do, reads only, or one agent and the conversations with it."""

import re

from flask import request

from bot.access.callers import Caller
from bot.errors import InsufficientScope
from bot.http.context import services
from bot.http.requests import caller
from bot.http.types import ID_PATTERN
from models.access_patterns.conversations import get_conversation
from models.access_patterns.turn_states import get_turn
from models.table.errors import ItemNotFound

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ID = re.compile(ID_PATTERN)

# The routes that a key of one agent may use. Everything else is refused, including routes that are added later. A route
# that is added here must have its agent, conversation or turn in the path, or must call `Caller.check_agent` itself.
FOR_ONE_AGENT = frozenset(
    {
        "agents.list_all",
        "agents.read",
        "conversations.list_agents_conversations",
        "conversations.create",
        "conversations.list_all",
        "conversations.read",
        "conversations.update",
        "conversations.delete",
        "branches.make",
        "branches.list_all",
        "conversation_events.follow",
        "share-links.create",
        "share-links.list_all",
        "share-links.delete",
        "messages.send",
        "messages.list_all",
        "messages.read",
        "messages.delete",
        "turns.run",
        "turns.read",
        "turns.events",
        "turns.cancel",
        "state.list_of_conversation",
        "state.get_of_conversation",
        "state.put_of_conversation",
        "state.delete_of_conversation",
        "v1-models.list_all",
        "v1-models.read",
        "v1-chat.create",
        "v1-responses.create",
        "v1-responses.count",
    }
)


def check_scope() -> None:
    """Check that the scope of the caller's key covers this request; a blueprint's `before_request`.

    Cost: nothing; with a key of one agent, AP-31 for a conversation that this process has not seen, and AP-53 for a
    turn.

    Raises:
        InsufficientScope: the key's scope does not cover this request.
        ItemNotFound: for a key of one agent, there is no such agent, conversation or turn.
    """
    who = caller()
    match who.scope:
        case "full":
            return
        case "read":
            if request.method not in _READING:
                raise InsufficientScope("This API key may only read.")
        case "agent":
            if request.endpoint not in FOR_ONE_AGENT:
                raise InsufficientScope("This API key may only use its agent, and the conversations with it.")
            _check_path(who)
        case _:
            raise InsufficientScope("This version does not know the scope of this API key.")


def _check_path(who: Caller) -> None:
    """Check that what the path names belongs to the key's agent; what lies below a conversation belongs to that."""
    for slot, value in (request.view_args or {}).items():
        if not _ID.fullmatch(value):
            continue  # the route itself reports what is wrong with it
        match slot:
            case "agent_id":
                who.check_agent(value)
            case "conversation_id":
                if _agent_of(who, value) != who.agent_id:
                    raise ItemNotFound("conversation")
            case "turn_id":
                if get_turn(who.user_id, value).agent_id != who.agent_id:
                    raise ItemNotFound("turn")


def _agent_of(who: Caller, conversation_id: str) -> str:
    """Return the agent of a conversation of this user; it never changes, so the process may remember it."""
    known = services().conversation_agents
    found = known.agent_of(conversation_id, who.user_id)
    if found is None:
        found = str(get_conversation(who.user_id, conversation_id).agent_id)
        known.remember(conversation_id, who.user_id, found)
    return found
