"""Users: created by administrators; each manages their own profile under `users/me`."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from flask import Response
from pydantic import Field

from bot.api.shapes.erasures import DELETED, deleted
from bot.api.shapes.users import Email, UserPath, UserView, reachable, show_user
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.context import services, settings, vault
from bot.http.idempotency import once, repeatable
from bot.http.paging import Listing, list_of
from bot.http.requests import caller, require_admin
from bot.http.types import Body, JsonMap, MapName, Moment, Name, PageQuery, UserId, View, names_only
from bot.llm.egress import base_url_problem
from models.access_patterns import users
from models.access_patterns.conversations import list_conversations
from models.table.errors import ItemNotFound
from models.table.reading import Page
from models.table.side_by_side import both
from models.user import Role, User

api = resource("users", "People, and programs that have an account of their own.")


class UserQuery(PageQuery):
    """Which users; `email` finds one."""

    email: Email | None = None


class IntegrationDetails(Body):
    """A user's own credentials for a provider. The key is stored encrypted, and never shown again."""

    api_key: Annotated[str, Field(max_length=512, pattern=r"^[!-~]+$")]
    base_url: Annotated[str, Field(max_length=512, pattern=r"^https?://[!-~]+$")] | None = Field(
        None, description="An OpenAI-compatible endpoint other than the deployment's own."
    )


class UserCreate(Body):
    """A new user."""

    email: Email
    name: Name | None = None
    role: Role = "user"
    preferences: JsonMap = Field(default_factory=dict)
    settings: JsonMap = Field(default_factory=dict)


IntegrationPatch = Annotated[
    dict[MapName, IntegrationDetails | None], Field(max_length=16, json_schema_extra=names_only)
]


class UserPatch(Body):
    """Changes to a user. In the maps, a name sent as null is removed; names that are not sent stay."""

    email: Email | None = None
    name: Name | None = None
    preferences: JsonMap | None = None
    settings: JsonMap | None = None
    api_integration_details: IntegrationPatch | None = None


class UserEntry(View):
    """A user, as shown in a list."""

    id: UserId
    email: str | None
    name: str | None
    role: Role
    created_at: Moment


UserEntryList = list_of(UserEntry)


def _entry(user: User) -> UserEntry:
    return UserEntry(id=user.user_id, email=user.email, name=user.name, role=user.role, created_at=user.created_at)


@api.post("/users", responses=answers({201: UserView}, 403, 409, 413, 415, 400), summary="Create a user")
@repeatable()
def create(body: UserCreate) -> tuple[dict[str, Any], int]:
    """Administrators only."""
    require_admin()
    return _created(users.create_user(**body.model_dump(), once=once(_created)))


def _created(user: User) -> tuple[dict[str, Any], int]:
    return show_user(user).model_dump(mode="json"), 201


@api.get("/users", responses=answers({200: UserEntryList}, 400, 403), summary="List users")
def list_all(query: UserQuery) -> dict[str, Any]:
    """Oldest first; administrators only. With `email`, only the user who has it, if any."""
    require_admin()
    listing = Listing("users", query.cursor, email=query.email)
    if query.email is not None:
        return listing.answer(_by_email(query.email), _entry, lambda user: [user.user_id])
    after = listing.position[0] if listing.position else None
    return listing.answer(users.list_users(query.limit, after), _entry, lambda user: [user.user_id])


def _by_email(email: str) -> Page[User]:
    try:
        return Page((users.get_user_by_email(email),), more=False)
    except ItemNotFound:
        return Page((), more=False)


@api.get("/users/<user_id>", responses=answers({200: UserView}, 404), summary="Read a user")
def read(path: UserPath) -> dict[str, Any]:
    """`me` is the caller; only an administrator may read another user."""
    user_id = reachable(path.user_id)
    # The profile is not written with each message; the newest conversation is more recent.
    user, newest = both(partial(users.get_user, user_id), lambda: list_conversations(user_id, 1).items)
    if newest:
        user.last_active_at = max(user.last_active_at, newest[0].listed_at)
    return show_user(user).model_dump(mode="json")


@api.patch("/users/<user_id>", responses=answers({200: UserView}, 400, 404, 409, 413, 415), summary="Update a user")
def update(path: UserPath, body: UserPatch) -> dict[str, Any]:
    """Fields that are not sent stay unchanged."""
    user_id = reachable(path.user_id)
    changes = body.model_dump(exclude_unset=True)
    email, _ = changes.pop("email", None), changes.pop("api_integration_details", None)
    # A map that is sent as null is left unchanged: entries are removed by name.
    changes = {name: value for name, value in changes.items() if value is not None or name == "name"}
    details = _sealed(user_id, body.api_integration_details or {})
    user = users.change_email(user_id, email) if email else None
    if details:
        user = users.change_credentials(user_id, details)
    if changes:
        user = users.update_user(user_id, changes)
    return show_user(user or users.get_user(user_id)).model_dump(mode="json")


def _sealed(user_id: str, details: Mapping[str, IntegrationDetails | None]) -> dict[str, str | None]:
    sealed: dict[str, str | None] = {}
    for name, value in details.items():
        if value is not None and value.base_url is not None:
            problem = base_url_problem(
                value.base_url,
                private_allowed=settings().allow_private_base_urls,
                hosts=settings().allowed_base_url_hosts,
            )
            if problem:
                field = FieldError(f"api_integration_details.{name}.base_url", problem)
                raise ValidationFailed(problem, fields=(field,))
        sealed[name] = vault().seal(user_id, name, value.model_dump()) if value is not None else None
    return sealed


@api.delete("/users/<user_id>", responses=answers(DELETED, 404), summary="Delete a user")
def delete(path: UserPath) -> Response:
    """Also deletes everything that belongs to them: keys, agents, conversations, messages and state.

    204 if everything is removed. 202 if that takes longer: it is unreachable at once; `Location` shows the progress,
    which only an administrator can read if the caller is the deleted user.
    """
    return deleted(services().erasures.user(reachable(path.user_id), asked_by=caller().user_id))
