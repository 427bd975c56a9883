"""Draw every generator of metrics, and more, for docs/scenarios.md: `python tools/scenario_gallery.py`."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from sonda.pipeline.scenarios.changes import PlanChange, change_entry, plan_of
from sonda.pipeline.schemas.registry import GENERATORS
from sonda.scenarios import load_scenario

FOLDER: Final = Path(__file__).parents[1] / "docs" / "assets" / "scenarios"
WIDTH: Final = 360
HEIGHT: Final = 96
MARGIN: Final = 8
POINTS: Final = 240
THEMES: Final = {"light": ("#1f6feb", "#57606a"), "dark": ("#58a6ff", "#8b949e")}
SPANS_S: Final = {  # how much of each is shown; two periods where it has some
    "constant": 60,
    "csv_replay": POINTS,
    "degradation": 600,
    "flap": 45,
    "leak": 7200,
    "saturation": 600,
    "sawtooth": 120,
    "sequence": 12,
    "sine": 120,
    "spike": 120,
    "spike_event": 90,
    "steady": 120,
    "step": 240,
    "uniform": 60,
}
SERIES: Final[dict[str, Any]] = {
    "signal_type": "metrics",
    "name": "example",
    "generator": {"type": "sine", "amplitude": 10, "period_secs": 60, "offset": 50},
    "series": 4,
    "series_phase": "spread",
    "rate": 2,
    "duration": "2m",
}


def series_lines() -> list[list[float]]:
    """Return the values of each series of a fleet."""
    [plan] = load_scenario(SERIES).unwrap().entries
    drawn = plan.values(range(plan.planned or 0))
    return [drawn[place :: plan.series] for place in range(plan.series)]


STAGES: Final = [
    {"rate": 40, "for": "1m", "ramp": True},
    {"rate": 40, "for": "2m"},
    {"rate": 100, "for": "20s", "ramp": True},
    {"rate": 10, "for": "40s", "ramp": True},
    {"rate": 25, "for": "1m"},
]


def rate_line() -> list[list[float]]:
    """Return the events of each second of stages."""
    entry = {**SERIES, "stages": STAGES}
    for name in ("rate", "duration", "series", "series_phase"):
        del entry[name]
    [plan] = load_scenario(entry).unwrap().entries
    counts = [plan.schedule.ticks_before(Fraction(second)) for second in range(301)]
    return [[float(later - earlier) for earlier, later in pairwise(counts)]]


def series_count_line() -> list[list[float]]:
    """Return how many series each second of a spike of cardinality has."""
    spike = {"label": "pod", "every": "2m", "for": "30s", "cardinality": 50}
    entry = {**SERIES, "rate": 60, "duration": "4m", "cardinality_spikes": [spike]}
    [plan] = load_scenario(entry).unwrap().entries
    seen = []
    for second in range(240):
        events = plan.events(range(240 * second, 240 * second + 240))
        seen.append(float(len({tuple(event.labels.items()) for event in events})))
    return [seen]


def after_lines() -> list[list[float]]:
    """Return a link that goes down, and the queue that fills up from then on."""
    link = {**SERIES, "id": "link", "generator": {"type": "flap", "up_duration": "40s"}, "rate": 1}
    del link["series"], link["series_phase"]
    queue = {
        **link,
        "id": "queue",
        "labels": {"of": "queue"},
        "generator": {"type": "saturation", "ceiling": 1, "time_to_saturate": "2m"},
        "after": {"ref": "link", "op": "<", "value": 1},
        "duration": "80s",
    }
    plan = load_scenario({"scenarios": [link, queue]}).unwrap()
    waited = [0.0] * int(plan.entry("queue").phase)
    rising = plan.entry("queue").values(range(80))
    return [plan.entry("link").values(range(120)), [*waited, *rising]]


def quantile_lines() -> list[list[float]]:
    """Return the median and the 95th percentile of each ten seconds of a histogram."""
    entry = {
        "signal_type": "histogram",
        "name": "example",
        "rate": 1,
        "duration": "10m",
        "distribution": {"type": "exponential", "rate": 10},
        "mean_shift_per_sec": 0.0005,
        "buckets": [place / 100 for place in range(1, 101)],
    }
    [plan] = load_scenario(entry).unwrap().entries
    events = [plan.event(tick) for tick in range(9, 600, 10)]
    bounds = entry["buckets"]
    found: dict[float, list[float]] = {0.5: [], 0.95: []}
    for before, after in pairwise(events):
        new = [b - a for a, b in zip(before.counts, after.counts, strict=True)]
        for part, line in found.items():
            line.append(bounds[bisect_left(new, part * (after.count - before.count))])
    return list(found.values())


def summary_lines() -> list[list[float]]:
    """Return the quantiles of every fifth tick of a summary."""
    entry = {
        "signal_type": "summary",
        "name": "example",
        "rate": 1,
        "duration": "10m",
        "distribution": {"type": "normal", "mean": 0.2, "stddev": 0.05},
    }
    [plan] = load_scenario(entry).unwrap().entries
    events = [plan.event(tick) for tick in range(0, 600, 5)]
    return [list(line) for line in zip(*(event.values for event in events), strict=True)]


def changed_rate_line() -> list[list[float]]:
    """Return the events of each second of a plan that is made faster, stopped and gone on with."""
    [entry] = load_scenario({**SERIES, "rate": 10, "duration": "4m"}).unwrap().entries
    changes = {
        60: PlanChange(rate=Fraction(50)),
        150: PlanChange(is_paused=True),
        200: PlanChange(rate=Fraction(25), is_paused=False),
    }
    for second, change in changes.items():
        entry = change_entry(entry, change, Fraction(second), 0).unwrap()
    schedule = plan_of(entry)
    counts = [schedule.ticks_before(Fraction(second)) for second in range(241)]
    return [[float(later - earlier) for earlier, later in pairwise(counts)]]


FEATURES: Final[dict[str, tuple[float, Callable[[], list[list[float]]]]]] = {
    "series": (120, series_lines),
    "after": (120, after_lines),
    "stages": (300, rate_line),
    "cardinality_spikes": (240, series_count_line),
    "histogram": (600, quantile_lines),
    "summary": (600, summary_lines),
    "changes": (240, changed_rate_line),
}
"""What is no generator: how much of it is shown, in seconds, and its lines."""


def lines(name: str) -> list[list[float]]:
    """Return the lines of a picture, each of values at equal distances."""
    return FEATURES[name][1]() if name in FEATURES else [values(name)]


def values(name: str) -> list[float]:
    """Return the values of a generator's example over its span."""
    entry: dict[str, Any] = {
        "signal_type": "metrics",
        "name": "example",
        "rate": POINTS / SPANS_S[name],
        "count": POINTS,
        "generator": GENERATORS["generator"][name]["examples"][0],
    }
    if name == "csv_replay":  # its file sets the pace: each second has the row before it
        del entry["rate"]
        [plan] = load_scenario(entry).unwrap().entries
        rows = [plan.schedule.ticks_before(Fraction(second) + 1) for second in range(POINTS)]
        return [plan.value(row - 1) for row in rows]
    if name in ("sequence", "step"):  # these follow the tick
        entry["rate"], entry["count"] = 1, SPANS_S[name]
    [plan] = load_scenario(entry).unwrap().entries
    return plan.values(range(entry["count"]))


def picture(name: str, theme: str) -> str:
    """Return an SVG of a generator's values over time."""
    line, text = THEMES[theme]
    drawn = lines(name)
    low, high = min(map(min, drawn)), max(map(max, drawn))
    span = (high - low) or 1.0
    shapes = ""
    for one in drawn:
        points = " ".join(
            f"{MARGIN + place / (len(one) - 1) * (WIDTH - 2 * MARGIN):.1f},"
            f"{HEIGHT - 20 - (value - low) / span * (HEIGHT - 32):.1f}"
            for place, value in enumerate(one)
        )
        shapes += f'<polyline points="{points}" fill="none" stroke="{line}" stroke-width="1.5"/>'
    shown_s = FEATURES[name][0] if name in FEATURES else SPANS_S[name]
    caption = f"{low:.4g} to {high:.4g} in {shown_s} s"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img"><title>{name}: {caption}</title>'
        f"{shapes}"
        f'<text x="{MARGIN}" y="{HEIGHT - 4}" fill="{text}" font-family="sans-serif" '
        f'font-size="11">{caption}</text></svg>\n'
    )


def pictures() -> Iterator[tuple[Path, str]]:
    """Yield every picture with its place."""
    for name in (*GENERATORS["generator"], *FEATURES):
        for theme in THEMES:
            yield FOLDER / f"{name}-{theme}.svg", picture(name, theme)


def main() -> int:
    """Write every picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, drawn in pictures():
        path.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
