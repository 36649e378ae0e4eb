"""The server's log: one line per event on standard error, with the current access pattern and without secrets."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from bot.printable import printable
from bot.redaction import redact
from models.access_patterns import AccessPatternFilter

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(access_pattern)s %(message)s"
LogFormat = Literal["text", "json"]
# These log too much at INFO, and whole requests at DEBUG.
_VERBOSE = ("botocore", "boto3", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "pynamodb")
# Redacting a shorter secret of the deployment would mangle ordinary words.
_SHORTEST_SECRET = 8
# The attributes of every record; any other comes from `extra=`.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

log = logging.getLogger(__name__)


class Redacting(logging.Formatter):
    """A formatter that redacts secrets, whether they come from a message, an argument, an extra or a traceback.

    It searches the finished line, not the record, so it also catches secrets that a library formatted its own way.
    """

    def __init__(self, wrapped: logging.Formatter, secrets: tuple[str, ...] = ()) -> None:
        """Take the formatter that makes the lines, and secrets to redact besides those recognized by their form."""
        super().__init__()
        self._wrapped = wrapped
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redact(self._wrapped.format(record), self._secrets)


class TextLines(logging.Formatter):
    """Lines for people, safe to print in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or several with a traceback."""
        return printable(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object per line, for log stores that search by field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        found |= {name: value for name, value in vars(record).items() if name not in _STANDARD and value != ""}
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str, ensure_ascii=False)


def log_to_stderr(level: str, form: LogFormat = "text", secrets: tuple[str, ...] = ()) -> None:
    """Send this process's log to standard error; for a process that only serves.

    Args:
        level: the lowest level that is logged.
        form: `text` for people, `json` for log stores.
        secrets: the deployment's own secrets, to be redacted.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AccessPatternFilter())
    handler.setFormatter(Redacting(JsonLines() if form == "json" else TextLines(FORMAT), secrets))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _VERBOSE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Python would write uncaught exceptions and warnings to standard error, bypassing the log.
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


@contextmanager
def warnings_alone(name: str) -> Iterator[None]:
    """Silence this logger below WARNING, while the terminal shows the same events in other words."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    log.critical("uncaught exception", exc_info=(kind, error or kind(), trace))
