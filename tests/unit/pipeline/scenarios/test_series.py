"""Fleets: which series there are, what each of them is, and that they take turns."""

from __future__ import annotations

import json
from hashlib import blake2b
from itertools import islice, product
from math import sin, tau
from typing import Any

import pytest

from sonda.pipeline.model import Event, Log, Metric
from sonda.pipeline.scenarios.plan import Entry
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, log, metric

SINE = {"type": "sine", "amplitude": 10, "period_secs": 8, "offset": 50}
UNIFORM = {"type": "uniform", "min": 0, "max": 1}


def _entry(**changes: Any) -> Entry:
    return compiled(metric(**changes)).unwrap().entries[0]


def _metrics(events: list[Event]) -> list[Metric]:
    return [one for one in events if isinstance(one, Metric)]


def test_a_number_makes_a_label() -> None:
    """`series: 3` is the label `series` with 0, 1 and 2, and each series has the entry's rate."""
    plan = compiled(metric(series=3, rate=2, duration="1s")).unwrap()
    assert plan.planned == 6
    assert plan.entries[0].series == 3
    seen = [(one.labels, one.time_ns - NOW_NS) for one in plan.events()]
    expected = [({"series": str(s)}, t) for t in (0, 500_000_000) for s in range(3)]
    assert seen == expected


def test_labels_make_their_product() -> None:
    """Ten hosts in two zones are twenty series, the last label the fastest."""
    entry = _entry(series={"host": 10, "zone": ["a", "b"]}, labels={"env": "test"}, count=1)
    names = [f"host_{number}" for number in range(10)]
    assert [one.labels for one in entry.events(range(20))] == [
        {"env": "test", "host": host, "zone": zone} for host, zone in product(names, "ab")
    ]
    assert entry.planned == 20


def test_count_is_that_of_each_series() -> None:
    """As the rate and the duration are."""
    assert _entry(series=4, count=5).planned == 20


def test_each_series_has_its_own_draws() -> None:
    """They belong to the labels of the series: a series more leaves the others as they are."""
    few, many = _entry(generator=UNIFORM, series=2), _entry(generator=UNIFORM, series=5)
    assert few.values(range(6)) == [
        many.value(turn * 5 + place) for turn in range(3) for place in range(2)
    ]
    assert len(set(many.values(range(50)))) == 50
    named = json.dumps([0, "cpu", "value", {"series": "1"}], separators=(",", ":"))
    key = blake2b(named.encode(), person=b"sonda draw v1").digest()
    block = blake2b((0).to_bytes(16, "little"), key=key).digest()
    assert few.value(1) == (int.from_bytes(block[:8], "little") >> 11) / 2**53


def test_any_tick_equals_the_one_of_a_range() -> None:
    """Ranges of any begin and length make the events that single ticks make."""
    for entry in (
        _entry(generator=UNIFORM, jitter=3, series={"a": 3, "b": ["x", "y"]}, rate=0.3),
        compiled(log(series=4, dynamic_labels=[{"key": "pod", "cardinality": 3}]))
        .unwrap()
        .entries[0],
    ):
        for first, length in ((0, 1), (0, 40), (7, 5), (11, 29), (10**12, 13), (5, 0)):
            ticks = range(first, first + length)
            assert entry.events(ticks) == [entry.event(tick) for tick in ticks]
            assert list(entry.stamps_ns(ticks)) == [entry.event(tick).time_ns for tick in ticks]


def test_dynamic_labels_turn_within_each_series() -> None:
    """Tick k of every series has the dynamic value k mod n."""
    entry = _entry(series=2, dynamic_labels=[{"key": "pod", "cardinality": 2}])
    assert entry.series == 4
    assert [one.labels["pod"] for one in entry.events(range(6))] == [
        "pod_0",
        "pod_0",
        "pod_1",
        "pod_1",
        "pod_0",
        "pod_0",
    ]
    assert len({json.dumps(dict(one)) for one in entry.label_sets()}) == 4


def test_a_spread_shifts_the_shape_evenly() -> None:
    """Of four series the third begins half a period ahead."""
    entry = _entry(generator=SINE, series=4, series_phase="spread", duration="4s")
    for tick, event in enumerate(_metrics(entry.events(range(16)))):
        turn, place = divmod(tick, 4)
        assert event.value == pytest.approx(50 + 10 * sin(tau * (turn / 8 + place / 4)))
    flap = {"type": "flap", "up_duration": "1s", "down_duration": "3s"}
    entry = _entry(generator=flap, series=4, series_phase="spread")
    assert entry.values(range(8)) == [1, 0, 0, 0, 0, 0, 0, 1]


def test_schedule_and_counts_agree() -> None:
    """`ticks_before` is the inverse of `due` for the first tick of each turn."""
    schedule = _entry(series=3, rate=0.7, gaps={"every": "5s", "for": "2s"}).schedule
    for tick in range(60):
        assert schedule.ticks_before(schedule.due(tick)) == tick // 3 * 3
    assert schedule.peak_rate == 3 * _entry(rate=0.7).schedule.peak_rate


def test_logs_have_streams_of_their_own() -> None:
    """Each stream draws its own words."""
    pools = {"user": ["ana", "bo", "cy", "di"]}
    template = {"type": "template", "templates": [{"message": "{user}", "field_pools": pools}]}
    plan = compiled(log(log_generator=template, series=2)).unwrap()
    said = [one.message for one in islice(plan.events(), 40) if isinstance(one, Log)]
    assert said[::2] != said[1::2]


def test_two_entries_do_not_make_the_same_series() -> None:
    """A series of a fleet may not be another entry's, too."""
    document = {"scenarios": [metric(series=3), metric(id="b", labels={"series": "2"})]}
    assert (
        str(compiled(document).failure())
        == 'scenarios[1]: makes a series that entry "cpu" makes, too'
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"series": 0}, "series: invalid value 0"),
        ({"series": "ten"}, "series: expected an integer"),
        ({"series": {}}, "series"),
        ({"series": {"host": []}}, "series.host"),
        ({"series": {"host": ["a", "a"]}}, "series.host"),
        ({"series": {"host": [1]}}, "series.host[0]: expected a string"),
        ({"series": {"a-b": 2}}, 'invalid label name "a-b"'),
        ({"series": 10_001}, "series: makes more than 10,000 series"),
        ({"series": {"a": 10**9, "b": 10**9}}, "series: makes more than 10,000 series"),
        ({"series": {"a": 2}, "labels": {"a": "x"}}, 'series: "a" stands in labels, too'),
        (
            {"series": {"a": 2}, "dynamic_labels": [{"key": "a", "cardinality": 2}]},
            'series: "a" stands in dynamic_labels, too',
        ),
        ({"series": 2000, "rate": 1000}, "series: all series together make more than 1,000,000"),
        ({"series_phase": "spread"}, "series_phase: needs series"),
        ({"series": 2, "series_phase": "odd"}, "series_phase: unknown variant 'odd'"),
        ({"series": 2, "series_phase": "spread"}, "series_phase: spread shifts a shape"),
        (
            {
                "series": 2,
                "series_phase": "spread",
                "duration": "1m",
                "generator": {"type": "leak"},
            },
            "series_phase: spread would let leak begin again",
        ),
    ],
)
def test_refusals(changes: dict[str, Any], text: str) -> None:
    """Each says where and why."""
    assert text in str(compiled(metric(**changes)).failure())
