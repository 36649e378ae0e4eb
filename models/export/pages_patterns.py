"""The access-pattern table, and one page per pattern."""

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from models.access_patterns.declare import AccessPattern, Budget, Request, patterns
from models.export.markdown import code, json_block, page, table
from models.export.pages_entities import file_of

Figures = Mapping[str, Mapping[str, float]]
_MODULES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z])")
_UNITS = ("requests", "rcu", "wcu", "items")


def readers_of(index: str) -> str:
    """Return links to the patterns that read an index."""
    found = [pattern for pattern in patterns() if any(request.index == index for request in pattern.requests)]
    return ", ".join(f"[{pattern.id}](patterns/{pattern.id.lower()}.md)" for pattern in found)


def _figure(figures: Figures, unit: str) -> str:
    values = [
        f"{each['wcu'] + each['index_wcu']:g}" if unit == "wcu" else f"{each[unit]:g}" for each in figures.values()
    ]
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _measured_of_budget(budget: Budget, figures: Figures) -> list[str]:
    most = {"requests": budget.requests, "rcu": budget.rcu, "wcu": budget.wcu}
    return [f"{_figure(figures, unit)} of {most[unit]:g}" for unit in most] + [_figure(figures, "items")]


def index_page(measured: Mapping[str, Any], api: Mapping[str, Budget]) -> str:
    """Return the page with all patterns; `api` has the budgets of API requests that are measured end to end."""
    sizes = " / ".join(f"{int(size):,}" for size in measured["messages"])
    rows = [
        [
            f"[{pattern.id}]({pattern.id.lower()}.md)",
            pattern.title,
            *_measured_of_budget(pattern.budget, measured["patterns"][pattern.id]),
        ]
        for pattern in patterns()
    ]
    whole = [[name, *_measured_of_budget(budget, measured["api"][name]), budget.basis] for name, budget in api.items()]
    growing = ", ".join(pattern.id for pattern in patterns() if pattern.budget.grows)
    return page(
        "Access patterns",
        "Every request to the table belongs to one of these patterns. Each is a typed function in "
        "`models/access_patterns/`, declared with its requests and its budget. The tests check every request on the "
        "wire against its declaration, and every figure here against the measurements.",
        "**Measured of budget**: `5 of 6` means that one call used 5 and may use 6. If the cost depends on "
        f"the size of the conversation, there are four figures, for {sizes} messages. The capacity is computed from "
        "the requests and responses by DynamoDB's rules; write units include those of the indexes. Budgets are for "
        f"the case that each page states. The cost of {growing} grows with the amount of data; their budgets are for "
        "the smallest case.",
        table(["Pattern", "What it does", "Requests", "RCU", "WCU", "Items"], rows),
        "## End to end",
        "The same for whole requests to the REST API, including authentication.",
        table(["Request", "Requests", "RCU", "WCU", "Items", "For"], whole),
    )


def pattern_page(pattern: AccessPattern, figures: Figures, examples: list[Mapping[str, Any]]) -> str:
    """Return a pattern's page."""
    function = inspect.unwrap(pattern.function)
    signature = _signature(function)
    doc = inspect.getdoc(function) or ""
    budget = pattern.budget
    most = [
        f"budget{' (10 messages)' if budget.grows else ''}",
        str(budget.requests),
        f"{budget.rcu:g}",
        f"{budget.wcu:g}",
        "",
    ]
    rows = [
        [f"{int(size):,} messages", *(_figure({size: each}, unit) for unit in _UNITS)] for size, each in figures.items()
    ]
    return page(
        f"{pattern.id} {pattern.title}",
        f"> {pattern.question}",
        "## Requests",
        *_requests(pattern),
        "## Cost",
        table(["", "Requests", "RCU", "WCU", "Items"], [most, *rows]),
        f"The budget is for {budget.basis}.",
        "## In Python",
        f"```python\nfrom {function.__module__} import {function.__name__}\n\n{signature}\n```",
        doc.split("\n\nArgs:")[0].split("\n\nRaises:")[0],
        "## In the API",
        "\n".join(f"- {code(route) if ' /' in route else route}" for route in pattern.routes) or "No route uses it.",
        "## An example",
        "Ids and times are fictitious; long texts and lists are truncated." if examples else "",
        *_examples(examples),
    )


def _signature(function: Callable[..., object]) -> str:
    """Return a function's signature with one parameter per line, without the modules of its types."""
    signature = inspect.signature(function)
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    lines = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in lines and parameter.VAR_POSITIONAL not in kinds:
            lines.append("*")
        lines.append(str(parameter))
    arguments = "".join(f"    {line},\n" for line in lines)
    text = f"{function.__name__}(\n{arguments})" + f" -> {inspect.formatannotation(signature.return_annotation)}"
    return _MODULES.sub("", text)


def _requests(pattern: AccessPattern) -> list[str]:
    rows = [
        [
            request.operation + (f" ({request.when})" if request.when else ""),
            code(request.index or "") or "the table",
            code(request.partition_key.replace(", ", "`, `")),
            code(request.sort_key or _sort_keys(request)),
            _how(request),
        ]
        for request in pattern.requests
    ]
    blocks = [table(["Operation", "On", "Partition key", "Sort key", "How"], rows)]
    entities = {entity for request in pattern.requests for entity in request.entities}
    entities |= {write.entity for request in pattern.requests for write in request.writes}
    links = [f"[{each.ENTITY}](../entities/{file_of(each)})" for each in sorted(entities, key=lambda each: each.ENTITY)]
    return [*blocks, "Entities: " + ", ".join(links) + "."]


def _sort_keys(request: Request) -> str:
    if request.operation == "Query":
        return ""
    entities = [write.entity for write in request.writes] or list(request.entities)
    return "`, `".join(dict.fromkeys(entity.SK.template.text for entity in entities))


def _how(request: Request) -> str:
    notes = []
    if request.writes:
        notes.append(
            ", ".join(f"{write.part} {write.entity.ENTITY}{' (if any)' * write.optional}" for write in request.writes)
        )
    elif request.operation == "UpdateItem":
        notes.append("if it exists")
    else:
        words = {
            True: "strongly consistent",
            False: "eventually consistent",
            "either": "strongly or eventually consistent",
        }
        notes.append(words[request.consistent])
    if request.order:
        notes.append({"either": "in either order"}.get(request.order, f"{request.order} order"))
    if request.page:
        notes.append(f"page: {request.page}")
    return "; ".join(notes)


def _examples(examples: list[Mapping[str, Any]]) -> list[str]:
    blocks = []
    for example in examples:
        blocks += [f"**{example['operation']}**", json_block(example["request"])]
        answer = example["answer"]
        blocks += ["returns", json_block(answer)] if answer else ["returns nothing."]
    return blocks
