"""Which agent answers in which conversation: a fact that never changes, so a process may remember it.

It saves a turn two requests: the agent is read together with the API key, instead of after the conversation. It is a
hint and no more: what was read is used only if the caller may use it, as the agent itself says at that moment.
"""

from collections import OrderedDict
from threading import Lock

_MOST = 50_000


class AgentHints:
    """Remembers the newest conversations' agents, and whose those are."""

    def __init__(self, most: int = _MOST) -> None:
        """Take how many conversations to remember."""
        self._most = most
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = Lock()

    def remember(self, conversation_id: str, owner_id: str, agent_id: str) -> None:
        """Note which agent answers in a conversation, and who owns the agent."""
        with self._lock:
            self._known[conversation_id] = (owner_id, agent_id)
            self._known.move_to_end(conversation_id)
            if len(self._known) > self._most:
                self._known.popitem(last=False)

    def get(self, conversation_id: str) -> tuple[str, str] | None:
        """Return the owner and the id of the agent of a conversation, if they are known here."""
        with self._lock:
            return self._known.get(conversation_id)
