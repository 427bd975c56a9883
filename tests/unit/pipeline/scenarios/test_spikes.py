"""Spikes of cardinality: when the label is there, and with which values."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.unit.pipeline.scenarios.support import compiled, log, metric

POD = {"label": "pod", "every": "10s", "for": "3s", "cardinality": 4}


def _entry(*spikes: dict[str, Any], **changes: Any) -> Any:
    return compiled(metric(cardinality_spikes=list(spikes), **changes)).unwrap().entries[0]


def test_the_label_is_there_in_the_first_part_of_each_cycle() -> None:
    """By the exact time at which a tick is due; its value by the tick."""
    entry = _entry(POD, rate=0.3, labels={"env": "test"})
    for tick in (*range(60), 10**12):
        there = Fraction(tick) / Fraction("0.3") % 10 < 3
        expected = {"env": "test", **({"pod": f"pod_{tick % 4}"} if there else {})}
        assert entry.event(tick).labels == expected
    assert entry.series == 5


def test_any_tick_equals_the_one_of_a_range() -> None:
    """With turning labels, fleets, two spikes and logs, too."""
    node = {"label": "node", "every": "7s", "for": "2s", "cardinality": 3, "strategy": "random"}
    dynamic = [{"key": "host", "cardinality": 2}]
    for entry in (
        _entry(POD, node, rate=2, dynamic_labels=dynamic),
        _entry(POD, node, rate=2, series=3),
        compiled(log(cardinality_spikes=[node, POD], rate=2)).unwrap().entries[0],
    ):
        for first in (0, 13, 10**9):
            ticks = range(first, first + 70)
            made = entry.events(ticks)
            assert made == [entry.event(tick) for tick in ticks]
            sets = {frozenset(one.items()) for one in entry.label_sets()}
            assert len(sets) == entry.series
            assert {frozenset(one.labels.items()) for one in made} <= sets


def test_drawn_values_are_as_many_as_asked_for() -> None:
    """They are words of the seed, the same for ever, and another seed has others."""
    random = {**POD, "strategy": "random", "prefix": "p-"}
    first, other = (
        {
            event.labels["pod"]
            for event in _entry({**random, **seed}).events(range(400))
            if event.labels
        }
        for seed in ({}, {"seed": 1})
    )
    assert len(first) == len(other) == 4
    assert not first & other
    assert min(first) == "p-32094cfd28bdb0d4"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"for": "10s"}, "cardinality_spikes[0].for: must be below every"),
        ({"cardinality": 0}, "cardinality_spikes[0].cardinality: invalid value 0"),
        ({"cardinality": 10_000}, "cardinality_spikes[0].cardinality: makes more than 10,000"),
        ({"label": "a-b"}, 'invalid label name "a-b"'),
        ({"label": "env"}, 'cardinality_spikes[0].label: "env" stands in labels, too'),
        ({"strategy": "all"}, "cardinality_spikes[0].strategy: unknown variant 'all'"),
        ({"every": "0s"}, "cardinality_spikes[0].every"),
        ({"every": None}, "cardinality_spikes[0]"),
        ({"more": 1}, "cardinality_spikes[0]: unknown field 'more'"),
    ],
)
def test_refusals(changes: dict[str, Any], text: str) -> None:
    """Each says where and why."""
    document = metric(cardinality_spikes=[{**POD, **changes}], labels={"env": "test"})
    assert text in str(compiled(document).failure())
