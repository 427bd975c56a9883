"""A compiled plan makes any of its events at once, and all of them in their order."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.model import Log, Metric
from sonda.pipeline.scenarios.plan import DynamicLabel, Labels, Scenario, Start
from sonda.pipeline.values.timestamps import LATEST_NS, rfc3339
from tests.property.strategies import unhurried
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, log, metric


def plan(*entries: object, **more: object) -> Scenario:
    return compiled({"scenarios": list(entries), **more}).unwrap()


def test_events_come_in_the_order_in_which_they_are_due() -> None:
    """Of two that are due at once the one whose entry is first."""
    scenario = plan(
        metric(name="slow", rate=1, count=3),
        log(name="fast", rate=2, count=4),
        metric(name="late", rate=10, count=1, phase_offset="1.2s"),
    )
    order = [(due, entry.id, tick) for due, tick, entry, _ in scenario.ordered()]
    assert order == [
        (Fraction(0), "slow", 0),
        (Fraction(0), "fast", 0),
        (Fraction(1, 2), "fast", 1),
        (Fraction(1), "slow", 1),
        (Fraction(1), "fast", 2),
        (Fraction(6, 5), "late", 0),
        (Fraction(3, 2), "fast", 3),
        (Fraction(2), "slow", 2),
    ]
    assert scenario.planned == 8


def test_a_plan_without_an_end() -> None:
    """It has no number of events, but any of them, as long as its stamp can be written."""
    scenario = plan(metric(rate=1))
    entry = scenario.entry("cpu")
    assert scenario.planned is None
    assert [event.time_ns - NOW_NS for event in islice(scenario.events(), 3)] == [
        0,
        10**9,
        2 * 10**9,
    ]
    last = (LATEST_NS - NOW_NS) // 10**9
    assert (entry.has(last), entry.has(last + 1), entry.has(-1)) == (True, False, False)


def test_one_event() -> None:
    """It is handed out with its time, encoder and sink, as they are written; what is none is named."""
    scenario = plan(metric(count=2, sink={"type": "stdout"}))
    event = scenario.event("cpu", 1)
    assert isinstance(event, Metric)
    assert event.timestamp == rfc3339(NOW_NS + 10**9)
    assert event.sink == {"type": "stdout"}
    with pytest.raises(IndexError, match="entry 'cpu' has no tick 2"):
        scenario.event("cpu", 2)
    with pytest.raises(KeyError):
        scenario.event("other", 0)


@unhurried
@given(st.integers(0, 10**9), st.integers(0, 40))
def test_a_range_of_ticks_is_each_of_them(first: int, count: int) -> None:
    """Labels that turn, gaps, noise and drawn texts included."""
    turning = [{"key": "host", "cardinality": 3}, {"key": "zone", "values": ["a", "b"]}]
    scenario = plan(
        metric(jitter=0.5, dynamic_labels=turning, gaps={"every": "10s", "for": "3s"}),
        log(log_generator={"type": "template", "templates": ["{uuid}", "b {tick}"]}),
    )
    ticks = range(first, first + count)
    for entry in scenario.entries:
        assert entry.events(ticks) == [entry.event(tick) for tick in ticks]


def test_labels_turn_together() -> None:
    """Number k mod n of each, so that their least common multiple is how many sets there are."""
    labels = Labels(
        {"env": "x"}, (DynamicLabel("a", 2, prefix="a_"), DynamicLabel("b", 3, ("p", "q", "r")))
    )
    assert labels.count == 6
    assert labels.at(7) == {"env": "x", "a": "a_1", "b": "q"}
    assert labels.over(range(5, 14)) == [labels.at(tick) for tick in range(5, 14)]
    assert len({tuple(labels.at(tick).items()) for tick in range(100)}) == 6
    assert Labels({"env": "x"}).over(range(3)) == [{"env": "x"}] * 3


def test_another_start() -> None:
    """The same plan with another `now`; a start that was given as an instant stays."""
    scenario = plan(metric(count=1), log(count=1, start_time="2026-01-01T00:00:00Z"))
    moved = scenario.starting(NOW_NS + 5)
    before, after = list(scenario.events()), list(moved.events())
    assert after[0].time_ns == before[0].time_ns + 5
    assert isinstance(after[1], Log)
    assert after[1] == before[1]
    assert (Start(-3, from_now=True).resolve(10), Start(3, from_now=False).resolve(10)) == (7, 3)


@pytest.mark.parametrize(
    ("changes", "ends_at"),
    [
        ({"duration": "10s"}, Fraction(12)),
        ({"count": 3}, Fraction(4)),
        ({"count": 3, "duration": "10s"}, Fraction(12)),
        ({}, None),
    ],
)
def test_when_an_entry_ends(changes: dict[str, object], ends_at: Fraction | None) -> None:
    """From the run's start: by its duration, or with its last tick."""
    assert plan(metric(phase_offset="2s", **changes)).entry("cpu").ends_at == ends_at
