"""A process that answers DynamoDB's requests with canned bytes: `python -m bench.dynamodb MODEL`."""

import sys
import time
from collections.abc import Callable
from email.utils import formatdate

from bench.canned import Answers
from bench.http import header, serve


class _DynamoDB:
    """Answers every request that a benchmark sends, whatever was written before."""

    def __init__(self, model: str) -> None:
        self._answers = Answers(model)

    def __call__(self, head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:
        operation = (header(head, b"x-amz-target") or b"").rpartition(b".")[2]
        date = formatdate(time.time(), usegmt=True).encode()
        write(self._answers.to(operation, body).replace(b"{date}", date, 1))


if __name__ == "__main__":
    serve(_DynamoDB(sys.argv[1]))
