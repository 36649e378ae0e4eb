"""Usage: the tokens of a user's turns, summed from their records and from the counts of deleted records."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from models.access_patterns.declare import Budget, Request, access_pattern
from models.table.errors import InvalidValue
from models.table.ids import moment_of, new_id
from models.table.reading import query
from models.table.tenancy import UserId
from models.turn import ID_PREFIX, Turn, TurnCount

_EPOCH = date(1970, 1, 1)
_PAGE = 1000
_READ = ["PK", "SK", "entity", "agent_id", "model", "input_tokens", "output_tokens"]
# The leading characters of an id that encode its time; the rest is random.
_TIMED = len(ID_PREFIX) + 1 + 12


@dataclass
class Usage:
    """The turns of a day with one agent and model."""

    day: str
    agent_id: str
    model: str | None
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@access_pattern(
    "AP-83",
    "User's usage",
    question="How many tokens did my turns use, by day, agent and model?",
    requests=(
        Request(
            "Query", (Turn,), sort_key="between TURN#{turn_id} and TURN#{turn_id}", order="ascending", page="1,000"
        ),
        Request(
            "Query",
            (TurnCount,),
            sort_key="between COUNTED#{turn_id} and COUNTED#{turn_id}",
            order="ascending",
            page="1,000",
        ),
    ),
    budget=Budget(2, 66, 0, "1,000 turns of 500 bytes; one more Query for each 1,000, or each MB", grows=True),
    routes=("GET /api/v1/usage", "GET /api/v1/users/{user_id}/usage"),
)
def usage(user_id: UserId, first: date, last: date) -> list[Usage]:
    """Return the tokens that a user's turns used from `first` to `last` inclusive (UTC), by day, agent and model.

    A turn counts on the day on which it began.

    Raises:
        InvalidValue: a day is not a date.
    """
    for name, given in (("first", first), ("last", last)):
        # A datetime is a date to Python, and cannot be compared with one.
        if type(given) is not date:
            raise InvalidValue(name, f"must be a date, not {type(given).__name__}")
    found: dict[tuple[str, str, str | None], Usage] = {}
    seen: set[str] = set()
    # Records first: one that is deleted between the two reads has left its count by then.
    for entity in (Turn, TurnCount):
        for raw in _between(entity, user_id, first, last):
            turn_id = raw["SK"]["S"].partition("#")[2]
            if turn_id in seen:
                continue
            seen.add(turn_id)
            moment = moment_of(turn_id, ID_PREFIX)
            day = moment.date().isoformat() if moment else first.isoformat()
            key = (day, raw["agent_id"]["S"], raw.get("model", {}).get("S"))
            entry = found.setdefault(key, Usage(*key))
            entry.turns += 1
            entry.input_tokens += int(raw.get("input_tokens", {}).get("N", 0))
            entry.output_tokens += int(raw.get("output_tokens", {}).get("N", 0))
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def _between(entity: type[Turn] | type[TurnCount], user_id: UserId, first: date, last: date) -> Iterator[Any]:
    """Yield the raw items of the turns that began on these days, oldest first."""
    partition = entity.PK.template.render(user_id=user_id)
    # Ids cannot encode a day before the epoch, and the calendar's last day has no next day.
    after_last = last + timedelta(days=1) if last < date.max else last
    sort = entity.SK.between(_bound(entity, max(first, _EPOCH)), _bound(entity, max(after_last, _EPOCH)))
    after: dict[str, str] | None = None
    while True:
        page = query(partition, sort, limit=_PAGE, after=after, attributes=_READ, peek=False)
        yield from page.items
        if not page.more:
            return
        after = {"PK": partition, "SK": page.items[-1]["SK"]["S"]}


def _bound(entity: type[Turn] | type[TurnCount], day: date) -> str:
    """Return a sort key that sorts before the turns of a day and after those of the previous day."""
    return entity.SK.template.prefix + new_id(ID_PREFIX, datetime.combine(day, time(), UTC))[:_TIMED]
