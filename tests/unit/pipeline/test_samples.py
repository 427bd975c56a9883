"""Histograms and summaries as the samples that Prometheus has of them."""

from __future__ import annotations

import pytest

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.model import Event, Metric
from sonda.pipeline.samples import number, one_by_one, samples, values_of
from tests.support.events import record, sample

HISTOGRAM = Histogram(
    name="h",
    bounds=(0.25, 1.0, 10.0),
    counts=(1, 4, 4),
    count=6,
    total=70.5,
    since_ns=1,
    time_ns=9,
    labels={"job": "a"},
)
SUMMARY = Summary(
    name="s", quantiles=(0.5, 0.99), values=(1.5, 7.0), count=3, total=10.0, since_ns=1, time_ns=9
)


def shown(event: Metric | Histogram | Summary) -> list[tuple[str, dict[str, str], float]]:
    return [(one.name, dict(one.labels), one.value) for one in samples(event)]


def test_a_histogram() -> None:
    """A bucket for each bound and one for all, then sum and count, with the event's labels."""
    job = {"job": "a"}
    assert shown(HISTOGRAM) == [
        ("h_bucket", {**job, "le": "0.25"}, 1.0),
        ("h_bucket", {**job, "le": "1"}, 4.0),
        ("h_bucket", {**job, "le": "10"}, 4.0),
        ("h_bucket", {**job, "le": "+Inf"}, 6.0),
        ("h_sum", job, 70.5),
        ("h_count", job, 6.0),
    ]


def test_a_summary() -> None:
    """Its quantiles have the summary's own name."""
    assert shown(SUMMARY) == [
        ("s", {"quantile": "0.5"}, 1.5),
        ("s", {"quantile": "0.99"}, 7.0),
        ("s_sum", {}, 10.0),
        ("s_count", {}, 3.0),
    ]


@pytest.mark.parametrize("event", [HISTOGRAM, SUMMARY])
def test_values_are_those_of_the_samples(event: Histogram | Summary) -> None:
    """In the same order, at the event's time."""
    assert values_of(event) == [one.value for one in samples(event)]
    assert {one.time_ns for one in samples(event)} == {9}


@pytest.mark.parametrize("event", [record(), sample()])
def test_an_event_of_its_own(event: Event) -> None:
    """A log and a metric are one, and the very same."""
    assert [one is event for one in one_by_one(event)] == [True]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.0, "1"), (0.1, "0.1"), (1e21, "1e+21"), (2.5, "2.5"), (-0.0, "-0"), (1e-7, "1e-07")],
)
def test_a_bound(value: float, expected: str) -> None:
    """The shortest text that reads back, without a fraction that is none."""
    assert number(value) == expected
    assert float(expected) == value
