"""Types shared by requests and answers. Invalid input is refused with the name of its field, never dropped."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer

MAX_LIMIT = 1000
DEFAULT_LIMIT = 50
_DEEPEST = 32


class Body(BaseModel):
    """A JSON body: unknown fields and wrong types are errors; a string is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Parameters(BaseModel):
    """Path or query parameters: text by nature, so `5` is a number; unknown ones are errors."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON Schema; flask-openapi asks for the plain one on each request, so it is cached."""
        if args or options:
            return super().model_json_schema(*args, **options)
        if cls not in _PLAIN_SCHEMAS:
            _PLAIN_SCHEMAS[cls] = super().model_json_schema()
        return _PLAIN_SCHEMAS[cls]


_PLAIN_SCHEMAS: dict[type[Parameters], dict[str, Any]] = {}


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(extra="forbid")


ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


def _id(what: str, example: str) -> Any:
    return Field(pattern=ID_PATTERN, description=f"The {what}'s id.", examples=[example])


UserId = Annotated[str, _id("user", "usr_01k9zc3v9te8rbt8w4mhkt5m2x")]
AgentId = Annotated[str, _id("agent", "agt_01k9zc3v9te8rbt8w4mhkt5m2x")]
ConversationId = Annotated[str, _id("conversation", "conv_01k9zc3v9te8rbt8w4mhkt5m2x")]
MessageId = Annotated[str, _id("message", "msg_01k9zc3v9te8rbt8w4mhkt5m2x")]
TurnId = Annotated[str, _id("turn", "turn_01k9zc3v9te8rbt8w4mhkt5m2x")]
KeyId = Annotated[str, _id("API key", "key_01k9zc3v9te8rbt8w4mhkt5m2x")]


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


def _with_zone(value: object) -> object:
    # pydantic alone would take numbers too, as seconds or milliseconds by their size.
    if isinstance(value, str) and _RFC3339.fullmatch(value):
        return value
    allowed = "must be an RFC 3339 time with a time zone, such as 2026-11-22T08:30:00Z"
    if isinstance(value, str) and _RFC3339.fullmatch("+".join(value.rsplit(" ", 1))):
        # In a query, a plus sign is how a space is written.
        allowed += "; in a URL, the + of a time zone is written %2B (or use Z)"
    raise ValueError(allowed)


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # the first and the last hours of the calendar, in a zone where it is still another year
        return datetime.min.replace(tzinfo=UTC) if moment.year == 1 else datetime.max.replace(tzinfo=UTC)


Moment = Annotated[datetime, PlainSerializer(_rfc3339, when_used="json")]
# A string both in JSON and in a URL, so not strict.
MomentIn = Annotated[datetime, Field(strict=False), BeforeValidator(_with_zone), AfterValidator(_in_utc)]


def _written_out(value: object) -> object:
    if isinstance(value, str) and not _DAY.fullmatch(value):
        raise ValueError("must be a day, such as 2026-11-22")
    return value


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# pydantic itself would take a number for seconds.
DayIn = Annotated[date, Field(strict=False), BeforeValidator(_written_out)]

Title = Annotated[str, Field(min_length=1, max_length=200)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
MAP_NAME = r"^[A-Za-z0-9_.:-]{1,64}$"
MapName = Annotated[str, Field(pattern=MAP_NAME)]


def deeper_than(levels: int, value: JsonValue) -> bool:
    """Whether a value is nested deeper than that; without recursion, which deep nesting could exhaust."""
    layer: list[JsonValue] = [value]
    for _ in range(levels):
        layer = [
            entry
            for each in layer
            if isinstance(each, (dict, list))
            for entry in (each.values() if isinstance(each, dict) else each)
        ]
        if not layer:
            return False
    return True


def _not_too_deep(value: JsonValue) -> JsonValue:
    if deeper_than(_DEEPEST, value):
        raise ValueError(f"must not be nested deeper than {_DEEPEST} levels")
    return value


def names_only(schema: dict[str, Any]) -> None:
    """Describe the values of a map in a form that OpenAPI supports (see `bot.http.openapi`)."""
    (schema["additionalProperties"],) = schema.pop("patternProperties").values()


Json = Annotated[JsonValue, AfterValidator(_not_too_deep)]
# A user-defined map; in a partial update a name with null is removed and the other names stay.
JsonMap = Annotated[dict[MapName, Json], Field(max_length=64, json_schema_extra=names_only)]


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one kind of number: 5.0 is an integer. Must come after the limits, or the OpenAPI document loses them.
WHOLE = BeforeValidator(_whole)


class Included(Parameters):
    """What the answer contains beyond the usual."""

    include: Literal["reasoning"] | None = Field(
        None, description="`reasoning`: also what the model reasoned before its answers, if it gave that."
    )

    @property
    def reasoning(self) -> bool:
        """Whether the reasoning is asked for."""
        return self.include == "reasoning"


class PageQuery(Parameters):
    """How a list is paged."""

    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="The most to return.")
    cursor: str | None = Field(
        None, max_length=1024, description="The `next_cursor` of the previous page; valid only with the same filters."
    )
