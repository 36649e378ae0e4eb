"""What `bot serve --local` stores for the other commands: its address, and the API key that it printed."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import click

from bot.local.engine import EmbeddedEngine, EngineUnavailable
from bot.settings import Settings
from models.access_patterns import audit_records
from models.table import blobs, connection

_FILE = "local.json"


@dataclass(frozen=True)
class LocalServer:
    """A local server, as it was when it last started."""

    url: str
    api_key: str
    endpoint_url: str

    def save(self, data_dir: Path) -> None:
        """Write it atomically where `load` finds it, readable only by its owner."""
        draft = data_dir / f"{_FILE}.{os.getpid()}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
        draft.replace(data_dir / _FILE)


def load(data_dir: Path) -> LocalServer | None:
    """Return what the last local server stored, or None."""
    try:
        return LocalServer(**json.loads((data_dir / _FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def _table(settings: Settings, *, local: bool) -> Iterator[Settings]:
    """Point the models at the table: the configured one, or that of the embedded engine."""
    if not local or settings.endpoint_url:
        connection.configure(settings.table)
        yield settings
        return
    try:
        with EmbeddedEngine(settings.data_dir) as engine:
            settings = settings.model_copy(update={"endpoint_url": engine.endpoint_url})
            connection.configure(settings.table)
            yield settings
    except EngineUnavailable:
        running = load(settings.data_dir)
        if running is None:
            raise
        settings = settings.model_copy(update={"endpoint_url": running.endpoint_url})
        connection.configure(settings.table)
        yield settings


def with_table(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the option `--local`, and the settings of its table as the first argument."""

    @click.option("--local", is_flag=True, help="Use the table of `bot serve --local`, running or not.")
    @wraps(command)
    def run(*args: Any, local: bool, **options: Any) -> None:
        token = audit_records.acting.set(audit_records.Actor("operator"))
        try:
            with _table(Settings(), local=local) as settings:
                blobs.configure(settings.blobs)
                command(settings, *args, **options)
        finally:
            audit_records.acting.reset(token)

    return run
