"""All generated pages: `bot docs write` writes them, and the tests compare them."""

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
    """A route's round trips to DynamoDB: how many requests it sends in parallel in each; `when` names the scenario."""

    sent: tuple[int, ...]
    when: str = ""


@dataclass(frozen=True)
class Route:
    """A route of the API and its purpose.

    `needs_caller`: it requires authentication; `trips` has the round trips of each of its scenarios, if it reads.
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
        api: the budgets of API requests that are measured end to end.
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
        "A turn sends four requests to DynamoDB, however long the conversation is. The first turn of a conversation in "
        "a process sends two more, to learn which agent answers. The costs are "
        "[measured](patterns/index.md#end-to-end).",
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
        rows.append([code(name), route.summary, ", ".join(used) or "none", "yes" if route.needs_caller else "no"])
    return page(
        "Routes and their access patterns",
        "The access patterns that each route runs. An authenticated route also looks up the API key first: with "
        "[AP-21](patterns/ap-21.md), or together with the agent of a turn with [AP-24](patterns/ap-24.md). The tests "
        "fail if a route runs a pattern that does not name it.",
        table(["Route", "What it does", "Access patterns", "Authenticated"], rows),
        "## Round trips of the reads",
        "A **round trip** is one or more requests to DynamoDB that are sent in parallel. The next one starts after "
        "their responses, so the number of round trips determines the latency. The first one reads the API key, or the "
        "share link. Very large items and many expired items take further Queries. Each rate limit per minute that is "
        "set adds a round trip. With a key for one agent, a turn adds one, and so does a conversation that the process "
        "has not seen before. The tests check each row: they hold back each round trip until all its requests are "
        "sent.",
        table(["Route", "When", "Round trips", "Requests", "Requests per round trip"], _trips(routes)),
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
    """Return a declared route without the remark after it."""
    return declared.split(" with ")[0].split("?")[0]


def _exports() -> str:
    rows = [
        ["`access-patterns.json`", "`patterns`", "the declarations and the measured figures, for programs"],
        ["`nosql-workbench.json`", "`workbench`", "a NoSQL Workbench model, version 3.0, with facets and sample data"],
        [
            "`dynamodb_data_model.json`",
            "`validation`",
            "input for AWS's data-modelling tools, which validate it: table, items, and a command for each request",
        ],
        ["`cloudformation.json`", "`cloudformation`", "the table that `bot table create` creates"],
    ]
    return page(
        "Exports",
        "The same declarations for other tools. `bot docs export --format FORMAT` prints one; all of them are in "
        "`docs/table/exports/`.",
        table(["File", "Format", "Content"], rows),
    )
