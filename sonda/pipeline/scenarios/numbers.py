"""Numbers and durations as fractions of their decimal text, so that no rounding enters a plan."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Final, TypeAlias

Number: TypeAlias = int | float | Decimal

NS_PER_S: Final = 1_000_000_000
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_SECONDS: Final = {
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}
_MOST_DIGITS: Final = 1000
_EXPONENTS: Final = range(-400, 310)  # of the first digit; a double's are from -324 to 308


def is_exact(value: Number) -> bool:
    """Return whether *value* is finite, and short enough to be computed with exactly."""
    if isinstance(value, int):
        return value.bit_length() <= 1024  # noqa: PLR2004  # the largest double has as many bits
    number = Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        return False
    return number == 0 or (
        number.adjusted() in _EXPONENTS and len(number.as_tuple().digits) <= _MOST_DIGITS
    )


def fraction(value: Number) -> Fraction:
    """Return the number that the decimal text of *value* writes; it has to be `is_exact`."""
    return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)


def seconds(text: str) -> Fraction:
    """Return a duration such as `500ms` or `1.5h` in seconds; raises `ValueError` if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None or len(text) > _MOST_DIGITS:
        raise ValueError("expected a duration such as 500ms, 10s, 1.5m or 1h")
    number, unit = match.groups()
    return Fraction(number) * _SECONDS[unit]


def ceil_ns(time_s: Fraction) -> int:
    """Return a time in whole nanoseconds, rounded up."""
    return -(-time_s.numerator * NS_PER_S // time_s.denominator)


def as_number(value: Fraction) -> int | float:
    """Return *value* as JSON would write it: an integer where it is one, else the nearest double."""
    return value.numerator if value.denominator == 1 else float(value)
