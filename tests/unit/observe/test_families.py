"""The metrics' names and labels: what Prometheus asks of them."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from sonda.envelope import CODES
from sonda.observe.families import EVENTS, FAMILIES, SECONDS, STATUSES, Family


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_a_name(family: Family) -> None:
    """As Prometheus wants it; a counter gets its `_total` from the client, times are in seconds."""
    assert re.fullmatch(r"sonda_[a-z_]+", family.name)
    assert not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert family.help.endswith(".")
    if family.buckets == SECONDS:
        assert family.name.endswith("_seconds")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda one: one.name)
def test_the_cells_of_a_series(family: Family) -> None:
    """A histogram has one for each bucket, one above them, and one for the sum; all others have one."""
    is_histogram = family.kind is HistogramMetricFamily
    assert bool(family.buckets) is is_histogram
    assert family.width == (len(family.buckets) + 2 if is_histogram else 1)


@pytest.mark.parametrize("buckets", [SECONDS, EVENTS])
def test_buckets_ascend(buckets: tuple[float, ...]) -> None:
    """A value's cell is found by bisection."""
    assert all(low < high for low, high in pairwise(buckets))


def test_names_are_unique_and_series_are_bounded() -> None:
    """No label holds what a caller chose: a few thousand series at most, and none twice."""
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        series = 1
        for values in family.labels.values():
            assert len(set(values)) == len(values)
            series *= len(values)
        assert series < 5_000, family.name


def test_rejected_requests_are_those_without_an_event() -> None:
    """A status that is an event's outcome is counted with the events."""
    assert {*map(int, STATUSES)} == CODES.keys() - {502, 504}
    rejected = next(one for one in FAMILIES if one.name == "sonda_rejected_requests")
    assert rejected.kind is CounterMetricFamily
