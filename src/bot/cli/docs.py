"""`bot docs`: the documentation that is generated from the declarations."""

import json
from pathlib import Path
from typing import Any

import click

from bot.cli.guest import guest_application
from bot.cli.round_trips import TRIPS
from bot.cli.turn_costs import BUDGETS
from bot.openai_api.documented import PAGE, parameters_page
from models.export import site
from models.export.markdown import GENERATED

FORMATS = {
    "patterns": "access-patterns.json",
    "workbench": "nosql-workbench.json",
    "validation": "dynamodb_data_model.json",
    "cloudformation": "cloudformation.json",
}
_FOLDER = click.option(
    "--docs",
    "folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default="docs",
    show_default=True,
    help="The documentation folder.",
)


@click.group()
def docs() -> None:
    """Generate and export the documentation of the table."""


def routes() -> list[site.Route]:
    """Return the routes of the API, from its OpenAPI document."""
    paths = guest_application().api_doc["paths"]
    found = [
        site.Route(
            method.upper(),
            path,
            operation.get("summary", ""),
            bool(operation.get("security")),
            TRIPS.get(f"{method.upper()} {path}", ()),
        )
        for path, operations in paths.items()
        for method, operation in operations.items()
    ]
    return sorted(found, key=lambda route: (route.path, route.method))


def pages(folder: Path) -> dict[str, str]:
    """Return every generated file by its path in the documentation folder."""
    measured, examples = (json.loads((folder / f"{name}.json").read_text()) for name in ("measured", "examples"))
    return {**site.pages(measured, examples, routes(), BUDGETS), PAGE: parameters_page()}


def stale(folder: Path, made: dict[str, str]) -> list[str]:
    """Return the generated files in the folder that are no longer generated."""
    found = []
    for path in sorted((folder / site.FOLDER).rglob("*.md")):
        name = path.relative_to(folder).as_posix()
        if name not in made and path.read_text(encoding="utf-8").startswith(GENERATED):
            found.append(name)
    return found


@docs.command()
@_FOLDER
@click.option("--check", is_flag=True, help="Change nothing; fail if a file is out of date.")
def write(folder: Path, check: bool) -> None:
    """Write the generated pages and exports into the documentation folder."""
    made = pages(folder)
    gone = stale(folder, made)
    changed = [name for name, text in made.items() if _read(folder / name) != text]
    if check:
        for name in changed + gone:
            click.echo(f"{folder / name} is out of date; run `make docs`.", err=True)
        raise SystemExit(bool(changed + gone))
    for name in changed:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(made[name], encoding="utf-8")
    for name in gone:
        (folder / name).unlink()
    click.echo(f"{len(made)} files, {len(changed)} written, {len(gone)} removed.")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@docs.command()
@click.option("--format", "kind", type=click.Choice([*FORMATS]), required=True, help="The tool's format.")
@click.option("--docs", "folder", type=click.Path(path_type=Path), default="docs", help="Where measured.json is.")
def export(kind: str, folder: Path) -> None:
    """Print the declarations in another tool's format."""
    measured: dict[str, Any] | None = None
    if (folder / "measured.json").exists():
        measured = json.loads((folder / "measured.json").read_text())
    click.echo(site.exports(measured)[FORMATS[kind]], nl=False)
