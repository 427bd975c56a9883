"""Durations as users write them: `500ms`, `10s`, `1.5m`, `1h`."""

from __future__ import annotations

import re
from typing import Final

from sonda.pipeline.values.memoize import memoize

_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@memoize
def seconds(text: str) -> float:
    """Read a duration as seconds; raises `ValueError` if it is none."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("expected a duration such as 500ms, 10s, 1.5m or 1h")
    number, unit = match.groups()
    return float(number) * _SECONDS[unit]
