"""`stages` of an entry, which stand in place of its rate and its duration."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from sonda.pipeline.scenarios.limits import MOST_RATE
from sonda.pipeline.scenarios.numbers import fraction, seconds
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.stages import StageSchedule, stages_of
from sonda.pipeline.scenarios.structure import Issues


def read_stages(written: Mapping[str, Any], path: Path, issues: Issues) -> StageSchedule | None:
    """Return the schedule that an entry's `stages` make; `None` where something is wrong."""
    for name in ("gaps", "bursts"):
        if name in written:
            reason = "does not go with stages: write a stage for each change of the rate"
            issues.value((*path, name), reason)
            return None
    found: list[tuple[Fraction, Fraction, bool]] = []
    for place, stage in enumerate(written["stages"]):
        where = (*path, "stages", place)
        rate = fraction(stage["rate"])
        if rate > MOST_RATE:
            issues.value((*where, "rate"), f"must be at most {MOST_RATE:,}")
            return None
        try:
            found.append((rate, seconds(stage["for"]), stage.get("ramp", False)))
        except ValueError as exc:
            issues.value((*where, "for"), str(exc))
            return None
    count = written.get("count")
    schedule = StageSchedule(stages_of(found), None if count is None else int(count))
    if not schedule.planned:
        issues.value((*path, "stages"), "have no event: at least one rate must be above 0")
        return None
    return schedule
