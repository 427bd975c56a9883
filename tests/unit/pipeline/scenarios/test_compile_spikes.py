"""`cardinality_spikes` of an entry: what is read, and what they may not be."""

from __future__ import annotations

from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.scenarios.plan import Entry
from tests.unit.pipeline.scenarios.support import compiled, metric

SPIKE = {"label": "pod", "every": "10s", "for": "2s", "cardinality": 3}


def entry(*spikes: dict[str, Any], **more: Any) -> Entry:
    [found] = compiled(metric(cardinality_spikes=list(spikes), **more)).unwrap().entries
    return found


def reason(*spikes: dict[str, Any], **more: Any) -> str:
    failed = compiled(metric(cardinality_spikes=list(spikes), **more))
    assert isinstance(failed, Failure)
    return str(failed.failure())


def test_a_spikes_label_is_there_for_a_while() -> None:
    """In the first seconds of each cycle, with a value after the other."""
    found = [event.labels.get("pod") for event in entry(SPIKE).events(range(13))]
    assert found == ["pod_0", "pod_1", *[None] * 8, "pod_1", "pod_2", None]


def test_a_prefix_and_a_draw() -> None:
    """Values of a draw are the same for the same seed, whatever the entry's."""
    one, same, other = (
        [
            event.labels.get("pod")
            for event in entry(
                {**SPIKE, "strategy": "random", "seed": seed, "prefix": "x"}, seed=of_entry
            ).events(range(2))
        ]
        for seed, of_entry in ((1, 5), (1, 6), (2, 5))
    )
    assert one == same != other
    assert all(value is not None and value.startswith("x") for value in one)


@pytest.mark.parametrize(
    ("spikes", "more", "expected"),
    [
        ([SPIKE], {"labels": {"pod": "x"}}, '"pod" stands in labels, too: leave one of them out'),
        (
            [SPIKE],
            {"dynamic_labels": [{"key": "pod", "cardinality": 2}]},
            '"pod" stands in dynamic_labels, too',
        ),
        ([SPIKE], {"series": {"pod": 2}}, '"pod" stands in series, too'),
        ([SPIKE, SPIKE], {}, '"pod" stands in another spike, too'),
        ([{**SPIKE, "label": "a-b"}], {}, "a-b"),
        ([{**SPIKE, "for": "10s"}], {}, "must be below every"),
        ([{**SPIKE, "for": "soon"}], {}, "soon"),
        ([{**SPIKE, "cardinality": 10_000}], {}, "makes more than 10,000 series"),
        ([{**SPIKE, "cardinality": 4_999}], {"series": 3}, "makes more than 10,000 series"),
    ],
)
def test_what_is_wrong(spikes: list[dict[str, Any]], more: dict[str, Any], expected: str) -> None:
    """Each is named with its place."""
    assert expected in reason(*spikes, **more)


def test_spikes_are_counted_with_the_labels_beside_them() -> None:
    """Without the spike there is a label set, too."""
    assert entry(SPIKE).series == 4
    assert entry(SPIKE, duration="1h").labels.count == 1
