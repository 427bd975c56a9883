"""What a scrape of scenarios has: each series once, its latest value, in both formats."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sonda.server.scenarios.scrape import Scrape
from tests.unit.pipeline.scenarios.support import compiled, log, metric

_STEP = {"type": "step", "step_size": 1}


def _parsed(text: str, *, openmetrics: bool) -> list[Metric]:
    if openmetrics:
        return list(parse_openmetrics(f"{text}# EOF\n"))  # type: ignore[no-untyped-call]
    return list(parse_text(text))


def _scraped(entries: list[dict[str, Any]], due: int, *, openmetrics: bool = False) -> str:
    scenario = compiled({"scenarios": entries}).unwrap()

    async def main() -> str:
        scrape = Scrape()
        for entry in scenario.entries:
            await scrape.add(entry, due)
        return await scrape.text(openmetrics=openmetrics)

    text = asyncio.run(main())
    families = _parsed(text, openmetrics=openmetrics)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert sum(len(family.samples) for family in families) == len(lines)
    return text


def test_the_latest_value_of_each_series() -> None:
    """One line for each label set, with the value of its last event that is due."""
    entry = metric(
        name="queue",
        generator=_STEP,
        labels={"zone": "a"},
        dynamic_labels=[{"key": "host", "cardinality": 2}],
        help="Jobs that wait.",
    )
    assert _scraped([entry], 6) == (
        "# HELP queue Jobs that wait.\n"
        "# TYPE queue gauge\n"
        'queue{host="host_1",zone="a"} 5.0\n'
        'queue{host="host_0",zone="a"} 4.0\n'
    )
    assert 'host="host_1"' not in _scraped([entry], 1)
    assert _scraped([entry], 0) == ""


def test_a_fleet_has_all_its_series() -> None:
    entry = metric(name="fleet", generator=_STEP, series=300)
    lines = _scraped([entry], 300 * 7 + 1).splitlines()[2:]
    assert len(lines) == 300
    assert min(lines) == 'fleet{series="0"} 7.0'
    assert sum(line.endswith(" 6.0") for line in lines) == 299


def test_series_of_a_spike_end_with_it() -> None:
    spike = {"label": "pod", "every": "10s", "for": "4s", "cardinality": 3}
    entry = metric(name="spiky", generator=_STEP, cardinality_spikes=[spike])
    inside = _scraped([entry], 13).splitlines()[2:]
    assert all("pod=" in line for line in inside)
    assert len(inside) == 3
    assert _scraped([entry], 16).splitlines()[2:] == ["spiky 15.0"]


@pytest.mark.parametrize(
    ("written", "text", "openmetrics"),
    [
        ({"name": "a"}, "a gauge", "a gauge"),
        ({"name": "a_total"}, "a_total counter", "a counter"),
        ({"name": "a", "metric_type": "counter"}, "a counter", "a unknown"),
        ({"name": "a_total", "metric_type": "gauge"}, "a_total gauge", "a_total gauge"),
        ({"name": "a", "metric_type": "untyped"}, "a untyped", "a unknown"),
    ],
)
def test_types(written: dict[str, Any], text: str, openmetrics: str) -> None:
    """A counter of OpenMetrics is called without the suffix that its sample must have."""
    assert f"# TYPE {text}\n" in _scraped([metric(**written)], 1)
    assert f"# TYPE {openmetrics}\n" in _scraped([metric(**written)], 1, openmetrics=True)


def test_what_has_to_be_escaped() -> None:
    """Back-slashes, quotes and line feeds arrive as they were."""
    awkward = 'a"b\\c\nd'
    entry = metric(name="a", labels={"l": awkward}, help=awkward)
    for openmetrics in (False, True):
        text = _scraped([entry], 1, openmetrics=openmetrics)
        [family] = _parsed(text, openmetrics=openmetrics)
        assert family.documentation == awkward
        assert family.samples[0].labels == {"l": awkward}


def test_entries_of_one_name_are_one_family() -> None:
    """Each series is there once, of two types neither is right, and logs have no values."""
    first = metric(name="a", generator={"type": "constant", "value": 1})
    other = metric(
        name="a",
        generator={"type": "constant", "value": 2},
        metric_type="counter",
        labels={"l": "x"},
    )
    again = {**first, "sink": {"type": "file", "path": "b"}}
    assert _scraped([first, other, log(), again], 1) == (
        '# HELP a Values of scenario entry a.\n# TYPE a untyped\na 1.0\na{l="x"} 2.0\n'
    )


def test_a_counter_beside_a_gauge_of_its_shorter_name() -> None:
    """In OpenMetrics the two would clash, so the counter is of no known type."""
    text = _scraped([metric(name="a"), metric(name="a_total")], 1, openmetrics=True)
    assert "# TYPE a gauge\n" in text
    assert "# TYPE a_total unknown\n" in text


@pytest.mark.parametrize("name", ["metric_type", "help"])
def test_logs_have_neither_type_nor_help(name: str) -> None:
    problem = compiled(log(**{name: "gauge"})).failure()
    assert str(problem) == f"unknown field '{name}'"


_OBSERVED = {"generator": None, "distribution": {"type": "uniform", "min": 0, "max": 1}}


def test_a_histogram_may_say_what_it_is() -> None:
    """And nothing else; an entry of single values is none."""
    written = metric(name="a", signal_type="histogram", **_OBSERVED, metric_type="histogram")
    assert "# TYPE a histogram\n" in _scraped([written], 1)
    for other, expected in ((written, "'histogram'"), (metric(), "one of 'gauge', 'counter', 'un")):
        problem = str(compiled({**other, "metric_type": "summary"}).failure())
        assert f"metric_type: unknown variant 'summary', expected {expected}" in problem


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_histogram_is_whole(openmetrics: bool) -> None:
    """All of its buckets, its sum and its count, of the same event."""
    entry = metric(
        name="h", signal_type="histogram", buckets=[0.5, 1], observations_per_tick=10, **_OBSERVED
    )
    text = _scraped([entry], 3, openmetrics=openmetrics)
    [family] = _parsed(text, openmetrics=openmetrics)
    assert (family.name, family.type) == ("h", "histogram")
    found = {(one.name, one.labels.get("le")): one.value for one in family.samples}
    assert found["h_bucket", "1.0"] == found["h_bucket", "+Inf"] == found["h_count", None] == 30
    assert set(found) == {
        *(("h_bucket", bound) for bound in ("0.5", "1.0", "+Inf")),
        ("h_sum", None),
        ("h_count", None),
    }


def test_openmetrics_has_no_sum_of_negative_observations() -> None:
    entry = metric(
        name="h",
        signal_type="histogram",
        generator=None,
        distribution={"type": "uniform", "min": -1, "max": 1},
        help="Below and above.",
    )
    assert "h_sum " in _scraped([entry], 1)
    text = _scraped([entry], 1, openmetrics=True)
    assert "h_sum " not in text
    assert "h_count " not in text
    assert "# HELP h Below and above.\n" in text


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_summary_of_each_host(openmetrics: bool) -> None:
    entry = metric(
        name="s",
        signal_type="summary",
        quantiles=[0.5, 1],
        dynamic_labels=[{"key": "host", "cardinality": 2}],
        **_OBSERVED,
    )
    [family] = _parsed(_scraped([entry], 5, openmetrics=openmetrics), openmetrics=openmetrics)
    assert len(family.samples) == 2 * 4
    counts = {one.labels["host"]: one.value for one in family.samples if one.name == "s_count"}
    assert counts == {"host_0": 500, "host_1": 400}


def test_names_that_would_clash() -> None:
    """What comes later is left out, so that the rest can be read."""
    histogram = metric(name="h", signal_type="histogram", **_OBSERVED)
    other = metric(name="h_count", sink={"type": "file", "path": "other"})
    for openmetrics in (False, True):
        text = _scraped([histogram, other], 1, openmetrics=openmetrics)
        assert [line for line in text.splitlines() if line.startswith("# TYPE")] == [
            "# TYPE h histogram"
        ]
