"""Writes without a response from DynamoDB: an unknown outcome is not reported as known."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError
from pynamodb.exceptions import PutError, PynamoDBException, TransactWriteError, UpdateError

from models.table import writing
from models.table.changes import condition_failed
from models.table.errors import Contended
from models.table.writing import Transaction, response_error

UNANSWERED = (ReadTimeoutError(endpoint_url="http://table"), ConnectionClosedError(endpoint_url="http://table"))
IN_PROGRESS = ClientError({"Error": {"Code": "TransactionInProgressException", "Message": ""}}, "TransactWriteItems")


def failing(monkeypatch: pytest.MonkeyPatch, cause: Exception) -> list[str]:
    """Make every attempt of a transaction fail with this error; return the tokens of the attempts."""
    tokens: list[str] = []

    def send(_: Transaction, token: str) -> Any:
        tokens.append(token)
        raise TransactWriteError("no", cause)

    monkeypatch.setattr(Transaction, "_send", send)
    return tokens


@pytest.mark.parametrize("cause", UNANSWERED)
def test_a_transaction_without_a_response_ends_in_an_error_that_the_application_handles(
    cause: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = failing(monkeypatch, cause)
    with pytest.raises(TransactWriteError):
        Transaction().commit()
    assert len(tokens) == 1, "botocore has tried again already"


@pytest.mark.parametrize("patience", ["attempts", "seconds"])
def test_a_transaction_whose_first_attempt_still_runs_is_not_reported_as_unwritten(
    patience: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(_: int) -> None:
        if patience == "seconds":
            raise Contended("it was tried for too long")

    monkeypatch.setattr(writing, "pause", pause)
    tokens = failing(monkeypatch, IN_PROGRESS)
    with pytest.raises(TransactWriteError):
        Transaction().commit()
    assert len(set(tokens)) == 1, "its end is learned under its own token alone"


@pytest.mark.parametrize("cause", [*UNANSWERED, None])
@pytest.mark.parametrize("error", [PutError, UpdateError])
def test_a_write_without_a_response_has_not_failed_its_condition(
    error: type[PynamoDBException], cause: Exception | None
) -> None:
    assert not condition_failed(error("no", cause))
    assert response_error(error("no", cause)) == {}
