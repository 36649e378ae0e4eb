"""All generated pages together: what `bot docs write` writes and the tests compare."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.access_patterns.declare import Budget, patterns
from models.export import cloudformation, diagrams, machine, validation, workbench
from models.export.markdown import code, page, table
from models.export.pages_entities import entities, entity_page, file_of
from models.export.pages_patterns import index_page, pattern_page, readers_of
from models.export.pages_table import glance

FOLDER = "table"


@dataclass(frozen=True)
class Trips:
    """How many requests to DynamoDB a route sends at once, trip after trip; `when` says in which of its courses."""

    sent: tuple[int, ...]
    when: str = ""


@dataclass(frozen=True)
class Route:
    """A route of the API, and what it is for.

    `needs_caller` where it asks for an API key; `trips` are those of its courses, where it reads.
    """

    method: str
    path: str
    summary: str
    needs_caller: bool = True
    trips: tuple[Trips, ...] = ()


def pages(
    measured: Mapping[str, Any], examples: Mapping[str, Any], routes: Sequence[Route], api: Mapping[str, Budget]
) -> dict[str, str]:
    """Return every generated file by its path under `docs/`.

    Args:
        measured: the content of `measured.json`.
        examples: the content of `examples.json`.
        routes: the routes of the API.
        api: the budgets of what is measured from end to end.
    """
    made = {
        "index.md": glance(readers_of),
        "diagrams.md": _diagrams(),
        "relations.svg": diagrams.relations(),
        "turn.svg": diagrams.turn(),
        "routes.md": _routes(routes),
        "exports.md": _exports(),
        "patterns/index.md": index_page(measured, api),
    }
    made |= {f"entities/{file_of(entity)}": entity_page(entity) for entity in entities()}
    for pattern in patterns():
        figures, example = measured["patterns"].get(pattern.id, {}), examples.get(pattern.id, [])
        made[f"patterns/{pattern.id.lower()}.md"] = pattern_page(pattern, figures, example)
    made |= {f"exports/{name}": text for name, text in exports(measured).items()}
    return {f"{FOLDER}/{name}": text for name, text in made.items()}


def exports(measured: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the exports by file name."""
    made = {
        "access-patterns.json": machine.access_patterns(measured),
        "nosql-workbench.json": workbench.model(),
        "dynamodb_data_model.json": validation.model(),
        "cloudformation.json": cloudformation.template(),
    }
    return {name: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for name, value in made.items()}


def _diagrams() -> str:
    return page(
        "Diagrams",
        "## Entities and their relations",
        "Each box is an entity with the templates of its keys. Entities with the same `PK` share item collections.",
        "![The entities, their keys and their relations](relations.svg)",
        "## A turn",
        "Four requests to DynamoDB, whatever the length of the conversation. The first turn of a conversation in a "
        "process takes two more, to learn which agent answers. What it costs is "
        "[measured](patterns/index.md#from-end-to-end).",
        "![A turn: four requests to DynamoDB](turn.svg)",
    )


def _routes(routes: Sequence[Route]) -> str:
    rows = []
    for route in routes:
        name = f"{route.method} {route.path}"
        used = [
            f"[{pattern.id}](patterns/{pattern.id.lower()}.md)"
            for pattern in patterns()
            if any(_path(each) == name for each in pattern.routes)
        ]
        rows.append(
            [code(name), route.summary, ", ".join(used) or "none of its own", "yes" if route.needs_caller else "no"]
        )
    return page(
        "Routes and their access patterns",
        "What each route asks of the table. Where a caller is needed, its API key is looked up first: by "
        "[AP-21](patterns/ap-21.md), or with the agent of a turn by [AP-24](patterns/ap-24.md). The tests fail when a "
        "route runs a pattern that does not name it.",
        table(["Route", "What it does", "Access patterns", "Needs a caller"], rows),
        "## Round trips of the reads",
        "**Trips** are the requests to DynamoDB in a row, each a way there and back over the network: what a caller "
        "waits for. What needs nothing of each other goes side by side, in one trip. The API key is the first trip of "
        "all. Very large items, or many that have expired, take further Queries. Where requests are limited by the "
        "minute, each limit is a trip more; so is, with a key of one agent, a turn, or a conversation that the process "
        "has not met. The tests hold each row: a trip goes on only when all of its requests are under way.",
        table(["Route", "When", "Trips", "Requests", "Trip by trip"], _trips(routes)),
    )


def _trips(routes: Iterable[Route]) -> list[list[str]]:
    return [
        [
            code(f"{route.method} {route.path}"),
            each.when,
            str(len(each.sent)),
            str(sum(each.sent)),
            " + ".join(map(str, each.sent)),
        ]
        for route in routes
        for each in route.trips
    ]


def _path(declared: str) -> str:
    """Return a declared route without what is remarked behind it."""
    return declared.split(" with ")[0].split("?")[0]


def _exports() -> str:
    rows = [
        ["`access-patterns.json`", "`patterns`", "the declarations and the measured figures, for programs"],
        ["`nosql-workbench.json`", "`workbench`", "a NoSQL Workbench model, version 3.0, with facets and sample data"],
        [
            "`dynamodb_data_model.json`",
            "`validation`",
            "what AWS's data-modelling tools validate: table, items, and a command for each request",
        ],
        ["`cloudformation.json`", "`cloudformation`", "the table, as `bot table create` makes it"],
    ]
    return page(
        "Exports",
        "The same declarations for other tools. `bot docs export --format FORMAT` prints one; all are kept in "
        "`docs/table/exports/`.",
        table(["File", "Format", "What it is"], rows),
    )
