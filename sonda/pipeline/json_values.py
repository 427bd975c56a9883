"""What in an event of a program JSON cannot express: where it stands, and what to write instead."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from sonda.pipeline.problems import ValidationIssue
from sonda.pipeline.text.escape import at

Path = tuple[str, ...]
_DEEPEST: Final = 100  # deeper than any event; what makes itself anew without end, ends here
_REMEDIES: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    ((bytes, bytearray), "try .decode()"),
    (Decimal, "try float(…)"),
    (Enum, "try its .value"),
    (os.PathLike, "try str(…)"),
    (BaseException, "try str(…)"),
    (timedelta, "for example 5s, as a text"),
    (date, "a datetime with a time zone is one"),
    ((set, frozenset), "try a list"),
)


def find_unwritable(
    value: object,
    plain: Callable[[object], object],
    path: Path = (),
    around: tuple[object, ...] = (),
) -> Iterator[ValidationIssue]:
    """Yield what `json.dumps` cannot write of *value*; *plain* is its `default`, which may raise.

    *around* is what the value stands in: what stands in itself is looked into once, for a list that
    holds itself twice has no end.
    """
    inside = (*around, value)
    if isinstance(value, float) and not math.isfinite(value):
        yield ValidationIssue(at(*path), f"expected a finite number, got {float(value)!r}")
    elif (
        value is None
        or isinstance(value, (str, bool, int, float))
        or len(path) > _DEEPEST
        or any(value is one for one in around)
    ):
        return
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            if not isinstance(name, (str, int, float, bool, type(None))):
                reason = f"expected names that are strings, got {name!r:.200}{_remedy(name)}"
                yield ValidationIssue(at(*path), reason)
            else:
                yield from find_unwritable(inner, plain, (*path, str(name)), inside)
    elif isinstance(value, (list, tuple)):
        for place, inner in enumerate(value):
            yield from find_unwritable(inner, plain, (*path, str(place)), inside)
    else:
        yield from _unwritable_object(value, plain, path, inside)


def _unwritable_object(
    value: object, plain: Callable[[object], object], path: Path, inside: tuple[object, ...]
) -> Iterator[ValidationIssue]:
    try:
        written = plain(value)
    except OverflowError:
        yield ValidationIssue(at(*path), "a number is out of the range of a double")
    except TypeError:
        what = type(value).__name__
        if isinstance(value, type):
            reason = f"the class {value.__name__} is no JSON value (try {value.__name__}(…))"
        else:
            reason = f"{what} is no JSON value{_remedy(value)}"
        yield ValidationIssue(at(*path), reason)
    else:
        yield from find_unwritable(written, plain, path, inside)


def _remedy(value: Any) -> str:
    """Return, in brackets, what to write in place of a value of Python's, if that is known."""
    for kind, remedy in _REMEDIES:
        if isinstance(value, kind):
            return f" ({remedy})"
    # a number or an array of numpy's, or of a library that follows it
    is_scalar = callable(getattr(value, "item", None)) or isinstance(value, numbers.Number)
    return " (try .item())" if is_scalar and not isinstance(value, complex) else ""
