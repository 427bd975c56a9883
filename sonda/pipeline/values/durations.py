"""Durations as users write them: `500ms`, `10s`, `1.5m`, `1h`."""

from __future__ import annotations

import re
from typing import Final

from sonda.pipeline.values.memoize import memoize

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SHORTEST_S: Final = 1e-9
LONGEST_S: Final = 30 * 86_400.0  # event loops cannot count to the "9999999h" that a user may write
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@memoize
def seconds(text: str) -> float:
    """Return a duration in seconds; raise `ValueError` if it is none.

    One above zero is a nanosecond at least, however many zeros a double cannot hold it has.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 500ms, 10s, 1.5m or 1h")
    number, unit = match.groups()
    read_s = float(number) * _SECONDS[unit]
    return max(read_s, _SHORTEST_S) if number.strip("0.") else read_s
