"""Single-table support on top of PynamoDB: items, keys, reads, writes and their invariants.

A program that uses the models needs two names from here: `configure` points them at the table that a `TableSettings`
describes. Nothing in this package knows an entity; those are in `models`, one per file.
"""

from models.table.connection import TableSettings, configure

__all__ = ["TableSettings", "configure"]
