"""What makes PynamoDB a single table: items and their keys, reading, writing, and what both must never get wrong.

A program that uses the models needs two names of it: `configure` points them at a table, `TableSettings` says at which.
Nothing in here knows an entity; the entities stand one floor up, one a file.
"""

from models.table.connection import TableSettings, configure

__all__ = ["TableSettings", "configure"]
