"""State: a value under a key, for the caller or for one of the caller's conversations."""

from datetime import timedelta
from typing import Annotated, Any

from flask import Response
from pydantic import AfterValidator, Field

from bot.api.shapes.states import StateView, show_state
from bot.http.blueprint import answers, resource
from bot.http.paging import Listing, list_of
from bot.http.requests import caller
from bot.http.types import WHOLE, Body, ConversationId, Json, PageQuery, Parameters
from models.access_patterns import states
from models.access_patterns.states import Owner
from models.state import KEY_ALLOWED, KEY_PATTERN, MAX_KEY, StateKind, writable_key
from models.table.errors import InvalidKeyField

api = resource("state", "Session and application state: any JSON under a key, with versions and an optional TTL.")

# Keys of dots only are refused now; values stored under them before can still be read and deleted.
StateKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,128}$", description="The state's key.", examples=["cart"])]


def _writable(key: str) -> str:
    try:
        return writable_key(key)
    except InvalidKeyField as error:
        raise ValueError(error.reason) from error


NewStateKey = Annotated[
    str,
    Field(
        description=f"The state's key; it {KEY_ALLOWED}.",
        examples=["cart"],
        json_schema_extra={"pattern": KEY_PATTERN, "minLength": 1, "maxLength": MAX_KEY},
    ),
    AfterValidator(_writable),
]
_YEAR = 366 * 24 * 3600


class UserStatePath(Parameters):
    """Which state of the caller."""

    key: StateKey


class NewUserStatePath(Parameters):
    """The key of a new value of the caller."""

    key: NewStateKey


class StatesPath(Parameters):
    """Whose state."""

    conversation_id: ConversationId


class StatePath(StatesPath):
    """Which state of a conversation."""

    key: StateKey


class NewStatePath(StatesPath):
    """The key of a new value in a conversation."""

    key: NewStateKey


class UserKind(Parameters):
    """Which kind; for a user's state, `application` by default."""

    kind: StateKind = "application"


class ConversationKind(Parameters):
    """Which kind; for a conversation's state, `session` by default."""

    kind: StateKind = "session"


class UserKindVersion(UserKind):
    """Which kind, and the condition."""

    if_version: int | None = Field(None, ge=1, description="Only if this is the stored version.")


class ConversationKindVersion(ConversationKind):
    """Which kind, and the condition."""

    if_version: int | None = Field(None, ge=1, description="Only if this is the stored version.")


class StateQuery(PageQuery):
    """Which kind; both by default."""

    kind: StateKind | None = None


class StatePut(Body):
    """The value to store."""

    value: Json = Field(
        description="Any JSON value. Integers keep all their digits; other numbers are IEEE 754 doubles, and one with "
        "more digits than a double holds is refused."
    )
    if_version: Annotated[int, Field(ge=0), WHOLE] | None = Field(
        None, description="Only if this is the stored version; 0: only if the key does not exist."
    )
    ttl_seconds: Annotated[int, Field(ge=1, le=10 * _YEAR), WHOLE] | None = Field(
        None, description="Seconds until it expires, at least 1; by default never."
    )


StateViewList = list_of(StateView)


def _list(owner: Owner, query: StateQuery) -> dict[str, Any]:
    listing = Listing("state", query.cursor, conversation_id=owner.conversation_id, kind=query.kind)
    after: Any = tuple(listing.position) if listing.position else None
    page = states.list_states(owner, query.limit, kind=query.kind, after=after)
    return listing.answer(page, show_state, lambda state: [state.kind, state.key])


def _get(owner: Owner, kind: StateKind, key: str) -> dict[str, Any]:
    state = states.get_state(owner, kind, key)
    # In a list a value may be missing; if it is the only thing requested, that is an error, not null.
    if state.unavailable is not None:
        raise state.unavailable
    return show_state(state).model_dump(mode="json")


def _put(owner: Owner, kind: StateKind, key: str, body: StatePut) -> dict[str, Any]:
    ttl = None if body.ttl_seconds is None else timedelta(seconds=body.ttl_seconds)
    state = states.put_state(owner, kind, key, body.value, if_version=body.if_version, ttl=ttl)
    return show_state(state).model_dump(mode="json")


def _delete(owner: Owner, kind: StateKind, key: str, if_version: int | None) -> Response:
    states.delete_state(owner, kind, key, if_version=if_version)
    return Response(status=204)


@api.get("/users/me/state", responses=answers({200: StateViewList}, 400), summary="List the caller's state")
def list_own(query: StateQuery) -> dict[str, Any]:
    """Sorted by kind and key."""
    return _list(Owner(caller().user_id), query)


@api.get("/users/me/state/<key>", responses=answers({200: StateView}, 404), summary="Read the caller's state")
def get_own(path: UserStatePath, query: UserKind) -> dict[str, Any]:
    """The value under a key, and its version."""
    return _get(Owner(caller().user_id), query.kind, path.key)


@api.put(
    "/users/me/state/<key>",
    responses=answers({200: StateView}, 400, 404, 409, 413, 415),
    summary="Put the caller's state",
)
def put_own(path: NewUserStatePath, query: UserKind, body: StatePut) -> dict[str, Any]:
    """With `if_version`, only if that is still the stored version."""
    return _put(Owner(caller().user_id), query.kind, path.key, body)


@api.delete("/users/me/state/<key>", responses=answers({204: None}, 404, 409), summary="Delete the caller's state")
def delete_own(path: UserStatePath, query: UserKindVersion) -> Response:
    """With `if_version`, only if that is still the stored version."""
    return _delete(Owner(caller().user_id), query.kind, path.key, query.if_version)


@api.get(
    "/conversations/<conversation_id>/state",
    responses=answers({200: StateViewList}, 400, 404),
    summary="List a conversation's state",
)
def list_of_conversation(path: StatesPath, query: StateQuery) -> dict[str, Any]:
    """Sorted by kind and key."""
    return _list(Owner(caller().user_id, path.conversation_id), query)


@api.get(
    "/conversations/<conversation_id>/state/<key>",
    responses=answers({200: StateView}, 404),
    summary="Read a conversation's state",
)
def get_of_conversation(path: StatePath, query: ConversationKind) -> dict[str, Any]:
    """The value under a key, and its version."""
    return _get(Owner(caller().user_id, path.conversation_id), query.kind, path.key)


@api.put(
    "/conversations/<conversation_id>/state/<key>",
    responses=answers({200: StateView}, 400, 404, 409, 413, 415),
    summary="Put a conversation's state",
)
def put_of_conversation(path: NewStatePath, query: ConversationKind, body: StatePut) -> dict[str, Any]:
    """With `if_version`, only if that is still the stored version."""
    return _put(Owner(caller().user_id, path.conversation_id), query.kind, path.key, body)


@api.delete(
    "/conversations/<conversation_id>/state/<key>",
    responses=answers({204: None}, 404, 409),
    summary="Delete a conversation's state",
)
def delete_of_conversation(path: StatePath, query: ConversationKindVersion) -> Response:
    """With `if_version`, only if that is still the stored version."""
    return _delete(Owner(caller().user_id, path.conversation_id), query.kind, path.key, query.if_version)
