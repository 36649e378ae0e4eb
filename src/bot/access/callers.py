"""The caller of a request, and what their credential allows."""

from dataclasses import dataclass
from datetime import datetime

from models.table.errors import ItemNotFound
from models.table.tenancy import UserId


@dataclass(frozen=True)
class Caller:
    """The user whom the presented key or token identifies.

    `scope` is what the credential may be used for (see `models.api_key.Scope`); with the scope `agent`, `agent_id` is
    its only agent. `key_id` is None for a token. `expires_at` is when the key expires, if ever.
    """

    user_id: UserId
    role: str
    key_id: str | None = None
    scope: str = "full"
    agent_id: str | None = None
    expires_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the credential is an administrator's; `bot.http.requests` checks whether its user still is one."""
        return self.role == "admin"

    def check_agent(self, agent_id: str) -> None:
        """Check that the credential covers this agent: a key of scope `agent` covers only one.

        Raises:
            ItemNotFound: it does not; the caller sees no such agent.
        """
        if self.agent_id is not None and self.agent_id != agent_id:
            raise ItemNotFound("agent")
