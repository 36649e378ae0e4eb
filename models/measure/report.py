"""Runs every access pattern and compares its cost with its budget."""

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
    """The cost of one pattern with a given number of messages in the conversation; `problems` are its violations."""

    pattern: AccessPattern
    messages: int
    cost: Cost
    exchanges: tuple[Exchange, ...]
    problems: tuple[str, ...]


def over_budget(name: str, measured: Cost, budget: Budget) -> list[str]:
    """Return, in words, where a cost exceeds a budget."""
    taken = {
        "requests": (measured.requests, budget.requests),
        "read units": (measured.rcu, budget.rcu),
        "write units": (measured.all_wcu, budget.wcu),
    }
    return [f"{name}: {used:g} {what}, its budget is {most:g}" for what, (used, most) in taken.items() if used > most]


def run(pattern: AccessPattern, world: World, probe: Probe, *, whole: bool = True) -> Measured:
    """Run a pattern's scenarios: the first one is measured, and together they must send everything that it declares.

    Without `whole`, only the first scenario is run.

    Raises:
        LookupError: it has no scenario.
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
    """Run the patterns with each number of messages on the configured table, which should be a throw-away one."""
    chosen = [pattern for pattern in patterns() if not only or pattern.id in set(only)]
    probe = Probe()
    with ticking() as clock:
        for size in sizes:
            world = World(size, clock)
            for pattern in chosen:
                progress(pattern, size)
                yield run(pattern, world, probe, whole=size == min(sizes))


def by_request(measured: Measured) -> list[tuple[str, Cost]]:
    """Return the cost of each request of a measured pattern."""
    return [(exchange.operation, cost(exchange)) for exchange in measured.exchanges]
