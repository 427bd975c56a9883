"""Histograms and summaries, against an independent model that looks at every observation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from hashlib import blake2b
from math import ceil, floor, log1p
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure, Success
from syrupy.assertion import SnapshotAssertion

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.model import Metric
from sonda.pipeline.samples import one_by_one
from sonda.pipeline.scenarios import distributions
from sonda.pipeline.scenarios.changes import PlanChange, change_entry
from sonda.pipeline.scenarios.dealing import Dealer
from sonda.pipeline.scenarios.draw import draw
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.shards import shard_of
from sonda.pipeline.scenarios.states import Shard
from sonda.pipeline.schemas.registry import GENERATORS
from sonda.scenarios import load_scenario, sample
from tests.unit.pipeline.scenarios.support import compiled, histogram, log, metric
from tests.unit.pipeline.scenarios.test_generators import ValuesFile

NAMES = sorted(GENERATORS["distribution"])
DEFAULT_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
QUANTILES = (0.5, 0.9, 0.95, 0.99)


def _entry(**changes: Any) -> Entry:
    return compiled(histogram(**changes)).unwrap().entries[0]


def _summary(**changes: Any) -> dict[str, Any]:
    return histogram(signal_type="summary", **changes)


def _quantile(written: dict[str, Any], part: float) -> float:
    """Return the value below which a part of all observations lies."""
    match written["type"]:
        case "exponential":
            return -log1p(-part) / float(written["rate"])
        case "normal":
            mean, stddev = float(written["mean"]), float(written["stddev"])
            return mean + stddev * NormalDist().inv_cdf(part)
    low, high = Fraction(str(written["min"])), Fraction(str(written["max"]))
    return float(low + Fraction(part) * (high - low))


UNIT = 1 << 200
"""Every level is a whole number of parts of this size, exactly: integers are added and compared."""


@cache
def _levels(distribution: str) -> list[int]:
    written = json.loads(distribution)
    quantiles = [Fraction(_quantile(written, (2 * i + 1) / 8192)) for i in range(4096)]
    assert all(UNIT % one.denominator == 0 for one in quantiles)
    return [int(one * UNIT) for one in quantiles]


@dataclass(frozen=True)
class Observations:
    """All observations of one tick: a level each, and what is added to every one of them."""

    levels: list[int]
    shift: Fraction

    def up_to(self, bound: Fraction) -> int:
        most = floor((bound - self.shift) * UNIT)
        return sum(level <= most for level in self.levels)

    def total(self) -> Fraction:
        return Fraction(sum(self.levels), UNIT) + len(self.levels) * self.shift

    def of_rank(self, rank: int) -> Fraction:
        return Fraction(sorted(self.levels)[rank - 1], UNIT) + self.shift


class Model:
    """Every observation of a series one by one, exactly."""

    def __init__(self, entry: dict[str, Any], seed: int = 0) -> None:
        self.written = entry
        named = json.dumps([seed, entry["name"], "observations"], separators=(",", ":"))
        self.key = blake2b(named.encode(), person=b"sonda draw v1").digest()
        self.per_tick = entry.get("observations_per_tick", 100)
        self.levels = _levels(json.dumps(entry["distribution"]))
        self.deals: dict[int, list[int]] = {}

    def _deal(self, number: int) -> list[int]:
        if number not in self.deals:
            numbered = range(8 * number, 8 * number + 8)
            keyed = [blake2b(of.to_bytes(16, "little"), key=self.key).digest() for of in numbered]
            self.deals[number] = [self._shuffled(place, keyed) for place in range(4096)]
        return self.deals[number]

    @staticmethod
    def _shuffled(place: int, keyed: list[bytes]) -> int:
        high, low = divmod(place, 64)
        for added in keyed:
            high, low = low, high ^ (added[low] % 64)
        return 64 * high + low

    def tick(self, tick: int, x: Fraction) -> Observations:
        """Return the observations of one tick."""
        shift = Fraction(str(self.written.get("mean_shift_per_sec", 0)))
        numbers = range(tick * self.per_tick, (tick + 1) * self.per_tick)
        levels = [self._deal(number // 4096)[number % 4096] for number in numbers]
        return Observations([self.levels[level] for level in levels], shift * x)


WRITTEN = st.fixed_dictionaries(
    {
        "distribution": st.sampled_from(
            [
                {"type": "exponential", "rate": 10},
                {"type": "normal", "mean": 0.3, "stddev": 0.2},
                {"type": "uniform", "min": 0.1, "max": 0.7},
                {"type": "uniform", "min": 0.25, "max": 0.25},
            ]
        ),
        "observations_per_tick": st.sampled_from([1, 7, 60, 4500]),
        "mean_shift_per_sec": st.sampled_from([0, 0.01, -0.25]),
        "rate": st.sampled_from([1, 0.3, 30]),
    }
)
TIMES = st.sampled_from(
    [
        {},
        {"gaps": {"every": "10s", "for": "3s"}},
        {"bursts": {"every": "7s", "for": "2s", "multiplier": 3}},
        {"rate": None, "stages": [{"rate": 4, "for": "20s", "ramp": True}]},
    ]
)


@settings(max_examples=15, deadline=None)
@given(WRITTEN, TIMES, st.integers(0, 9))
def test_a_histogram_counts_every_observation(
    written: dict[str, Any], times: dict[str, Any], last: int
) -> None:
    """Its counts and its sum are those of all observations so far, exactly."""
    entry, model = _entry(**{**written, **times}), Model(histogram(**written))
    seen = [model.tick(tick, entry.schedule.due(tick)) for tick in range(last + 1)]
    event = entry.event(last)
    assert isinstance(event, Histogram)
    bounds = [Fraction(str(bound)) for bound in DEFAULT_BUCKETS]
    assert event.bounds == list(DEFAULT_BUCKETS)
    assert event.counts == [sum(one.up_to(bound) for one in seen) for bound in bounds]
    assert event.count == sum(len(one.levels) for one in seen)
    assert event.total == float(sum(one.total() for one in seen))
    assert event.has_negative or min(one.of_rank(1) for one in seen) >= 0


@settings(max_examples=15, deadline=None)
@given(WRITTEN, st.integers(0, 9))
def test_a_summary_has_the_quantiles_of_its_tick(written: dict[str, Any], tick: int) -> None:
    """By the nearest rank; its count and its sum go on from the start."""
    [entry] = compiled(_summary(**written)).unwrap().entries
    model = Model(histogram(**written))
    event = entry.event(tick)
    assert isinstance(event, Summary)
    seen = [model.tick(k, entry.schedule.due(k)) for k in range(tick + 1)]
    in_tick = len(seen[tick].levels)
    ranks = [ceil(in_tick * Fraction(str(one))) for one in QUANTILES]
    assert event.values == [float(seen[tick].of_rank(rank)) for rank in ranks]
    assert event.count == (tick + 1) * in_tick
    assert event.total == float(sum(one.total() for one in seen))


@settings(max_examples=15, deadline=None)
@given(WRITTEN, TIMES, st.data())
def test_any_tick_at_once_equals_running_through(
    written: dict[str, Any], times: dict[str, Any], data: st.DataObject
) -> None:
    """Forwards, backwards and in any order, with any checkpoints: to the last bit."""
    for signal in ("histogram", "summary"):
        document = {**histogram(**{**written, **times}), "signal_type": signal}
        document = {name: value for name, value in document.items() if value is not None}
        [through], [at_once] = (compiled(document).unwrap().entries for _ in range(2))
        count = min(through.planned or 70, 70)
        run = through.events(range(count))
        for tick in data.draw(st.lists(st.integers(0, count - 1), max_size=8)):
            assert at_once.event(tick) == run[tick]
        first = data.draw(st.integers(0, count - 1))
        assert through.events(range(first, count)) == run[first:]


def test_a_late_tick_needs_no_earlier_one() -> None:
    """Totals without a shift are had at once, and go on from there."""
    entry = _entry(rate=1000)
    event, later = entry.events(range(10**12, 10**12 + 2))
    assert isinstance(event, Histogram)
    assert isinstance(later, Histogram)
    assert event.count == (10**12 + 1) * 100
    assert event.counts[4] == pytest.approx(event.count * 0.632, rel=1e-3)
    assert later.count == event.count + 100
    assert all(0 <= b - a <= 100 for a, b in zip(event.counts, later.counts, strict=True))


def test_checkpoints_are_few_and_used() -> None:
    """A shifted histogram goes back to a checkpoint, and keeps a bounded number of them."""
    entry = _entry(observations_per_tick=1, mean_shift_per_sec=0.001)
    run = entry.events(range(5_000))
    assert entry.event(4_201) == run[4_201]
    assert _entry(observations_per_tick=1, mean_shift_per_sec=0.001).event(4_201) == run[4_201]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("signal", ["histogram", "summary"])
def test_values(name: str, signal: str, snapshot: SnapshotAssertion) -> None:
    """These are the samples of the schema's example, for ever: people keep seeds."""
    example = GENERATORS["distribution"][name]["examples"][0]
    [entry] = compiled(histogram(signal_type=signal, distribution=example)).unwrap().entries
    shown = [
        [one.name, *one.labels.values(), f"{one.value:.12g}"]
        for event in entry.events(range(3))
        for one in one_by_one(event)
        if isinstance(one, Metric)
    ]
    assert shown == snapshot(extension_class=ValuesFile)


@pytest.mark.parametrize("name", NAMES)
def test_each_distribution_has_module_schema_and_example(name: str) -> None:
    """A schema's name is its module's, its example compiles, and its values ascend."""
    example = GENERATORS["distribution"][name]["examples"][0]
    assert isinstance(compiled(histogram(distribution=example)), Success)
    parameters = {key: Fraction(str(of)) for key, of in example.items() if key != "type"}
    values = list(distributions.load(name).levels(parameters))
    assert len(values) == distributions.LEVELS
    assert values == sorted(values)


def test_a_fleet_and_a_shard_have_their_own_draws() -> None:
    """Each series of a fleet observes for itself, and a shard makes the same events."""
    document = histogram(series=3, count=4)
    plan = compiled(document).unwrap()
    [entry] = plan.entries
    events = entry.events(range(12))
    assert events == [entry.event(tick) for tick in range(12)]
    assert entry.series == 3 * 14
    assert len({tuple(one.counts) for one in events[:3] if isinstance(one, Histogram)}) == 3
    parts = [shard_of(plan, Shard(index, 2)).entries[0] for index in range(2)]
    made = [event for part in parts for event in part.events(range(part.planned or 0))]
    assert sorted(map(repr, made)) == sorted(map(repr, events))


def test_seeds() -> None:
    """The document's seed changes what is observed, unless the entry has its own."""

    def first(of: int, **own: int) -> object:
        written = {"seed": of, "scenarios": [histogram(**own)]}
        return compiled(written).unwrap().entries[0].event(0)

    assert first(1) == first(1)
    assert first(1) != first(2)
    assert first(1, seed=5) == first(2, seed=5)


def test_rows_have_a_line_for_each_sample() -> None:
    """`sonda.sample` shows what arrives: 14 series of a histogram's tick."""
    plan = load_scenario(histogram(labels={"job": "shop"})).unwrap()
    rows = sample(plan, 2)
    assert len(rows) == 28
    assert rows[0]["name"] == "request_seconds_bucket"
    assert rows[0]["labels"] == {"job": "shop", "le": "0.005"}
    assert [row["name"] for row in rows[11:14]] == [
        "request_seconds_bucket",
        "request_seconds_sum",
        "request_seconds_count",
    ]
    assert rows[13]["value"] == 100.0
    assert rows[13]["tick"] == 0


VARIANTS = (
    "distribution.type: unknown variant 'pareto', expected one of 'exponential', 'normal', "
    "'uniform'"
)
ENCODERS = (
    "encoder.type: 'syslog' cannot encode metrics; these can: influx_lp, json_lines, otlp, "
    "prometheus_text, remote_write"
)
SECOND = [metric(name="request_seconds_count"), histogram()]


@pytest.mark.parametrize(
    ("document", "detail"),
    [
        (histogram(distribution=None), "missing field 'distribution'"),
        (
            histogram(generator={"type": "constant", "value": 1}),
            "unknown field 'generator'",
        ),
        (histogram(jitter=1), "unknown field 'jitter'"),
        (histogram(quantiles=[0.5]), "unknown field 'quantiles'"),
        (_summary(buckets=[1]), "unknown field 'buckets'"),
        (metric(buckets=[1]), "unknown field 'buckets'"),
        ({"scenarios": [metric(seed=1)]}, "scenarios[0]: unknown field 'seed'"),
        (log(distribution={"type": "normal"}), "unknown field 'distribution'"),
        (
            histogram(distribution={"type": "pareto"}),
            VARIANTS,
        ),
        (
            histogram(distribution={"type": "normal", "mean": 1}),
            "distribution: missing field 'stddev'",
        ),
        (
            histogram(distribution={"type": "uniform", "min": 2, "max": 1}),
            "distribution.min: must be at most max",
        ),
        (
            histogram(distribution={"type": "uniform", "min": -1.5e308, "max": 1.5e308}),
            "distribution: makes values beyond the range of a double",
        ),
        (
            histogram(distribution={"type": "exponential", "rate": 1e-308}),
            "distribution: makes values beyond the range of a double",
        ),
        (histogram(buckets=[1, 1]), "buckets: must ascend, each number once"),
        (_summary(quantiles=[0.9, 0.5]), "quantiles: must ascend, each number once"),
        (
            histogram(labels={"le": "x"}),
            'labels: "le" is set for each sample: choose another name',
        ),
        (
            _summary(dynamic_labels=[{"key": "quantile", "cardinality": 2}]),
            'dynamic_labels: "quantile" is set for each sample: choose another name',
        ),
        (histogram(series={"le": 2}), 'series: "le" is set for each sample: choose another name'),
        (
            {"scenarios": SECOND},
            'scenarios[1]: makes a series that entry "request_seconds_count" makes, too',
        ),
        (
            {"scenarios": [histogram(series=800)]},
            "the scenario makes more than 10,000 series",
        ),
        (
            {
                "scenarios": [
                    histogram(id="a"),
                    metric(after={"ref": "a", "op": ">", "value": 1}),
                ]
            },
            'scenarios[1].after: entry "a" is of observations, which are no single value',
        ),
        (
            histogram(encoder={"type": "syslog"}),
            ENCODERS,
        ),
    ],
)
def test_what_is_refused(document: dict[str, Any], detail: str) -> None:
    """Each refusal says where and why."""
    failed = compiled(document)
    assert isinstance(failed, Failure)
    assert str(failed.failure()) == detail


def test_a_summary_may_have_a_label_le() -> None:
    """Only the label that tells its own samples apart is taken."""
    assert isinstance(compiled(_summary(labels={"le": "1"})), Success)


@pytest.mark.long
@pytest.mark.parametrize("shift", [0.01, -0.01, 0.0003])
@pytest.mark.parametrize(
    "times",
    [
        {"rate": 3},
        {"gaps": {"every": "10s", "for": "3s"}},
        {"bursts": {"every": "7s", "for": "2s", "multiplier": 3}},
        {"rate": None, "stages": [{"rate": 9, "for": "200s", "ramp": True}]},
    ],
)
def test_far_ticks_equal_running_through(shift: float, times: dict[str, Any]) -> None:
    """What is had at once, with a shift, is what all ticks before add up to; equal bounds, too."""
    written = {
        "distribution": {"type": "uniform", "min": 0, "max": 4.096},
        "buckets": [0.5, 1.0005, 2],
        "observations_per_tick": 30,
        "mean_shift_per_sec": shift,
        **times,
    }
    run = _entry(**written).events(range(700))
    for tick in (256, 300, 511, 699):
        assert _entry(**written).event(tick) == run[tick]


def test_a_late_tick_with_a_shift_needs_no_earlier_one() -> None:
    """Only what passes a bound is looked at, however long ago the start was."""
    entry = _entry(rate=1000, mean_shift_per_sec=1e-9, buckets=[0.1])
    event = entry.event(10**12)
    assert isinstance(event, Histogram)
    assert event.count == (10**12 + 1) * 100
    assert event.total / event.count == pytest.approx(0.1 + 0.5, rel=1e-3)
    [begin] = _entry(rate=1000, buckets=[0.1]).event(10**12).counts  # type: ignore[union-attr]
    assert 0 < event.counts[0] < begin / 5


def test_a_deal_is_an_order_of_all_levels() -> None:
    """Each level has one place, and is found there."""
    dealer = Dealer(draw(1, "a", "observations"))
    for number in (0, 1, 10**15):
        levels = dealer.dealt(number * 4096, number * 4096 + 4095).levels
        assert len({*levels}) == 4095
        for place in (0, 1, 2000, 4094):
            stop = number * 4096 + place
            assert dealer.occurrences(levels[place], stop) == number
            assert dealer.occurrences(levels[place], stop + 1) == number + 1


def test_a_changed_plan_has_its_own_totals() -> None:
    """What was worked out for ticks that a change has moved is not used after it."""
    entry = _entry(mean_shift_per_sec=0.1, count=2000, buckets=[0.5])
    before = entry.events(range(600))
    change = PlanChange(rate=Fraction(7))
    later = change_entry(entry, change, Fraction(99), 100).unwrap()
    again = change_entry(
        _entry(mean_shift_per_sec=0.1, count=2000, buckets=[0.5]), change, Fraction(99), 100
    ).unwrap()
    assert later.events(range(100)) == before[:100]
    assert later.event(599) == again.event(599)
    assert later.event(599) != before[599]
