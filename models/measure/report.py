"""Runs every access pattern and sets what it took beside its budget."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from models.access_patterns.declare import AccessPattern, Budget, patterns
from models.measure.capacity import Cost, cost, total
from models.measure.contract import broken_by, unseen
from models.measure.exchange import Exchange
from models.measure.probe import Probe
from models.measure.scenario import scenarios
from models.measure.world import World, ticking

SIZES = (10, 100, 1_000, 10_000)


@dataclass(frozen=True)
class Measured:
    """What one pattern took with so many messages in the conversation; `problems` are what is wrong with it."""

    pattern: AccessPattern
    messages: int
    cost: Cost
    exchanges: tuple[Exchange, ...]
    problems: tuple[str, ...]


def over_budget(name: str, measured: Cost, budget: Budget) -> list[str]:
    """Return in words where a cost is over a budget."""
    taken = {
        "requests": (measured.requests, budget.requests),
        "read units": (measured.rcu, budget.rcu),
        "write units": (measured.all_wcu, budget.wcu),
    }
    return [f"{name}: {used:g} {what}, its budget is {most:g}" for what, (used, most) in taken.items() if used > most]


def run(pattern: AccessPattern, world: World, probe: Probe, *, whole: bool = True) -> Measured:
    """Run a pattern in its scenarios; the first is measured, and all together must do all that it declares.

    Without `whole`, only the first scenario is run.

    Raises:
        LookupError: nothing says how to run it.
    """
    name = f"{pattern.id} {pattern.title}"
    chosen = scenarios(pattern.id)
    first: tuple[Exchange, ...] = ()
    seen: list[Exchange] = []
    for scenario in chosen if whole else chosen[:1]:
        act = scenario.prepare(world)
        with probe.recording() as exchanges:
            act()
        first = first or tuple(exchanges)
        seen += exchanges
    problems = [problem for exchange in seen for problem in broken_by(exchange)]
    problems += [f"{name}: its scenario runs another pattern" for each in first if each.pattern is not pattern][:1]
    if whole:
        problems += unseen(pattern, seen)
    measured = total(first)
    if not (pattern.budget.grows and world.messages > min(SIZES)):
        problems += over_budget(name, measured, pattern.budget)
    return Measured(pattern, world.messages, measured, first, tuple(problems))


def measure(
    sizes: Sequence[int] = SIZES,
    only: Iterable[str] = (),
    progress: Callable[[AccessPattern, int], None] = lambda _pattern, _size: None,
) -> Iterator[Measured]:
    """Run the patterns against the configured table, which should be a throw-away one, at each number of messages."""
    chosen = [pattern for pattern in patterns() if not only or pattern.id in set(only)]
    probe = Probe()
    with ticking() as clock:
        for size in sizes:
            world = World(size, clock)
            for pattern in chosen:
                progress(pattern, size)
                yield run(pattern, world, probe, whole=size == min(sizes))


def by_request(measured: Measured) -> list[tuple[str, Cost]]:
    """Return the cost of each request of a pattern that was measured."""
    return [(exchange.operation, cost(exchange)) for exchange in measured.exchanges]
