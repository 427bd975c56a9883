"""The curves of a plan: rates and values as its own formulas have them, at equal distances."""

from __future__ import annotations

from typing import Any

import pytest

from sonda.pipeline.scenarios.plan_curves import plan_curves
from sonda.scenarios import load_scenario

_STEP = {"type": "step", "step_size": 1}


def _curves(points: int, *entries: dict[str, Any]) -> list[dict[str, Any]]:
    common = {"signal_type": "metrics", "generator": _STEP, "sink": {"type": "stdout"}}
    document = {"scenarios": [{**common, **entry} for entry in entries]}
    return plan_curves(load_scenario(document).unwrap(), points)


def test_rates_and_values_over_the_whole() -> None:
    """An entry that begins later has no rate before, and one that has ended no value any more."""
    first, later = _curves(
        4,
        {"name": "first", "rate": 2, "duration": "4s"},
        {"name": "later", "rate": 1, "duration": "4s", "phase_offset": "4s"},
    )
    assert first == {"until_s": 8.0, "rate": [2, 2, 0, 0], "value": [0, 4, None, None]}
    assert later == {"until_s": 8.0, "rate": [0, 0, 1, 1], "value": [0, 0, 0, 2]}


def test_bursts_and_gaps_show() -> None:
    """The rate is that of the schedule at each time."""
    gaps = {"every": "4s", "for": "1s"}
    bursts = {"every": "4s", "for": "1s", "multiplier": 3}
    [curve] = _curves(4, {"name": "a", "rate": 2, "duration": "4s", "gaps": gaps, "bursts": bursts})
    assert curve["rate"] == [6, 2, 2, 0]


def test_a_minute_of_what_has_no_end() -> None:
    """Without an end a minute is shown, and messages have no values."""
    logs = {"signal_type": "logs", "log_generator": {"type": "template", "templates": ["a"]}}
    document = {**logs, "name": "a", "rate": 5, "sink": {"type": "stdout"}}
    [curve] = plan_curves(load_scenario(document).unwrap(), 3)
    assert curve == {"until_s": 60.0, "rate": [5, 5, 5]}


@pytest.mark.parametrize(("points", "shown"), [(1_000, 10), (400, 12)])
def test_all_curves_together_are_bounded(points: int, shown: int) -> None:
    """The entries after 10,000 points have none."""
    entries = [{"name": f"a{place}", "rate": 1, "duration": "1s"} for place in range(12)]
    assert len(_curves(points, *entries)) == shown
