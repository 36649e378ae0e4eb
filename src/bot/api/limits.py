"""Limits: how much a user may use, and how much of it is used."""

from typing import Annotated, Any

from pydantic import Field

from bot.api.shapes.users import UserPath, reachable
from bot.http.blueprint import answers, resource
from bot.http.context import settings
from bot.http.requests import require_admin
from bot.http.types import WHOLE, Body, Moment, View
from models.access_patterns.allowances import change_limits, get_allowance
from models.allowance import Allowance, Limits, period_end
from models.table import clock

api = resource("limits", "Token quotas and limits of users, and how much of them is used.")

_MOST = 10**15
_OWN = "Overrides the deployment's limit; null restores it."


class LimitsPatch(Body):
    """A user's own limits; those that are not sent stay unchanged."""

    tokens_per_day: Annotated[int, Field(ge=0, le=_MOST, description=_OWN), WHOLE] | None = None
    tokens_per_month: Annotated[int, Field(ge=0, le=_MOST, description=_OWN), WHOLE] | None = None
    turns_at_once: Annotated[int, Field(ge=0, le=1000, description=_OWN), WHOLE] | None = None


class TokenLimitView(View):
    """Tokens per day or month: `used` counts those of ended turns, and the reservations of running ones.

    Turns that started while tokens were not limited are not counted.
    """

    limit: int | None
    used: int
    resets_at: Moment


class TurnLimitView(View):
    """Running turns."""

    limit: int | None
    used: int


class LimitsView(View):
    """A user's limits, their own or the deployment's; null means unlimited."""

    tokens_per_day: TokenLimitView
    tokens_per_month: TokenLimitView
    turns_at_once: TurnLimitView
    own: list[str] = Field(description="Which limits are the user's own.")


def show(allowance: Allowance, deployment: Limits) -> LimitsView:
    """Return a user's limits as the API shows them."""
    limits = deployment.but(allowance.limits)
    day = clock.now().date().isoformat()

    def tokens(limit: int | None, period: str) -> TokenLimitView:
        return TokenLimitView(limit=limit, used=allowance.tokens.get(period, 0), resets_at=period_end(period))

    return LimitsView(
        tokens_per_day=tokens(limits.tokens_per_day, day),
        tokens_per_month=tokens(limits.tokens_per_month, day[:7]),
        turns_at_once=TurnLimitView(limit=limits.turns_at_once, used=len(allowance.running or ())),
        own=sorted(allowance.limits),
    )


@api.get("/users/<user_id>/limits", responses=answers({200: LimitsView}, 404), summary="Read a user's limits")
def read(path: UserPath) -> dict[str, Any]:
    """`me` is the caller; only an administrator may read another user's."""
    return show(get_allowance(reachable(path.user_id)), settings().limits).model_dump(mode="json")


@api.patch(
    "/users/<user_id>/limits",
    responses=answers({200: LimitsView}, 400, 404, 413, 415),
    summary="Change a user's limits",
)
def update(path: UserPath, body: LimitsPatch) -> dict[str, Any]:
    """Administrators only. A user's own limits apply only if the deployment sets any limit at all."""
    user_id = reachable(path.user_id)
    require_admin()
    allowance = change_limits(user_id, body.model_dump(exclude_unset=True))
    return show(allowance, settings().limits).model_dump(mode="json")
