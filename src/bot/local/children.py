"""Child processes that cannot outlive the server that started them.

A child is `python -m bot.local.<x>_child`. It holds the read end of a pipe whose write end only this process and its
forked workers have, and exits when that pipe closes: see `bot.local.lifeline`. When it is ready, it writes one line of
JSON, so nothing has to poll or guess a port.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bot

# What a Python process needs to run. Nothing else is passed on: a child needs no API keys or AWS credentials.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_LOG_LIMIT = 1_000_000


class EmbeddedUnavailable(Exception):
    """An embedded service cannot run here; the message is one sentence for the user."""


class Child:
    """One child process. It may be restarted after it has ended."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        """Take the child's display name, the module to run, its arguments, and the file for all its output."""
        self.name = name
        self.log = log
        self._command = [sys.executable, "-P", "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The child's process id, or None before the start and after the stop."""
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 60) -> dict[str, Any]:
        """Start the child and return the facts of its readiness line.

        Raises:
            EmbeddedUnavailable: It refused, ended, or was not ready within `timeout` seconds; it has been stopped.
        """
        self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            # Its own process group protects it from the terminal's Ctrl-C before it can ignore that.
            self._process = subprocess.Popen(  # noqa: S603 - the command is this interpreter and a module of ours
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(),
                process_group=0,
            )
        self._owner = os.getpid()
        try:
            return self._readiness(self._process, timeout)
        except BaseException:
            self.stop(timeout=1)
            raise

    def stop(self, timeout: float = 10) -> None:
        """Terminate the child and wait for it; kill it after `timeout` seconds. Idempotent.

        Only the process that started the child stops it: a forked worker that unwinds its parent's stack must not stop
        what the parent still uses.
        """
        process = self._process
        if process is None or self._owner != os.getpid():
            return
        self._process = None
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        # Closing the pipe is not enough: a forked worker may still hold it open.
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _readiness(self, process: subprocess.Popen[bytes], timeout: float) -> dict[str, Any]:
        """Wait for the child's readiness line and return its content."""
        assert process.stdout is not None
        output = b""
        deadline = time.monotonic() + timeout
        while not output.endswith(b"\n"):
            if not select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise EmbeddedUnavailable(f"{self.name} was not ready within {timeout:g} seconds; see {self.log}")
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                reason = _exit_reason(process.wait())
                raise EmbeddedUnavailable(
                    f"{self.name} ended while starting ({reason}){self._last_line()}; see {self.log}"
                )
            output += chunk
        facts: dict[str, Any] = json.loads(output)
        if "error" in facts:
            raise EmbeddedUnavailable(str(facts["error"]))
        return facts

    def _last_line(self) -> str:
        """The last line that this run of the child wrote; of a traceback, it is the error."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").split("\n")
        line = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f": {line}" if line else ""


def _exit_reason(returncode: int) -> str:
    return f"status {returncode}" if returncode >= 0 else f"killed by {signal.Signals(-returncode).name}"


def _environment() -> dict[str, str]:
    """The environment of a child: the variables in `_PASSED_ON`, and the path to this package."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment["PYTHONPATH"] = str(Path(bot.__file__).resolve().parents[1])
    environment["PYTHONUNBUFFERED"] = "1"
    return environment
