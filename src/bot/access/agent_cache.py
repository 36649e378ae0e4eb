"""A process's cache of facts about conversations that never change, so that a turn need not read them again."""

from collections import OrderedDict
from threading import Lock

_MOST = 50_000


class _Pairs:
    """A bounded cache of pairs of strings by key; the least recently stored are evicted."""

    def __init__(self, most: int = _MOST) -> None:
        """Take the largest number of entries."""
        self._most = most
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = Lock()

    def _note(self, key: str, pair: tuple[str, str]) -> None:
        with self._lock:
            self._known[key] = pair
            self._known.move_to_end(key)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def _find(self, key: str) -> tuple[str, str] | None:
        with self._lock:
            return self._known.get(key)


class AgentCache(_Pairs):
    """Remembers the agents of recent conversations, and the agents' owners.

    It saves a turn two requests, because the agent is read together with the API key instead of after the conversation.
    It is only a hint: the agent is used only if the agent item, as just read, allows the caller to use it.
    """

    def remember(self, conversation_id: str, owner_id: str, agent_id: str) -> None:
        """Remember which agent answers in a conversation, and who owns the agent."""
        self._note(conversation_id, (owner_id, agent_id))

    def get(self, conversation_id: str) -> tuple[str, str] | None:
        """Return the owner and the id of a conversation's agent, if they are cached."""
        return self._find(conversation_id)


class ConversationAgents(_Pairs):
    """Remembers the user and the agent of conversations that were requested with a key of scope `agent`."""

    def remember(self, conversation_id: str, user_id: str, agent_id: str) -> None:
        """Remember a conversation's user and agent."""
        self._note(conversation_id, (user_id, agent_id))

    def agent_of(self, conversation_id: str, user_id: str) -> str | None:
        """Return the agent of this user's conversation, if it is cached."""
        known = self._find(conversation_id)
        return known[1] if known is not None and known[0] == user_id else None
