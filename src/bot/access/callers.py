"""Who makes a request, and how far the credential that they presented reaches."""

from dataclasses import dataclass
from datetime import datetime

from models.table.errors import ItemNotFound
from models.table.tenancy import UserId


@dataclass(frozen=True)
class Caller:
    """The user for whom the presented key or token stands.

    `scope` is what the credential may be used for (see `models.api_key.Scope`); with the scope `agent`, `agent_id` is
    the one agent. `key_id` is None for a token, `expires_at` is when the key stops to work, if ever.
    """

    user_id: UserId
    role: str
    key_id: str | None = None
    scope: str = "full"
    agent_id: str | None = None
    expires_at: datetime | None = None

    @property
    def is_admin(self) -> bool:
        """Whether the credential is an administrator's; whether its user still is one, `bot.http.requests` asks."""
        return self.role == "admin"

    def check_agent(self, agent_id: str) -> None:
        """Check that the credential reaches this agent: any of the user's, unless it is for one alone.

        Raises:
            ItemNotFound: to this credential, there is no such agent.
        """
        if self.agent_id is not None and self.agent_id != agent_id:
            raise ItemNotFound("agent")
