"""Scenarios in which access patterns are measured: some preparation, then one call.

A pattern's budget is for its first scenario; the others exercise the rest of its declaration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from models.measure.world import World

Act = Callable[[], object]
Prepare = Callable[[World], Act]

_MODULES = (
    "people",
    "shares",
    "trail",
    "talk",
    "branching",
    "share_links",
    "turns_and_state",
    "following",
    "allowances",
    "removal",
    "repeats",
)
_scenarios: dict[str, list["Scenario"]] = {}


@dataclass(frozen=True)
class Scenario:
    """One way to run a pattern: `prepare` creates the data and returns the call to measure."""

    pattern: str
    name: str
    prepare: Prepare


def scenario(pattern: str) -> Callable[[Prepare], Prepare]:
    """Declare the decorated function as a scenario of a pattern; its docstring is the scenario's name."""

    def declare(prepare: Prepare) -> Prepare:
        _scenarios.setdefault(pattern, []).append(Scenario(pattern, (prepare.__doc__ or "").strip(), prepare))
        return prepare

    return declare


def scenarios(pattern: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a pattern.

    Raises:
        LookupError: it has none, so it is never run.
    """
    for name in _MODULES:
        import_module(f"models.measure.scenarios.{name}")
    if pattern not in _scenarios:
        raise LookupError(f"{pattern} is never run: it has no scenario in models/measure/scenarios")
    return tuple(_scenarios[pattern])
