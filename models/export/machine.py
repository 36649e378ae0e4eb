"""`access-patterns.json`: the declarations for programs, optionally with the measured figures."""

from collections.abc import Mapping
from typing import Any

from models.access_patterns.declare import AccessPattern, Request, patterns
from models.table.indexes import INDEXES, STREAM_VIEW, TTL_ATTRIBUTE
from models.table.item import Item


def access_patterns(measured: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the table, entities and patterns as JSON values; `measured` is the content of `measured.json`."""
    figures = (measured or {}).get("patterns", {})
    return {
        "table": {"partition_key": "PK", "sort_key": "SK", "ttl": TTL_ATTRIBUTE, "stream": STREAM_VIEW},
        "indexes": [
            {
                "name": index.name,
                "partition_key": index.partition_key,
                "sort_key": index.sort_key,
                "carries": list(index.includes),
                "purpose": index.purpose,
            }
            for index in INDEXES
        ],
        "entities": [
            {"name": name, "partition_key": entity.PK.template.text, "sort_key": entity.SK.template.text}
            for name, entity in sorted(Item.entities().items())
        ],
        "access_patterns": [_pattern(pattern, figures.get(pattern.id)) for pattern in patterns()],
    }


def _pattern(pattern: AccessPattern, figures: Mapping[str, Any] | None) -> dict[str, Any]:
    described: dict[str, Any] = {
        "id": pattern.id,
        "title": pattern.title,
        "question": pattern.question,
        "function": f"{pattern.function.__module__}.{pattern.function.__qualname__}",
        "requests": [_request(request) for request in pattern.requests],
        "budget": {
            "requests": pattern.budget.requests,
            "rcu": pattern.budget.rcu,
            "wcu": pattern.budget.wcu,
            "basis": pattern.budget.basis,
            "grows": pattern.budget.grows,
        },
        "routes": list(pattern.routes),
    }
    return {**described, "measured": figures} if figures else described


def _request(request: Request) -> dict[str, Any]:
    return {
        "operation": request.operation,
        "index": request.index,
        "partition_key": request.partition_key,
        "sort_key": request.sort_key,
        "entities": [entity.ENTITY for entity in request.entities],
        "consistent": request.consistent,
        "order": request.order,
        "page": request.page,
        "writes": [
            {"part": write.part, "entity": write.entity.ENTITY, "optional": write.optional} for write in request.writes
        ],
        "optional": request.optional,
        "alone": request.alone,
    }
