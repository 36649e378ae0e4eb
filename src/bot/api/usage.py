"""Usage: the tokens of a user's turns."""

from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import Field

from bot.api.shapes.users import UserPath, reachable
from bot.errors import FieldError, ValidationFailed
from bot.http.blueprint import answers, resource
from bot.http.requests import caller
from bot.http.types import DayIn, Parameters, View
from models.access_patterns import usage
from models.table import clock
from models.table.tenancy import UserId

api = resource("usage", "The tokens of a user's turns.")


class UsageQuery(Parameters):
    """Which days, in UTC; by default the current month."""

    since: DayIn | None = Field(None, description="The first day; by default the first of the month of `until`.")
    until: DayIn | None = Field(None, description="The last day; by default today.")


class UsageEntry(View):
    """The turns of one day, agent and model. Tokens are the provider's count, or an estimate if it gave none."""

    day: date
    agent_id: str
    model: str | None
    turns: int
    input_tokens: int
    output_tokens: int


class UsageView(View):
    """The usage of these days, including turns whose messages or conversations were deleted or have expired."""

    since: date
    until: date
    turns: int
    input_tokens: int
    output_tokens: int
    data: list[UsageEntry]


@api.get("/usage", responses=answers({200: UsageView}), summary="Read your usage")
def read_own(query: UsageQuery) -> dict[str, Any]:
    """By day, agent and model; the same as `users/me/usage`."""
    return show(caller().user_id, query.since, query.until).model_dump(mode="json")


@api.get("/users/<user_id>/usage", responses=answers({200: UsageView}, 404), summary="Read a user's usage")
def read(path: UserPath, query: UsageQuery) -> dict[str, Any]:
    """By day, agent and model. `me` is the caller; only an administrator may read another user's."""
    return show(reachable(path.user_id), query.since, query.until).model_dump(mode="json")


def show(owner: UserId, since: date | None = None, until: date | None = None) -> UsageView:
    """Return a user's usage as the API shows it; by default of the current month.

    Cost: AP-83.

    Raises:
        ValidationFailed: the first day is after the last.
    """
    until = until or clock.now().date()
    since = since or until.replace(day=1)
    if since > until:
        problem = f"must be at or before until, {until}"
        raise ValidationFailed(f"since: {problem}", fields=(FieldError("since", problem),))
    entries = [UsageEntry(**asdict(each)) for each in usage.usage(owner, since, until)]
    return UsageView(
        since=since,
        until=until,
        turns=sum(each.turns for each in entries),
        input_tokens=sum(each.input_tokens for each in entries),
        output_tokens=sum(each.output_tokens for each in entries),
        data=entries,
    )
