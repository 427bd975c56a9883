"""A plan as curves to draw: each entry's rate and values at equal distances of time."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Final

from sonda.pipeline.scenarios.plan import Entry, Scenario
from sonda.pipeline.scenarios.values import Values

_ENDLESS_SHOWN_S: Final = Fraction(60)
_MOST_POINTS: Final = 10_000  # of all entries: some take a tenth of a millisecond


def plan_curves(scenario: Scenario, points: int) -> list[dict[str, Any]]:
    """Return curves of the entries, at *points* times from the run's start until all have ended.

    All curves together have 10,000 points at most; the entries after those have none.

    `until_s` is that end, or a minute where no entry has one. `rate` is in events per second.
    `value`, of entries with values alone, is that of the first event due from then on, `None` where
    none follows; time k of n is `until_s` · k / n.
    """
    ends = [entry.ends_at for entry in scenario.entries]
    until = max((end for end in ends if end), default=_ENDLESS_SHOWN_S)
    times = [until * place / points for place in range(points)]
    return [
        {
            "until_s": float(until),
            "rate": [_rate(entry, time) for time in times],
            **(
                {"value": [_value(entry, time) for time in times]}
                if isinstance(entry.content, Values)
                else {}
            ),
        }
        for entry in scenario.entries[: _MOST_POINTS // points]
    ]


def _rate(entry: Entry, time: Fraction) -> float:
    own, end = time - entry.phase, entry.ends_at
    if own < 0 or (end is not None and time >= end):
        return 0.0
    return float(entry.schedule.target_rate(own))


def _value(entry: Entry, time: Fraction) -> float | None:
    tick = entry.schedule.ticks_before(max(time - entry.phase, Fraction(0)))
    is_over = entry.planned is not None and tick >= entry.planned
    return None if is_over else entry.value(tick)
