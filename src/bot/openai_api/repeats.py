"""Requests with an idempotency key that arrive while the first one is being answered, or after it."""

import time

from bot.errors import IdempotencyInProgress
from bot.http.disconnects import client_gone
from models.access_patterns.idempotency import find_repeated
from models.idempotency import IdempotencyRecord

# How many seconds a repeated request waits for the first one, and how often it looks.
_REPLAY_WAIT_SECONDS = 30.0
_PAUSE = 0.5


def answered(record: IdempotencyRecord) -> IdempotencyRecord:
    """Return the record of the first request when it has the answer.

    Raises:
        IdempotencyInProgress: it has none yet; or the first request has failed, and the key is free.
    """
    deadline, gone = time.monotonic() + _REPLAY_WAIT_SECONDS, client_gone()
    found: IdempotencyRecord | None = record
    while found is not None and found.answer is None and time.monotonic() < deadline and not gone():
        time.sleep(_PAUSE)
        found = find_repeated(record.user_id, record.fingerprint)
    if found is None or found.answer is None:
        raise IdempotencyInProgress("The first request with this key has no answer yet; retry it.", retry_after=1)
    return found
