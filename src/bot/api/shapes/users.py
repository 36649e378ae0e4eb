"""How a user is shown, and which users a caller may reach."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from bot.errors import NotConfigured, NotFound, SecretsUnavailable
from bot.http.context import vault
from bot.http.requests import acts_as_admin, caller
from bot.http.types import Json, Moment, Parameters, UserId, View
from models.emails import normalise_email
from models.table import tenancy
from models.table.errors import InvalidKeyField
from models.user import Role, User, UserStatus

ME = "me"


def _normal(email: str) -> str:
    try:
        return normalise_email(email)
    except InvalidKeyField as error:
        raise ValueError(error.reason) from error


Email = Annotated[
    str,
    Field(
        description="Unique, ignoring case. An internationalized domain is accepted, and shown in its ASCII form.",
        examples=["ann@example.com"],
        json_schema_extra={"format": "idn-email"},
    ),
    AfterValidator(_normal),
]


class UserPath(Parameters):
    """Which user; `me` is the caller."""

    user_id: UserId


class IntegrationView(View):
    """What is shown of a user's own credentials: a hint, to tell keys apart."""

    api_key_hint: str | None = Field(
        description="Null if this deployment lacks the key that it was encrypted with, or cannot reach it now."
    )
    base_url: str | None


class UserView(View):
    """A user."""

    id: UserId
    email: str | None
    name: str | None
    role: Role
    status: UserStatus
    preferences: dict[str, Json]
    settings: dict[str, Json]
    api_integration_details: dict[str, IntegrationView]
    created_at: Moment
    updated_at: Moment
    last_active_at: Moment


def show_user(user: User) -> UserView:
    """Return a user as the API shows one."""
    return UserView(
        id=user.user_id,
        email=user.email,
        name=user.name,
        role=user.role,
        status=user.status,
        preferences=user.preferences,
        settings=user.settings,
        api_integration_details=_hints(user),
        created_at=user.created_at,
        updated_at=user.updated_at,
        last_active_at=user.last_active_at,
    )


def _hints(user: User) -> dict[str, IntegrationView]:
    """Return what is shown of a user's credentials. Without the key service, a profile is shown without hints."""
    shown = {name: IntegrationView(api_key_hint=None, base_url=None) for name in user.api_integration_details}
    with suppress(SecretsUnavailable, NotConfigured):
        for name, sealed in user.api_integration_details.items():
            with suppress(ValueError):
                shown[name] = _hint(vault().open(user.user_id, name, sealed))
    return shown


def _hint(details: Mapping[str, Any]) -> IntegrationView:
    key = details["api_key"]
    # Four characters would reveal too much of a short key.
    return IntegrationView(api_key_hint=f"…{key[-4:]}" if len(key) >= 16 else "…", base_url=details.get("base_url"))


def reachable(user_id: str) -> tenancy.UserId:
    """Return the id of a user whom the caller may reach: the caller, or any user for an administrator."""
    if user_id == ME:
        return caller().user_id
    if user_id != caller().user_id and not acts_as_admin():
        raise NotFound("There is no such user.")
    return tenancy.acting_for(user_id)
