"""What the runner's status comes to as metrics."""

from __future__ import annotations

from typing import Any, Final

import pytest

from sonda.observe.scenario_metrics import STATES, scenario_events, scenario_families

STATUS: Final[dict[str, Any]] = {
    "states": {"running": 2, "finished": 1},
    "degraded": 1,
    "lag_s": 2.5,
    "unrecorded": None,
    "events": [["logs", "json_lines", "loki", "delivered", 7]],
}


def samples(status: dict[str, Any]) -> dict[tuple[str, tuple[str, ...]], float]:
    """Return the value of each series, by its name and its labels' values."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in scenario_families(status)
        for sample in family.samples
    }


def test_every_state_has_a_series() -> None:
    """Also those that no run is in: a missing series is no 0."""
    found = samples(STATUS)
    runs = {labels[0]: value for (name, labels), value in found.items() if labels}
    assert runs == {"pending": 0, "running": 2, "stopping": 0, "finished": 1}
    assert [*runs] == [*STATES]
    assert found["sonda_scenarios_degraded", ()] == 1
    assert found["sonda_scenarios_lag_seconds", ()] == 2.5


@pytest.mark.parametrize(("unrecorded", "value"), [(None, 0), ("disk full", 1), ("", 1)])
def test_what_cannot_be_recorded(unrecorded: str | None, value: float) -> None:
    """The reason is no label: it would be a series of its own."""
    found = samples({**STATUS, "unrecorded": unrecorded})
    assert found["sonda_scenarios_unrecorded", ()] == value


def test_a_runner_that_does_not_answer_has_no_metrics() -> None:
    """Stale numbers would look like news."""
    assert samples({}) == {}
    assert list(scenario_events({})) == []


def test_events_have_their_origin() -> None:
    """It comes last, as in the family of the events."""
    assert list(scenario_events(STATUS)) == [
        (["logs", "json_lines", "loki", "delivered", "scenario"], 7)
    ]
