"""Factories of test data, through the access patterns; each call creates new items."""

import random
import string
import uuid
from collections.abc import Sequence
from typing import Any

from models.access_patterns.agents import create_agent
from models.access_patterns.conversations import create_conversation
from models.access_patterns.messages import MAX_APPEND, Draft, append_messages
from models.access_patterns.users import create_user
from models.agent import Agent
from models.conversation import Conversation
from models.message import Message
from models.user import User


def new_email() -> str:
    """Return an unused email."""
    return f"{uuid.uuid4()}@example.com"


def make_user(**details: Any) -> User:
    """Return a new user with a unique email."""
    return create_user(**{"email": new_email(), **details})


def make_agent(user: User | None = None, **details: Any) -> Agent:
    """Return a new agent of `user`, or of a new user."""
    owner = user or make_user()
    return create_agent(owner.user_id, **{"name": "Ada", "provider": "echo", "model": "echo-1", **details})


def make_conversation(agent: Agent | None = None, **details: Any) -> Conversation:
    """Return a new conversation with `agent`, or with a new user's new agent."""
    partner = agent or make_agent()
    return create_conversation(partner.user_id, partner.agent_id, **details)


def say(conversation: Conversation, *contents: str) -> list[Message]:
    """Append user messages with these contents, in as many transactions as needed."""
    drafts = [Draft("user", content) for content in contents]
    return append(conversation, drafts)


def append(conversation: Conversation, drafts: Sequence[Draft]) -> list[Message]:
    """Append drafts, in as many transactions as needed."""
    stored: list[Message] = []
    for start in range(0, len(drafts), MAX_APPEND):
        part = drafts[start : start + MAX_APPEND]
        stored += append_messages(conversation.user_id, conversation.conversation_id, part)
    return stored


def noise(size: int, seed: int = 1) -> str:
    """Return a text of this many bytes that hardly compresses, to about five sixths."""
    letters = string.ascii_letters + string.digits + string.punctuation + " "
    of_byte = "".join(letters[byte % len(letters)] for byte in range(256)).encode()
    # Without these, all characters have the same number of bytes.
    too_many = bytes(range(256 - 256 % len(letters), 256))
    drawn = random.Random(seed)
    text = b""
    while len(text) < size:
        text += drawn.randbytes(2 * size).translate(of_byte, too_many)
    return text[:size].decode()
