"""`series` and `series_phase` of an entry: which series there are, and what makes each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import lcm, prod
from typing import Any, Final, TypeAlias

from returns.result import Failure

from sonda.pipeline.problems import Invalid, Malformed
from sonda.pipeline.scenarios.limits import MOST_RATE, MOST_SERIES
from sonda.pipeline.scenarios.plan import Content, Entry, Labels, LabelSet
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.series import FleetEntry, FleetSchedule, Shifted, period_of
from sonda.pipeline.scenarios.structure import EVENTS_OF, Issues
from sonda.pipeline.scenarios.values import Values
from sonda.pipeline.stages.validate import validate
from sonda.pipeline.text.escape import quote

EMPTY_CONTENT: Final[Mapping[str, Mapping[str, Any]]] = {
    "metrics": {"metric": {"name": "m", "value": 0.0}},
    "logs": {"log": {"severity": "info", "message": ""}},
}
"""What an event of each signal has beside its labels, as little as there can be."""

ContentOf: TypeAlias = Callable[[LabelSet], Content]
"""Returns where the content of the series with these labels of its own comes from."""


def is_spread(written: Mapping[str, Any]) -> bool:
    """Return whether an entry shifts its shape from series to series."""
    return "series" in written and written.get("series_phase") == "spread"


def read_series(
    written: Mapping[str, Any], path: Path, labels: Labels, issues: Issues
) -> tuple[LabelSet, ...]:
    """Return what tells the series of an entry from each other; nothing where it is no fleet."""
    where = (*path, "series")
    if "series" not in written:
        if "series_phase" in written:
            issues.value((*path, "series_phase"), "needs series, whose phases it sets")
        return ()
    asked: Mapping[str, Any] = (
        written["series"] if isinstance(written["series"], dict) else {"series": written["series"]}
    )
    numbered = not isinstance(written["series"], dict)
    counts = [len(of) if isinstance(of, list) else int(of) for of in asked.values()]
    if prod(counts) * labels.count > MOST_SERIES:
        issues.value(where, f"makes more than {MOST_SERIES:,} series")
        return ()
    dynamic = {label.key for label in labels.dynamic}
    for name in asked:
        taken = "labels" if name in labels.fixed else "dynamic_labels" if name in dynamic else None
        if taken is not None:
            reason = f"{quote(name)} stands in {taken}, too: leave one of them out"
            issues.value(where, reason)
            return ()
    prefixes = {name: "" if numbered else f"{name}_" for name in asked}
    axes = [
        of if isinstance(of, list) else [f"{prefixes[name]}{place}" for place in range(int(of))]
        for name, of in asked.items()
    ]
    found = tuple(dict(zip(asked, values, strict=True)) for values in product(*axes))
    return found if are_labels(found[0], written["signal_type"], where, issues) else ()


def are_labels(
    labels: LabelSet, signal_type: str, where: Path, issues: Issues, *, by_name: bool = True
) -> bool:
    """Check labels as those of an event are checked; return whether they are fine.

    Issues are at *where*, or, *by_name*, at the label's name in it.
    """
    event = {
        "signal_type": EVENTS_OF[signal_type],
        "labels": dict(labels),
        **EMPTY_CONTENT[EVENTS_OF[signal_type]],
        "encoder": {"type": "json_lines"},
        "sink": {"type": "stdout"},
    }
    checked = validate(event, received_ns=0)
    if isinstance(checked, Failure):
        problem = checked.failure()
        assert isinstance(problem, (Malformed, Invalid))  # noqa: S101  # what the stage fails with
        inside = [
            replace(one, path=_in_labels(one.path) if by_name else "") for one in problem.issues
        ]
        issues.extend(where, inside, structural=isinstance(problem, Malformed))
        return False
    return True


def _in_labels(path: str) -> str:
    """Return a path in an event as one in its labels."""
    return path.removeprefix("labels").removeprefix(".")


def apart(labels: Labels) -> int:
    """Return how many ticks at least there are from one label set to the same again."""
    distinct = [one for one in labels.dynamic if len({*one.values}) == len(one.values)]
    return lcm(*(one.count for one in distinct))


def check_spread(written: Mapping[str, Any], path: Path, content: Content, issues: Issues) -> None:
    """Check that what is to be spread over a period has one."""
    has_period = isinstance(content, Values) and period_of(content.shape) is not None
    if is_spread(written) and not has_period:
        reason = "spread shifts a shape along its period, and this one has none: leave it out"
        issues.value((*path, "series_phase"), reason)


def check_rate(path: Path, peak: Fraction, issues: Issues) -> None:
    """Check the rate of all series together."""
    if peak > MOST_RATE:
        reason = f"all series together make more than {MOST_RATE:,} events a second"
        issues.value((*path, "series"), reason)


def fleet(
    entry: Entry, own_labels: Sequence[LabelSet], content_of: ContentOf, *, is_spread: bool
) -> FleetEntry:
    """Return the fleet of which *entry* is a series without labels of its own."""
    count = len(own_labels)

    def content_at(place: int) -> Content:
        content = content_of(own_labels[place])
        if isinstance(content, Values) and is_spread:
            period = period_of(content.shape)
            assert period is not None  # noqa: S101  # as `check_spread` has found
            return replace(content, shape=Shifted(content.shape, period * place / count))
        return content

    return FleetEntry(
        **{**entry.parts(), "schedule": FleetSchedule(entry.schedule, count)},
        each=entry.schedule,
        own_labels=tuple(own_labels),
        content_of=content_at,
    )
