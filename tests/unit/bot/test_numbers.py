"""Numbers in a body: a double comes back as the same double, and no digit is lost silently."""

import json
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.http.numbers import Rounded, double, whole_number

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def read(text: str) -> float:
    return double([], text)


@given(FINITE, st.sampled_from([repr, json.dumps, "{:.17g}".format, "{:.16e}".format, "{:.40g}".format, Decimal]))
def test_a_double_comes_back_however_it_is_written(number: float, write: object) -> None:
    found = read(str(write(number)))  # type: ignore[operator]
    assert not isinstance(found, Rounded)
    assert (found, math.copysign(1, found)) == (number, math.copysign(1, number))


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_no_more_than_the_digits_of_a_double_are_lost(number: Decimal) -> None:
    found = read(str(number))
    if isinstance(found, Rounded):
        assert Decimal(found) != number
        return
    assert number == 0 or abs(Decimal(found) - number) / abs(number) < Decimal("1.2e-16") or abs(number) < 1e-300


@pytest.mark.parametrize(
    "text",
    ["0.1234567890123456789", "3.14159265358979323846", "1e-400", "-0.333333333333333333333", "12345678901234567890.5"],
)  # fmt: skip
def test_digits_that_no_double_has_are_noted(text: str) -> None:
    assert isinstance(read(text), Rounded)


@pytest.mark.parametrize("text", ["0.0", "-0e99", "1.000000000000000000000000", "0.0000000000000000000000001", "1e22"])
def test_zeros_are_not_significant_digits(text: str) -> None:
    assert not isinstance(read(text), Rounded)


@given(st.integers(-(10**4299), 10**4299))
def test_a_whole_number_keeps_its_digits(number: int) -> None:
    assert whole_number(str(number)) == number


def test_an_integer_with_too_many_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 4,300 digits"):
        whole_number("9" * 4301)
