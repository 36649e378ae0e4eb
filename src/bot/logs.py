"""The server's log: one line an event on standard error, with the access pattern that ran, and without secrets."""

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
# These say too much at INFO, and at DEBUG they would print requests with what they carry.
_TALKATIVE = ("botocore", "boto3", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "pynamodb")
# A secret of the deployment's that is shorter would maul ordinary words.
_SHORTEST = 8
# What every record has; whatever else stands on one was given by `extra=`.
_PLAIN = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

log = logging.getLogger(__name__)


class Redacting(logging.Formatter):
    """A formatter whose lines hold no secret, whether it came in a message, an argument, an extra or a traceback.

    The finished line is searched, not the record: so nothing gets past that a third party put together in its own way.
    """

    def __init__(self, wrapped: logging.Formatter, secrets: tuple[str, ...] = ()) -> None:
        """Take the formatter that makes the lines, and secrets that must not stand in them, whatever they look like."""
        super().__init__()
        self._wrapped = wrapped
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return redact(self._wrapped.format(record), self._secrets)


class TextLines(logging.Formatter):
    """Lines for people, who may read them in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines where there is a traceback."""
        return printable(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line: what a log store can search by field."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        found: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        found |= {name: value for name, value in vars(record).items() if name not in _PLAIN and value != ""}
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found, default=str, ensure_ascii=False)


def log_to_stderr(level: str, form: LogFormat = "text", secrets: tuple[str, ...] = ()) -> None:
    """Send this process's log to standard error, for a process that is a server and nothing else.

    Args:
        level: from which level on.
        form: `text` for people, `json` for log stores.
        secrets: the deployment's own, which no line may hold.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AccessPatternFilter())
    handler.setFormatter(Redacting(JsonLines() if form == "json" else TextLines(FORMAT), secrets))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Python would write what nobody caught, and what libraries warn of, past the log.
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda caught: _uncaught(caught.exc_type, caught.exc_value, caught.exc_traceback)


@contextmanager
def warnings_alone(name: str) -> Iterator[None]:
    """Leave out what this logger says below WARNING, where a person at the terminal is told the same in other words."""
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
    log.critical("nobody caught this", exc_info=(kind, error or kind(), trace))
