"""How state is shown."""

from datetime import UTC, datetime

from pydantic import Field

from bot.api.shapes.messages import Unavailable, show_unavailable
from bot.http.types import Json, Moment, View
from models.access_patterns.states import State
from models.state import StateKind


class StateView(View):
    """The value under a key. `version` starts at 1 and grows with each put."""

    key: str
    kind: StateKind
    value: Json
    unavailable: Unavailable | None = Field(
        description="Null unless a large `value` is unavailable; then `value` is null."
    )
    version: int
    created_at: Moment
    updated_at: Moment
    expires_at: Moment | None


def show_state(state: State) -> StateView:
    """Return state as the API shows it."""
    return StateView(
        key=state.key,
        kind=state.kind,
        value=None if state.unavailable else state.value,
        unavailable=show_unavailable(state),
        version=int(state.version),
        created_at=state.created_at,
        updated_at=state.updated_at,
        expires_at=None if state.expires_at is None else datetime.fromtimestamp(state.expires_at, UTC),
    )
