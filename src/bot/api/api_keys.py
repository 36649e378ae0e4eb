"""API keys of the caller: created and shown once, listed by their hints, revoked."""

from functools import partial
from typing import Any

from flask import Response
from pydantic import Field

from bot.access.keys import issue_key, new_key, revoke_key
from bot.api.shapes.api_keys import SCOPES, KeyView, key_fields, show_key
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import AgentId, Body, KeyId, MomentIn, Name, PageQuery, Parameters
from models.access_patterns import api_keys
from models.access_patterns.users import get_user
from models.api_key import ApiKeyEntry, Scope
from models.table import clock

# The last year of the calendar; a time is rounded up to the second.
_LAST_YEAR = 9999

api = resource("api-keys", "The credentials of programs.")


class KeyCreate(Body):
    """A new key for the caller."""

    name: Name | None = Field(None, description="The purpose of the key.")
    expires_at: MomentIn | None = Field(
        None, description="When it expires; by default never, or together with the key that creates it."
    )
    scope: Scope = Field("full", description=SCOPES)
    agent_id: AgentId | None = Field(None, description="The agent, with the scope `agent`.")


class KeyPath(Parameters):
    """Which key."""

    key_id: KeyId


class NewKeyView(KeyView):
    """A key that was just created. `key` is shown only this once."""

    key: str


KeyViewList = list_of(KeyView)


@api.post("/api-keys", responses=answers({201: NewKeyView}, 400, 404, 413, 415), summary="Create an API key")
@repeatable()
def create(body: KeyCreate) -> tuple[dict[str, Any], int]:
    """The key itself is shown only in this answer. Its scope cannot exceed that of the key that creates it."""
    if (body.scope == "agent") != (body.agent_id is not None):
        problem = "is required with the scope 'agent'" if body.scope == "agent" else "is only for the scope 'agent'"
        raise ValidationFailed(f"agent_id: {problem}", fields=(FieldError("agent_id", problem),))
    if body.expires_at is not None and not (clock.now() < body.expires_at and body.expires_at.year < _LAST_YEAR):
        problem = f"must be in the future, and before the year {_LAST_YEAR}"
        raise ValidationFailed(f"expires_at: {problem}", fields=(FieldError("expires_at", problem),))
    key = new_key()
    created = partial(_created, key)
    _, entry = issue_key(
        get_user(caller().user_id),
        key=key,
        name=body.name,
        expires=body.expires_at,
        scope=body.scope,
        agent_id=body.agent_id,
        by=caller(),
        once=once(created),
    )
    return created(entry)


def _created(key: str, entry: ApiKeyEntry) -> tuple[dict[str, Any], int]:
    return NewKeyView(**key_fields(entry), key=key).model_dump(mode="json"), 201


@api.get("/api-keys", responses=answers({200: KeyViewList}, 400), summary="List API keys")
def list_all(query: PageQuery) -> dict[str, Any]:
    """The caller's keys, oldest first."""
    listing = Listing("api-keys", query.cursor)
    after = listing.position[0] if listing.position else None
    page = api_keys.list_api_keys(caller().user_id, query.limit, after)
    return listing.answer(page, show_key, lambda entry: [entry.key_id])


@api.delete("/api-keys/<key_id>", responses=answers({204: None}, 404), summary="Revoke an API key")
def delete(path: KeyPath) -> Response:
    """Takes effect at once. A key may revoke itself."""
    revoke_key(caller().user_id, path.key_id)
    return Response(status=204)
