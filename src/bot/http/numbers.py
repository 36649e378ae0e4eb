"""Numbers in a JSON body: an integer keeps all its digits, any other becomes a double, and lost digits are noted."""

import math
import re
from decimal import Context, Decimal

# A double keeps any 17 significant digits; written out exactly, it has at most 767.
_KEPT = 17
_MOST = 767
# Python parses no longer integers, and takes quadratic time for these.
_LONGEST_WHOLE = 4300
_NOT_DIGITS = re.compile(r"[eE].*|\D")
TOO_EXACT = f"a number with a fraction may have {_KEPT} digits, or exactly those of a double; send others as a string"


class Rounded(float):
    """A number of a body that lost digits when it became a double."""


def double(rounded: list[Rounded], text: str) -> float:
    """Return a number with a fraction or an exponent as a double; add it to `rounded` if the double loses digits of it.

    17 digits distinguish any two doubles. So a number that was a double before has at most 17 digits, or the exact
    digits of that double: `%.20f` of 0.1 is 0.10000000000000000555. Any other digits were never in a double.

    Raises:
        ValueError: it is larger than any double.
    """
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} is out of range")
    digits = _NOT_DIGITS.sub("", text).lstrip("0")
    if not digits or (number and len(digits) <= _KEPT):
        return number
    if number and Context(prec=min(len(digits), _MOST)).create_decimal(number) == Decimal(text):
        return number
    rounded.append(Rounded(number))
    return rounded[-1]


def whole_number(text: str) -> int:
    """Return an integer.

    Raises:
        ValueError: it has too many digits.
    """
    if len(text.lstrip("-")) > _LONGEST_WHOLE:
        raise ValueError(f"a whole number has at most {_LONGEST_WHOLE:,} digits")
    return int(text)
