"""How an API key is shown: only by its hint."""

from datetime import UTC, datetime
from typing import Any

from pydantic import Field

from bot.http.types import AgentId, KeyId, Moment, View
from models.api_key import ApiKeyEntry, Scope

SCOPES = "`full`: everything the user may do; `read`: GET only; `agent`: only one agent and the conversations with it."


class KeyView(View):
    """A key, identified by its last characters as `hint`."""

    id: KeyId
    name: str | None
    hint: str
    scope: Scope = Field(description=SCOPES)
    agent_id: AgentId | None
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None = Field(description="Accurate to the hour; null if it has not been used yet.")


def key_fields(entry: ApiKeyEntry) -> dict[str, Any]:
    """Return what is shown of every key."""
    return {
        "id": entry.key_id,
        "name": entry.name,
        "hint": f"…{entry.hint}",
        "scope": entry.scope,
        "agent_id": entry.agent_id,
        "created_at": entry.created_at,
        "expires_at": None if entry.expires_at is None else datetime.fromtimestamp(entry.expires_at, UTC),
        "last_used_at": entry.last_used_at,
    }


def show_key(entry: ApiKeyEntry) -> KeyView:
    """Return a key as the API shows one."""
    return KeyView(**key_fields(entry))
