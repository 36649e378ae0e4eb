"""Numbers of a JSON body: a whole one keeps all its digits, any other is a double, and digits are not lost unsaid."""

import math
import re
from decimal import Context, Decimal

# How many significant digits any double keeps, and the most that one can have.
_KEPT = 17
_MOST = 767
# Python reads no more at once, and takes quadratic time for them.
_LONGEST_WHOLE = 4300
_NOT_DIGITS = re.compile(r"[eE].*|\D")
TOO_EXACT = f"a number with a fraction has at most {_KEPT} digits, or those of a double; send more as a string"


class Rounded(float):
    """A number of a body of which a double does not keep all digits."""


def double(rounded: list[Rounded], text: str) -> float:
    """Return a number with a fraction or an exponent; note it in `rounded` if a double would lose digits of it.

    17 digits tell any two doubles apart. So what was a double before comes with no more than 17, or with digits that
    are the double's own: `%.20f` of 0.1 is 0.10000000000000000555. Any others were never in a double.

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
    """Return a whole number.

    Raises:
        ValueError: it is too long to be read.
    """
    if len(text.lstrip("-")) > _LONGEST_WHOLE:
        raise ValueError(f"a whole number has at most {_LONGEST_WHOLE:,} digits")
    return int(text)
