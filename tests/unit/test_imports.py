"""Imports go down only: `make imports` holds the floors, and here no modules may import each other in a circle."""

import tomllib
from pathlib import Path

import grimp

ROOT = Path(__file__).parents[2]
# What several resources of the API share; each other module in `bot.api` is a resource, or a page for people.
NO_RESOURCES = {"docs", "export_lines", "export_scope", "shapes", "turn_answers"}


def circles(imports: dict[str, set[str]]) -> list[set[str]]:
    """Return the sets of modules that reach each other: Tarjan's strongly connected components of more than one."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for imported in sorted(imports[module]):
            if imported not in index:
                visit(imported)
                low[module] = min(low[module], low[imported])
            elif imported in stack:
                low[module] = min(low[module], index[imported])
        if low[module] == index[module]:
            component: set[str] = set()
            while module not in component:
                component.add(stack.pop())
            if len(component) > 1:
                found.append(component)

    for module in sorted(imports):
        if module not in index:
            visit(module)
    return found


def test_no_modules_import_each_other_in_a_circle() -> None:
    # Imports within functions and for type checkers alone count, too.
    graph = grimp.build_graph("bot", "models", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    assert circles(imports) == []


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_every_resource_is_held_apart_from_the_others() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (apart,) = (each["modules"] for each in contracts if each["type"] == "independence")
    names = {path.stem for path in (ROOT / "src/bot/api").iterdir() if path.name[0] not in "_."}
    assert set(apart) == {f"bot.api.{name}" for name in names - NO_RESOURCES}
