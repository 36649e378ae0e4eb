"""The name of the DynamoDB engine that the tests run on."""

import os
from functools import cache
from urllib.error import URLError
from urllib.request import urlopen

EMBEDDED = "embedded"


@cache
def engine_name() -> str:
    """Return the name of the tests' engine; TEST_DYNAMODB_ENGINE gives it if it cannot be detected."""
    if named := os.environ.get("TEST_DYNAMODB_ENGINE"):
        return named
    endpoint = os.environ.get("TEST_DYNAMODB_ENDPOINT")
    if endpoint is None:
        return EMBEDDED
    if ".amazonaws.com" in endpoint:
        return "aws"
    return "localstack" if _answers(f"{endpoint}/_localstack/health") else "dynamodb-local"


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError, ValueError):
        return False
