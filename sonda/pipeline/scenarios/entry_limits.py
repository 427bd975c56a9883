"""What an entry may not be, however its plan came to be: at its start, or changed while it runs."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from sonda.pipeline.scenarios.compile_series import apart
from sonda.pipeline.scenarios.generators import Shape
from sonda.pipeline.scenarios.numbers import as_number, ceil_ns
from sonda.pipeline.scenarios.plan import Entry, Route
from sonda.pipeline.values.timestamps import LATEST_NS

_MOST_TICKS: Final = 10**18  # of an entry without an end: more than it lives to see
_MOST_DOUBLE: Final = Fraction(2**1024 - 2**970)
_STAMPS_A_SECOND: Final = 1000  # of encoders that identify a sample in milliseconds


def ends_too_late(entry: Entry) -> str | None:
    """Return what is wrong with an entry whose last stamp no destination could take."""
    last = 0 if entry.planned is None else entry.schedule.due(entry.planned - 1)
    if entry.start_ns + ceil_ns(Fraction(last)) > LATEST_NS:
        return "the last event would be after 2262-04-11T23:47:16Z"
    return None


def stamps_too_close(entry: Entry) -> str | None:
    """Return what is wrong with an entry two of whose samples would have one stamp."""
    peak = entry.schedule.peak_rate * entry.labels.count / (entry.turning * apart(entry.labels))
    if peak <= _STAMPS_A_SECOND or not _stamps_in_ms(entry.route):
        return None
    return (
        f"{as_number(peak)} samples a second of one series: its stamps are milliseconds, "
        f"so at most {_STAMPS_A_SECOND:,} would stay apart"
    )


def values_in_range(shape: Shape, noise: Fraction, planned: int | None) -> bool:
    """Return whether a double can hold every value of so many ticks."""
    reached = _MOST_TICKS if planned is None else planned
    return all(abs(bound) + noise <= _MOST_DOUBLE for bound in shape.bounds(reached))


def _stamps_in_ms(route: Route) -> bool:
    match route.encoder.name:
        case "remote_write":
            return True
        case "prometheus_text":
            return bool(route.encoder.options.timestamp)
        case _:
            return False
