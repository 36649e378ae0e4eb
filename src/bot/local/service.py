"""The common part of the embedded engine and the embedded model: a child process that serves on a loopback port."""

import logging
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from bot.local.children import Child, EmbeddedUnavailable

log = logging.getLogger(__name__)

_RESTART_INTERVAL = 5.0


class EmbeddedService(ABC):
    """A server on the loopback address, in a child process that cannot outlive this one."""

    name: ClassVar[str]
    module: ClassVar[str]
    log_name: ClassVar[str]
    unavailable: ClassVar[type[EmbeddedUnavailable]]

    def __init__(self, data_dir: Path, port: int = 0) -> None:
        """Take the directory for the service's files, and its port; 0 is any free one."""
        self._data_dir = data_dir.resolve()
        self._port = port
        self._child: Child | None = None
        self._restarted_at = -_RESTART_INTERVAL

    @abstractmethod
    def _arguments(self) -> list[str]:
        """The arguments of the child's module, before the port. Raises `EmbeddedUnavailable` if it cannot run."""

    @property
    def pid(self) -> int | None:
        """The child's process id, or None if there is no child."""
        return self._child.pid if self._child else None

    @property
    def address(self) -> str:
        """Its URL, known after the start; a restart does not change it."""
        if not self._child:
            raise RuntimeError(f"{self.name} has not been started")
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start the service; it is ready when this returns.

        Raises:
            EmbeddedUnavailable: The class's own `unavailable`, with one line for the user, if it cannot run.
        """
        try:
            child = Child(self.name, self.module, [*self._arguments(), str(self._port)], self._data_dir / self.log_name)
            ready = child.start()
        except EmbeddedUnavailable as failure:
            raise self.unavailable(str(failure)) from failure
        if notice := ready.get("notice"):
            log.error("%s", notice)
        self._port, self._child = ready["port"], child

    def ensure_running(self) -> bool:
        """Restart the service on the same port if it has died; return whether it had.

        Meant to be called in a loop: a start that fails is logged, and retried some seconds later.
        """
        child = self._child
        if not child or child.running or time.monotonic() - self._restarted_at < _RESTART_INTERVAL:
            return False
        log.error("%s ended unexpectedly and is being restarted; see %s", self.name, child.log)
        child.stop()
        self._restarted_at = time.monotonic()
        try:
            self.start()
        except EmbeddedUnavailable as failure:
            log.error("%s", failure)
        return True

    def stop(self) -> None:
        """Stop the service. Does nothing if it is not running, or in a process forked from the one that started it."""
        child, self._child = self._child, None
        if child:
            child.stop()

    def __enter__(self) -> Self:
        """Start the service."""
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop the service."""
        self.stop()
