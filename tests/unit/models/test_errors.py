"""The data layer's errors are sentences that can be understood on their own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from models.access_patterns import turn_errors
from models.table import errors
from models.table.errors import TableError
from models.turn import Turn

TURN = Turn(user_id="usr_1", turn_id="turn_1")
# Errors that take a sentence, or a field and what is allowed, are reviewed where they are raised.
GIVEN: dict[type[TableError], tuple[Any, ...]] = {
    errors.InvalidValue: ("value.a", "must be a string"),
    errors.InvalidKeyField: ("email", "must be an email address"),
    errors.InvalidDraft: ("content.0.type", "text or image_url"),
    errors.ItemNotFound: ("user",),
    errors.ItemExpired: ("API key",),
    errors.EmailTaken: ("ann@example.com",),
    errors.IdentityTaken: (),
    errors.VersionMismatch: (3,),
    errors.ConversationNotActive: ("completed",),
    errors.LimitReached: ("tokens_per_day", 10, 9, 2, datetime(2026, 11, 26, tzinfo=UTC)),
    errors.LeaseLost: ("turn_1",),
    errors.Contended: ("Others kept coming first.",),
    errors.DoneBefore: ("Another request was first.",),
    errors.TooManyShares: (100,),
    errors.ItemTooLarge: ("value", 500_000, 400_000),
    errors.TransactionTooLarge: (5_000_000, 4_194_304),
    errors.TooManyWrites: ("messages", 150, 98),
    errors.MapTooLarge: ("metadata", (70, 900), (64, 32_768), (60, 800)),
    errors.ContentUnavailable: ("it is missing from the bucket",),
    turn_errors.LeaseHeld: ("turn_1", 3.0),
    turn_errors.LeaseExpired: (TURN,),
    turn_errors.BeginUncertain: (TURN, "it timed out"),
    turn_errors.CancelRequested: ("turn_1",),
}


def below(kind: type[TableError]) -> set[type[TableError]]:
    return {found for each in kind.__subclasses__() for found in (each, *below(each))}


def test_every_error_is_here() -> None:
    assert below(TableError) == set(GIVEN)


@pytest.mark.parametrize("kind", GIVEN, ids=lambda kind: kind.__name__)
def test_an_error_is_a_sentence_and_not_just_a_value(kind: type[TableError]) -> None:
    said = str(kind(*GIVEN[kind]))
    assert len(said.split()) >= 4
    assert said not in map(str, GIVEN[kind]) or issubclass(kind, errors.Contended)
