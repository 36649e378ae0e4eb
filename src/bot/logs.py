"""The server's log: one line an event on standard error, with the access pattern that ran."""

import logging
import sys

from models.access_patterns import AccessPatternFilter

FORMAT = "%(asctime)s %(levelname)-7s %(name)s %(access_pattern)s %(message)s"
# These say too much at INFO, and at DEBUG they would print requests with what they carry.
_TALKATIVE = ("botocore", "boto3", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2", "openai", "pynamodb")


def log_to_stderr(level: str) -> None:
    """Send this process's log to standard error, from `level` on; for a process that is a server and nothing else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(AccessPatternFilter())
    logging.basicConfig(handlers=[handler], level=level, format=FORMAT, force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
