"""How each access pattern is run to be measured: what is there before, then one call of it.

The first scenario of a pattern is the one that its budget is for; the others show the rest of what it declares.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from models.measure.world import World

Act = Callable[[], object]
Prepare = Callable[[World], Act]

_MODULES = ("people", "shares", "trail", "talk", "turns_and_state", "allowances", "removal", "repeats")
_scenarios: dict[str, list["Scenario"]] = {}


@dataclass(frozen=True)
class Scenario:
    """One way to run a pattern: `prepare` makes what is needed and returns the call that is measured."""

    pattern: str
    name: str
    prepare: Prepare


def scenario(pattern: str) -> Callable[[Prepare], Prepare]:
    """Declare the function below as a scenario of a pattern; its docstring says which."""

    def declare(prepare: Prepare) -> Prepare:
        _scenarios.setdefault(pattern, []).append(Scenario(pattern, (prepare.__doc__ or "").strip(), prepare))
        return prepare

    return declare


def scenarios(pattern: str) -> tuple[Scenario, ...]:
    """Return the scenarios of a pattern.

    Raises:
        LookupError: it has none, so nothing ever runs it.
    """
    for name in _MODULES:
        import_module(f"models.measure.scenarios.{name}")
    if pattern not in _scenarios:
        raise LookupError(f"{pattern} is never run: it has no scenario in models/measure/scenarios")
    return tuple(_scenarios[pattern])
