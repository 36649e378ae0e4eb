"""How often something is tried again that DynamoDB put off, and how long is waited in between."""

import random
import time

MAX_ATTEMPTS = 10
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.4


def pause(attempt: int) -> None:
    """Wait before the next try: a random time that doubles at most with each `attempt`, from 10 ms to 0.4 s.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (full jitter)
    """
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**attempt)))  # noqa: S311 - not a secret
