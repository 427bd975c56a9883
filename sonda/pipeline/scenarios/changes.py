"""What may be changed in an entry while it runs: its rate, and whether it is paused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from returns.result import Failure, Result, Success

from sonda.pipeline.problems import Invalid, Malformed, Problem, ValidationIssue
from sonda.pipeline.scenarios.entry_limits import ends_too_late, stamps_too_close, values_in_range
from sonda.pipeline.scenarios.limits import MOST_RATE
from sonda.pipeline.scenarios.numbers import as_number, ceil_ns, fraction
from sonda.pipeline.scenarios.observations import Observed
from sonda.pipeline.scenarios.plan import Entry, Scenario
from sonda.pipeline.scenarios.reading import Document
from sonda.pipeline.scenarios.schedule import Schedule
from sonda.pipeline.scenarios.segments import PlanSegment, changed, replayed, segments_of
from sonda.pipeline.scenarios.series import FleetEntry, FleetSchedule
from sonda.pipeline.scenarios.structure import Issues, check_change
from sonda.pipeline.scenarios.timing import Timing
from sonda.pipeline.scenarios.values import Values

MOST_SEGMENTS: Final = 1000
"""Of an entry: a record holds them all."""


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What is to be from now on; `None` leaves it as it is."""

    rate: Fraction | None = None
    is_paused: bool | None = None


def read_change(document: Document) -> Result[PlanChange, Problem]:
    """Return the change that a document asks for; fails with `Malformed` or `Invalid`."""
    issues = Issues()
    for path in document.bad_numbers:
        issues.value(path, "expected a finite number of the range of a double")
    written = document.tree
    if not written:
        return Failure(Malformed((ValidationIssue("", "expected rate or paused"),)))
    check_change(written, issues)
    if (problem := issues.problem()) is not None:
        return Failure(problem)
    rate = written.get("rate")
    # as the record has it: what is read again after a restart is the same plan
    exact = None if rate is None else fraction(as_number(fraction(rate)))
    return Success(PlanChange(exact, written.get("paused")))


def plan_of(entry: Entry) -> Timing:
    """Return the plan that changes: of a fleet that of each series."""
    return entry.each if isinstance(entry, FleetEntry) else entry.schedule


def is_paused(entry: Entry) -> bool:
    """Return whether the plan of an entry stands still."""
    return segments_of(plan_of(entry))[-1].is_paused


def _change_ns(entry: Entry, elapsed: Fraction | None, next_tick: int) -> int:
    """Return from when on a plan can be another: what is due before has been due.

    *elapsed* is the time in seconds since the entry's start, `None` before it. Without pacing the
    time is that of the next tick, and stands still in a pause.
    """
    last = segments_of(plan_of(entry))[-1]
    if entry.pace == "real" and elapsed is not None:
        return max(last.from_ns, ceil_ns(elapsed) + 1)
    if elapsed is None or last.is_paused:
        return last.from_ns
    return max(last.from_ns, ceil_ns(entry.schedule.due(next_tick)))


def change_entry(
    entry: Entry, change: PlanChange, elapsed: Fraction | None, next_tick: int
) -> Result[Entry, Problem]:
    """Return the entry that goes on otherwise from now; fails with `Invalid`.

    *elapsed* is the time in seconds since the entry's start, `None` before it; *next_tick* the first
    that was not handed over. The same entry comes back where nothing is another.
    """
    from_ns = _change_ns(entry, elapsed, next_tick)
    timing = plan_of(entry)
    last = segments_of(timing)[-1]
    if change.rate is not None and (reason := _wrong_rate(entry, last.timing, change.rate)):
        return _refuse(entry, "rate", reason)
    after = changed(timing, from_ns, rate=change.rate, is_paused=change.is_paused)
    if after is timing:
        return Success(entry)
    if len(segments_of(after)) > MOST_SEGMENTS:
        return _refuse(entry, "", f"was changed {MOST_SEGMENTS - 1:,} times: start another run")
    other = _with_plan(entry, after)
    reason = ends_too_late(other) or stamps_too_close(other) or _wrong_values(other)
    return Success(other) if reason is None else _refuse(entry, "rate", reason)


def changed_segments(entry: Entry) -> tuple[PlanSegment, ...]:
    """Return the segments of a plan that was changed; none of one that never was."""
    segments = segments_of(plan_of(entry))
    return segments if len(segments) > 1 else ()


def restored(scenario: Scenario, recorded: Sequence[Mapping[str, Any]]) -> Scenario:
    """Return a scenario with the changes that the record of its run lists, entry by entry."""
    entries = [
        _with_plan(entry, replayed(plan_of(entry), one["segments"])) if "segments" in one else entry
        for entry, one in zip(scenario.entries, recorded, strict=True)
    ]
    return replace(scenario, entries=tuple(entries))


def _with_plan(entry: Entry, timing: Timing) -> Entry:
    if isinstance(entry, FleetEntry):
        together = FleetSchedule(timing, len(entry.own_labels))
        return replace(entry, schedule=together, each=timing)
    return replace(entry, schedule=timing)


def _wrong_rate(entry: Entry, plan: Timing, rate: Fraction) -> str | None:
    """Return why an entry cannot have a rate."""
    if not isinstance(plan, Schedule):
        return "is not for an entry whose stages or rows say when events are due"
    together = replace(plan, rate=rate).peak_rate
    if isinstance(entry, FleetEntry):
        together *= len(entry.own_labels)
    if together > MOST_RATE:
        return f"with bursts and all series together must be at most {MOST_RATE:,}"
    return None


def _wrong_values(entry: Entry) -> str | None:
    """Return why the values of an entry cannot be had, which now makes more of them."""
    content, timing = entry.content, plan_of(entry)
    match content:
        case Values():
            is_sound = values_in_range(content.shape, content.jitter, timing.planned)
        case Observed():
            is_sound = content.fits(timing)
        case _:
            is_sound = True
    return None if is_sound else "makes values beyond the range of a double"


def _refuse(entry: Entry, path: str, reason: str) -> Result[Entry, Problem]:
    said = f"{reason} (scenario entry '{entry.id}')"
    return Failure(Invalid((ValidationIssue(path, said),)))
