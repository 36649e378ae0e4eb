"""The files of the embedded DynamoDB engine: one SQLite database, and an older copy of it as a fallback.

| file | content |
|---|---|
| `state.sqlite3` (and `-wal`, `-shm`) | everything that was acknowledged |
| `previous.sqlite3` | a copy, made at startup and then at most every ten minutes if something has changed |
| `damaged-<time>.sqlite3` | a `state.sqlite3` that could not be read, kept for analysis |
| `lock` | locked by the engine that runs in this directory; contains its process id |
"""

import fcntl
import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

log = logging.getLogger(__name__)

FORMAT = 1
STATE = "state.sqlite3"
PREVIOUS = "previous.sqlite3"
_SCHEMA = f"""
BEGIN;
CREATE TABLE items (arn TEXT, pk TEXT, sk TEXT, item TEXT NOT NULL, PRIMARY KEY (arn, pk, sk));
CREATE TABLE definitions (kind TEXT, key TEXT, definition TEXT NOT NULL, PRIMARY KEY (kind, key));
PRAGMA user_version = {FORMAT};
COMMIT;
"""
State = TypeVar("State")


class DirectoryInUse(Exception):
    """Another engine runs in this directory."""


class UnusableState(Exception):
    """The state on disk cannot be read, and there is no usable copy."""


class _Damaged(Exception):
    """A database file cannot be read."""


def lock_directory(directory: Path, patience: float) -> int:
    """Lock the directory for the lifetime of this process, and return the lock's file descriptor.

    Waits up to `patience` seconds, because an engine whose server was killed needs a moment to exit.

    Raises:
        DirectoryInUse: Another engine still holds the lock.
    """
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise DirectoryInUse(
                f"The data directory {directory} is in use by a running engine (pid {holder})."
                " Stop that server, or choose another data directory."
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def open_state(
    directory: Path, read: Callable[[sqlite3.Connection], State]
) -> tuple[sqlite3.Connection, State, str | None]:
    """Open the database; return it, the result of `read`, and a sentence for the user if the older copy had to be used.

    Raises:
        UnusableState: Neither the database nor the copy can be read, or a newer version wrote it.
    """
    current, previous = directory / STATE, directory / PREVIOUS
    try:
        if not current.exists() and previous.exists():
            raise _Damaged("it is missing")
        return (*_read_checked(current, read, may_be_new=not previous.exists()), None)
    except _Damaged as damage:
        if not previous.exists():
            raise UnusableState(
                f"{current} cannot be read ({damage}), and there is no older copy. Move it away to start empty."
            ) from damage
        copied_at = datetime.fromtimestamp(previous.stat().st_mtime, UTC).isoformat(timespec="seconds")
        notice = f"{current} cannot be read ({damage}): using the copy of {copied_at}; later changes are lost."
        log.error("%s", notice)
    _set_aside(directory)
    _copy(previous, current)
    try:
        return (*_read_checked(current, read, may_be_new=False), notice)
    except _Damaged as damage:
        raise UnusableState(
            f"Neither {current} nor {previous} can be read ({damage}). Move {directory} away to start empty."
        ) from damage


def keep_copy(directory: Path) -> None:
    """Replace the older copy with one of the current database; safe while it is being written."""
    fresh = directory / (PREVIOUS + ".tmp")
    fresh.unlink(missing_ok=True)
    with closing(sqlite3.connect(directory / STATE)) as connection:
        connection.execute("VACUUM INTO ?", (str(fresh),))
    _publish(fresh, directory / PREVIOUS)


def _read_checked(
    path: Path, read: Callable[[sqlite3.Connection], State], *, may_be_new: bool
) -> tuple[sqlite3.Connection, State]:
    """Connect to the database, check its pages, and read it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=1)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
        connection.execute("PRAGMA checkpoint_fullfsync = ON")  # macOS: also flush the drive's cache
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if not may_be_new:
                raise _Damaged("it is empty")
            connection.executescript(_SCHEMA)
        elif version != FORMAT:
            raise UnusableState(f"{path} has format {version}; this version reads format {FORMAT} only.")
        if (finding := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _Damaged(str(finding))
        return connection, read(connection)
    except BaseException as failure:
        connection.close()
        # An operational error (no space, no permission, an I/O error) does not mean that the data is damaged.
        if isinstance(failure, (sqlite3.DatabaseError, ValueError)) and not isinstance(
            failure, sqlite3.OperationalError
        ):
            raise _Damaged(str(failure)) from failure
        raise


def _set_aside(directory: Path) -> None:
    """Move a damaged database out of the way, with its WAL, which SQLite must not apply to the copy."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    for suffix in ("", "-wal", "-shm"):
        file = directory / (STATE + suffix)
        if file.exists():
            file.rename(directory / f"damaged-{stamp}.sqlite3{suffix}")


def _copy(source: Path, target: Path) -> None:
    fresh = target.with_name(target.name + ".tmp")
    shutil.copyfile(source, fresh)
    _publish(fresh, target)


def _publish(fresh: Path, target: Path) -> None:
    """Move a finished file into place, so that a power cut leaves the old one or the new one, never a part."""
    for path, publish in ((fresh, True), (target.parent, False)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if publish:
            fresh.replace(target)
