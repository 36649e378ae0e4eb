"""What a process remembers of conversations: facts that never change, so that a turn need not ask for them again."""

from collections import OrderedDict
from threading import Lock

_MOST = 50_000


class _Pairs:
    """The newest pairs of texts, by a third."""

    def __init__(self, most: int = _MOST) -> None:
        """Take how many to remember."""
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
    """Remembers the newest conversations' agents, and whose those are.

    It saves a turn two requests: the agent is read together with the API key, instead of after the conversation. It is
    a hint and no more: what was read is used only if the caller may use it, as the agent itself says at that moment.
    """

    def remember(self, conversation_id: str, owner_id: str, agent_id: str) -> None:
        """Note which agent answers in a conversation, and who owns the agent."""
        self._note(conversation_id, (owner_id, agent_id))

    def get(self, conversation_id: str) -> tuple[str, str] | None:
        """Return the owner and the id of the agent of a conversation, if they are known here."""
        return self._find(conversation_id)


class ConversationAgents(_Pairs):
    """Remembers who talks with which agent in the conversations that keys of one agent have asked for."""

    def remember(self, conversation_id: str, user_id: str, agent_id: str) -> None:
        """Note whose a conversation is, and with which agent."""
        self._note(conversation_id, (user_id, agent_id))

    def agent_of(self, conversation_id: str, user_id: str) -> str | None:
        """Return the agent of a conversation of this user, if it is known here."""
        known = self._find(conversation_id)
        return known[1] if known is not None and known[0] == user_id else None
