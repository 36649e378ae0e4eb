"""Every access pattern of the table: one typed function each, declared with its id, its requests and its budget.

The caller's `user_id` comes first wherever an item has an owner: a pattern cannot be called without it, and answers for
somebody else's item as for a missing one.
"""

from models.access_patterns.declare import (
    AccessPattern,
    AccessPatternFilter,
    Budget,
    Call,
    Request,
    Write,
    access_pattern,
    current,
    observe,
    patterns,
)

__all__ = [
    "AccessPattern",
    "AccessPatternFilter",
    "Budget",
    "Call",
    "Request",
    "Write",
    "access_pattern",
    "current",
    "observe",
    "patterns",
]
