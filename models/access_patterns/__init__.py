"""Every access pattern of the table: one typed function each, declared with its id, its requests and its budget.

If an item has an owner, the caller's `user_id` is the first parameter: a pattern cannot be called without it, and
treats another user's item like a missing one.
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
