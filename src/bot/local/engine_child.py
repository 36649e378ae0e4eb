"""The process of the embedded DynamoDB engine: `python -m bot.local.engine_child DIRECTORY PORT`."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sqlite3
import sys
import time
from pathlib import Path

from hypercorn.asyncio import serve
from hypercorn.config import Config

from bot.local.engine_app import EngineApp
from bot.local.engine_files import DirectoryInUse, UnusableState, keep_copy, lock_directory
from bot.local.engine_store import Store
from bot.local.lifeline import LIFELINE, Announcement, ignore_interrupts

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOCK_PATIENCE = 5.0
COPY_INTERVAL = 600.0
TICK = 1.0


def main() -> None:
    """Run the engine until the parent is gone or sends SIGTERM."""
    announcement = Announcement()
    ignore_interrupts()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    os.umask(0o077)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        lock_directory(directory, LOCK_PATIENCE)
        asyncio.run(_serve(directory, port, announcement))
    except (DirectoryInUse, UnusableState) as refusal:
        announcement.refuse(str(refusal))


async def _serve(directory: Path, port: int, announcement: Announcement) -> None:
    try:
        listener = socket.create_server((HOST, port), backlog=1024)
    except OSError as failure:
        announcement.refuse(f"The embedded engine cannot listen on {HOST}:{port}: {os.strerror(failure.errno or 0)}.")
    port = listener.getsockname()[1]
    store = Store(directory)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = 1024
    config.loglevel = "WARNING"
    config.graceful_timeout = 2.0
    # Clients pool their connections; closing one that they still hold costs them a retry.
    config.keep_alive_timeout = 3600
    config.keep_alive_max_requests = 1_000_000_000
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    loop.add_reader(LIFELINE, _end_of_parent, loop, ending)
    housekeeping = asyncio.create_task(_keep_house(store, directory))
    announcement.ready(port=port, notice=store.notice)
    try:
        await serve(EngineApp(store), config, shutdown_trigger=ending.wait)
    finally:
        housekeeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await housekeeping
        store.close()


def _end_of_parent(loop: asyncio.AbstractEventLoop, ending: asyncio.Event) -> None:
    # Nothing is ever written to this pipe, so it becomes readable only when it is closed.
    loop.remove_reader(LIFELINE)
    ending.set()


async def _keep_house(store: Store, directory: Path) -> None:
    """Persist deletions by expiry, and renew the backup copy of the database."""
    copied_at, copied = -COPY_INTERVAL, -1
    while True:
        try:
            if store.pending:
                store.commit(tables=False)
            if store.commits != copied and time.monotonic() - copied_at >= COPY_INTERVAL:
                copied_at, copied = time.monotonic(), store.commits
                await asyncio.to_thread(keep_copy, directory)
        except (sqlite3.Error, OSError):
            log.exception("Writing the state failed; it will be retried")
        await asyncio.sleep(TICK)


if __name__ == "__main__":
    main()
