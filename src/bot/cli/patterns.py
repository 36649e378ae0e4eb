"""`bot patterns`: the access patterns, as declared and as measured."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import click

from bot.cli.local import with_table
from bot.settings import Settings
from models import schema
from models.access_patterns import declare
from models.access_patterns.declare import AccessPattern, Budget, Request
from models.measure.capacity import Cost
from models.measure.examples import Examples, masked
from models.measure.report import SIZES, measure
from models.table import connection

_QUICK = "10,100"


@click.group()
def patterns() -> None:
    """List, show and measure the access patterns of the table."""


def _titled(pattern: AccessPattern) -> str:
    return f"{pattern.id}  {pattern.title}"


def _budget(budget: Budget) -> str:
    return f"{_requests(budget.requests)}, {budget.rcu:g} RCU, {budget.wcu:g} WCU"


def _requests(number: int) -> str:
    return f"{number} request{'s' * (number != 1)}"


@patterns.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print access-patterns.json instead.")
def list_patterns(as_json: bool) -> None:
    """List the access patterns with their budgets."""
    if as_json:
        from models.export.machine import access_patterns

        click.echo(json.dumps(access_patterns(), indent=2, ensure_ascii=False))
        return
    for pattern in declare.patterns():
        click.echo(f"{_titled(pattern):52} {_budget(pattern.budget)}")


@patterns.command()
@click.argument("pattern_id")
def show(pattern_id: str) -> None:
    """Show one access pattern: its question, its requests and its budget."""
    pattern = next((each for each in declare.patterns() if each.id == pattern_id.upper()), None)
    if pattern is None:
        raise click.BadParameter(f"There is no {pattern_id}; `bot patterns list` shows all.", param_hint="PATTERN_ID")
    click.echo(_titled(pattern))
    click.echo(f"  question  {pattern.question}")
    for request in pattern.requests:
        click.echo(f"  request   {_request(request)}")
    click.echo(f"  budget    {_budget(pattern.budget)}")
    click.echo(f"            for {pattern.budget.basis}")
    click.echo(f"  python    {pattern.function.__module__}.{pattern.function.__qualname__}")
    for route in pattern.routes:
        click.echo(f"  route     {route}")


def _request(request: Request) -> str:
    words = [request.operation, *([f"on {request.index}"] if request.index else []), request.partition_key]
    words += [request.sort_key] if request.sort_key else []
    words += ["strongly consistent"] if request.consistent is True else []
    words += [request.order] if request.order else []
    words += [f"{write.part} {write.entity.ENTITY}{'?' if write.optional else ''}" for write in request.writes]
    return ", ".join(words) + (f" ({request.when})" if request.when else "")


@contextmanager
def throw_away_table(settings: Settings) -> Iterator[Settings]:
    """Create a temporary table next to the configured one, point the models at it, and drop it at the end."""
    temporary = settings.model_copy(update={"table_name": f"{settings.table_name[:200]}-measure-{uuid4().hex[:12]}"})
    before = connection.settings()
    connection.configure(temporary.table)
    try:
        schema.create_table()
        yield temporary
    finally:
        schema.delete_table()
        connection.configure(before)


@patterns.command("measure")
@click.option("--messages", default=_QUICK, show_default=True, help="Messages per conversation, comma-separated.")
@click.option("--only", multiple=True, metavar="PATTERN_ID", help="Measure only this one; may be repeated.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Save figures and examples in measured.json and examples.json in this directory.",
)
@with_table
def measure_patterns(settings: Settings, messages: str, only: tuple[str, ...], save: Path | None) -> None:
    """Run every pattern on a temporary table of the configured engine; print the measured cost and the budget.

    The capacity is computed from the sizes on the wire, by DynamoDB's rules. On AWS, this costs money.
    """
    try:
        sizes = sorted({int(size) for size in messages.replace("_", "").split(",")})
    except ValueError:
        raise click.BadParameter("must be comma-separated numbers", param_hint="--messages") from None
    if sizes[0] < 10:
        raise click.BadParameter("must be at least 10", param_hint="--messages")
    if save and tuple(sizes) != SIZES:
        raise click.BadParameter(f"needs --messages {','.join(map(str, SIZES))}", param_hint="--save")
    with throw_away_table(settings) as temporary:
        found, problems = run_all(temporary, sizes, tuple(each.upper() for each in only))
    if save:
        _save(save, found)
    for problem in problems:
        click.echo(f"Over budget or contract: {problem}", err=True)
    if problems:
        raise SystemExit(1)


def _save(folder: Path, found: dict[str, Any]) -> None:
    """Add figures and examples to the saved ones; an example that differs only in ids and times is left unchanged."""
    kept = {name: _load(folder / f"{name}.json") for name in ("measured", "examples")}
    known = {pattern.id for pattern in declare.patterns()}
    for name, example in found["examples"].items():
        if masked(kept["examples"].get(name)) != masked(example):
            kept["examples"][name] = example
    kept["measured"]["messages"] = found["measured"]["messages"]
    for kind in ("patterns", "api"):
        kept["measured"].setdefault(kind, {}).update(found["measured"][kind])
    for figures in (kept["measured"]["patterns"], kept["examples"]):
        for name in sorted(figures):
            figure = figures.pop(name)
            if name in known:
                figures[name] = figure
    for name, content in kept.items():
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def run_all(settings: Settings, sizes: list[int], only: tuple[str, ...] = ()) -> tuple[dict[str, Any], list[str]]:
    """Measure the patterns and, unless `only` names some, the API; return figures with examples, and problems."""
    from bot.cli.turn_costs import BUDGETS, measure_api

    figures: dict[str, Any] = {"messages": sizes, "patterns": {}, "api": {}}
    examples: dict[str, Any] = {}
    problems: list[str] = []
    reader = Examples()
    for each in measure(sizes, only):
        pattern = each.pattern
        figures["patterns"].setdefault(pattern.id, {})[str(each.messages)] = each.cost.as_dict()
        examples.setdefault(pattern.id, json.loads(json.dumps(reader.of(each.exchanges))))
        problems += each.problems
        _report(_titled(pattern), each.messages, each.cost, pattern.budget)
    for request in measure_api(settings, sizes) if not only else ():
        figures["api"].setdefault(request.name, {})[str(request.messages)] = request.cost.as_dict()
        problems += request.problems
        _report(f"API    {request.name}", request.messages, request.cost, BUDGETS[request.name])
    return {"measured": figures, "examples": examples}, list(dict.fromkeys(problems))


def _report(name: str, messages: int, cost: Cost, budget: Budget) -> None:
    taken = f"{_requests(cost.requests)}, {cost.rcu:g} RCU, {cost.all_wcu} WCU, {cost.items} items"
    most = "grows with the data" if budget.grows and messages > min(SIZES) else f"budget {_budget(budget)}"
    click.echo(f"{name:46} {messages:>6} messages: {taken:44} {most}")
