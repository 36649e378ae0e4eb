"""Which agent answers in which conversation: a fact that never changes, so a process may remember it.

It saves a turn two requests: the agent is read together with the API key, instead of after the conversation. It is a
hint and no more: what was read is used only if it is the caller's own.
"""

from collections import OrderedDict
from threading import Lock

_MOST = 50_000


class AgentHints:
    """Remembers the newest conversations' owners and agents."""

    def __init__(self, most: int = _MOST) -> None:
        """Take how many conversations to remember."""
        self._most = most
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = Lock()

    def remember(self, conversation_id: str, user_id: str, agent_id: str) -> None:
        """Note who owns a conversation, and which agent answers in it."""
        with self._lock:
            self._known[conversation_id] = (user_id, agent_id)
            self._known.move_to_end(conversation_id)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def get(self, conversation_id: str) -> tuple[str, str] | None:
        """Return the owner and the agent of a conversation, if they are known here."""
        with self._lock:
            return self._known.get(conversation_id)
