"""Types that requests and answers share. What is not allowed is refused with the field's name, never dropped."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

MAX_LIMIT = 1000
DEFAULT_LIMIT = 50
_DEEPEST = 32


class Body(BaseModel):
    """A JSON body: unknown fields and wrong types are errors; a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Parameters(BaseModel):
    """Path or query parameters: text by nature, so `5` is a number; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid")


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


def _id(what: str, example: str) -> Any:
    return Field(pattern=r"^[A-Za-z0-9_-]{1,64}$", description=f"The {what}'s id.", examples=[example])


UserId = Annotated[str, _id("user", "usr_01k9zc3v9te8rbt8w4mhkt5m2x")]
AgentId = Annotated[str, _id("agent", "agt_01k9zc3v9te8rbt8w4mhkt5m2x")]
ConversationId = Annotated[str, _id("conversation", "conv_01k9zc3v9te8rbt8w4mhkt5m2x")]
MessageId = Annotated[str, _id("message", "msg_01k9zc3v9te8rbt8w4mhkt5m2x")]
TurnId = Annotated[str, _id("turn", "turn_01k9zc3v9te8rbt8w4mhkt5m2x")]
KeyId = Annotated[str, _id("API key", "key_01k9zc3v9te8rbt8w4mhkt5m2x")]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("must have a time zone, such as Z")
    return _in_range(moment)


def _in_range(moment: datetime) -> datetime:
    if not 1970 <= moment.astimezone(UTC).year < 9999:
        raise ValueError("must be between 1970 and 9998")
    return moment.astimezone(UTC)


Moment = Annotated[datetime, PlainSerializer(_rfc3339, when_used="json")]
# Text in JSON and in a URL alike, so not strict.
MomentIn = Annotated[datetime, Field(strict=False), AfterValidator(_with_zone)]


Name = Annotated[str, Field(min_length=1, max_length=200)]
MapName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]


def _not_too_deep(value: JsonValue) -> JsonValue:
    layer: list[JsonValue] = [value]
    for _ in range(_DEEPEST):
        layer = [
            entry
            for each in layer
            if isinstance(each, (dict, list))
            for entry in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return value
    raise ValueError(f"must not be nested deeper than {_DEEPEST} levels")


Json = Annotated[JsonValue, AfterValidator(_not_too_deep)]
# A map of a user's own making; in a partial update a name with null is removed and the other names stay.
JsonMap = Annotated[dict[MapName, Json], Field(max_length=64)]


class PageQuery(Parameters):
    """How a list is paged."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="How many to return at the most.")
    cursor: str | None = Field(
        None, max_length=2048, description="The `next_cursor` of the page before; only with the same filters."
    )
