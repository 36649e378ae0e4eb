"""The embedded DynamoDB engine's state on disk: every change is written before it is acknowledged.

`ministack` holds its tables in memory and writes them to a file on a graceful stop, so any other end loses everything
since the start. Here every write request ends with one SQLite transaction of the items that it changed, synced to disk
before the answer is sent. Acknowledged writes survive a `kill -9` and a power cut, and each request is atomic.

This uses private names of `ministack`; its version is pinned, and `tests/integration/test_embedded_engine.py` fails if
they change.
"""

import json
import logging
import sqlite3
import threading
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

from bot.local.engine_files import open_state

log = logging.getLogger(__name__)

# The engine's stores besides its tables, as its own `get_state` names them.
_SETTINGS = ("tags", "ttl_settings", "pitr_settings", "contributor_insights", "resource_policies", "backups")
# Derived from the items, or stored item by item.
_NOT_IN_DEFINITION = ("items", "_index_members", "ItemCount", "TableSizeBytes")

_Table = dict[str, Any]
_ItemKey = tuple[str, str, str]


class Store:
    """The engine's state in memory and on disk. Everything but the record of changed items is for one thread."""

    def __init__(self, directory: Path) -> None:
        """Load the directory's state into the engine; `notice` is a sentence if an older copy had to be used.

        Raises:
            bot.local.engine_files.UnusableState: The state cannot be read.
        """
        self._engine = import_module("ministack.services.dynamodb")
        self._changed: dict[_ItemKey, _Table] = {}
        self._changing = threading.Lock()
        self._definitions: dict[tuple[str, str], str] = {}
        self._items: dict[str, dict[str, dict[str, _Table]]] = {}
        self.commits = 0
        self._database, state, self.notice = open_state(directory, self._read)
        self._engine.load_persisted_state(state)
        for table in self._engine._tables.all_values():
            self._engine._update_counts(table)
            self._items[table["TableArn"]] = table["items"]
        self._note_changes()

    @property
    def pending(self) -> bool:
        """Whether items have changed since the last commit; expiry deletes items without a request."""
        return bool(self._changed)

    def commit(self, *, tables: bool) -> None:
        """Write all changed items to disk; with `tables`, also new tables and changed settings.

        Raises:
            sqlite3.Error: Nothing was written, for example because the disk is full; the next commit retries it.
        """
        with self._changing:
            changed, self._changed = self._changed, {}
        if not changed and not tables:
            return
        known = dict(self._definitions), dict(self._items)
        try:
            self._database.execute("BEGIN IMMEDIATE")
            if tables:
                self._write_tables()
                self._write_definitions()
            self._write_items(changed)
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._definitions, self._items = known
            with self._changing:
                self._changed = changed | self._changed
            raise
        self.commits += 1

    def close(self) -> None:
        """Write the remaining changes and close the database."""
        self.commit(tables=True)
        self._database.close()

    def _note_changes(self) -> None:
        """Wrap the two functions with which the engine changes items, to record each change."""
        engine = self._engine
        set_item, remove_item = engine._set_item, engine._remove_item

        def noted_set(table: _Table, pk: str, sk: str, item: _Table) -> object:
            old = set_item(table, pk, sk, item)
            self._note(table, pk, sk)
            return old

        def noted_remove(table: _Table, pk: str, sk: str) -> object:
            old = remove_item(table, pk, sk)
            self._note(table, pk, sk)
            return old

        engine._set_item, engine._remove_item = noted_set, noted_remove  # type: ignore[attr-defined]

    def _note(self, table: _Table, pk: str, sk: str) -> None:
        # The engine's thread that deletes expired items calls this, too.
        with self._changing:
            self._changed[table["TableArn"], pk, sk] = table

    def _write_items(self, changed: dict[_ItemKey, _Table]) -> None:
        for (arn, pk, sk), table in changed.items():
            items = self._items.get(arn)
            if items is None or items is not table["items"]:
                continue  # after this change, the table was deleted or all its items were replaced
            item = items.get(pk, {}).get(sk)
            if item is None:
                self._database.execute("DELETE FROM items WHERE arn = ? AND pk = ? AND sk = ?", (arn, pk, sk))
            else:
                self._put(arn, pk, sk, item)

    def _write_tables(self) -> None:
        """Write all items of each table that is new or was replaced as a whole, and delete those of deleted tables."""
        present: dict[str, dict[str, dict[str, _Table]]] = {
            table["TableArn"]: table["items"] for table in self._engine._tables.all_values()
        }
        for arn in self._items.keys() | present.keys():
            if self._items.get(arn) is present.get(arn):
                continue
            self._database.execute("DELETE FROM items WHERE arn = ?", (arn,))
            for pk, items in present.get(arn, {}).items():
                for sk, item in items.items():
                    self._put(arn, pk, sk, item)
        self._items = present

    def _put(self, arn: str, pk: str, sk: str, item: _Table) -> None:
        # An upsert keeps the row id, so items are loaded in the order in which they were first written.
        self._database.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET item = excluded.item",
            (arn, pk, sk, json.dumps(item, separators=(",", ":"))),
        )

    def _write_definitions(self) -> None:
        """Write the table definitions and settings that differ from those on disk."""
        definitions = {}
        for kind in ("tables", *_SETTINGS):
            for scope, value in getattr(self._engine, f"_{kind}").all_items():
                if kind == "tables":
                    value = {name: part for name, part in value.items() if name not in _NOT_IN_DEFINITION}
                definitions[kind, json.dumps(scope)] = json.dumps(value)
        for key in self._definitions.keys() - definitions.keys():
            self._database.execute("DELETE FROM definitions WHERE kind = ? AND key = ?", key)
        for (kind, scope), text in definitions.items():
            if self._definitions.get((kind, scope)) != text:
                self._database.execute("INSERT OR REPLACE INTO definitions VALUES (?, ?, ?)", (kind, scope, text))
        self._definitions = definitions

    def _read(self, database: sqlite3.Connection) -> dict[str, Any]:
        """Return the state on disk in the form that the engine's `load_persisted_state` expects."""
        scoped = import_module("ministack.core.responses").AccountRegionScopedDict
        items: dict[str, dict[str, _Table]] = defaultdict(lambda: defaultdict(dict))
        for arn, pk, sk, item in database.execute("SELECT arn, pk, sk, item FROM items ORDER BY rowid"):
            items[arn][pk][sk] = json.loads(item)
        self._definitions = {}
        state = {kind: scoped() for kind in ("tables", *_SETTINGS)}
        for kind, scope, text in database.execute("SELECT kind, key, definition FROM definitions"):
            self._definitions[kind, scope] = text
            value = json.loads(text)
            if kind == "tables":
                value["items"] = items[value["TableArn"]]
            state[kind].set_scoped(*json.loads(scope), value)
        return state
