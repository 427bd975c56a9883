"""Documents that try to cost much are refused while they are still cheap."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.scenarios.reading import MOST_BYTES, read_json, read_yaml
from tests.unit.pipeline.scenarios.support import compiled, log, metric

MANY = 50_000


@pytest.mark.parametrize(
    "document",
    [
        metric(rate=10**9),
        metric(dynamic_labels=[{"key": "a", "cardinality": 10**6}]),
        metric(dynamic_labels=[{"key": f"k{n}", "cardinality": 10**6 + n} for n in range(1000)]),
        metric(bursts={"every": "2h", "for": "1ms", "multiplier": 10**30}),
        metric(duration="9" * 2000 + "h"),
        metric(count=10**4000),
        metric(labels={f"bad-{n}": "x" for n in range(MANY)}),
        {"scenarios": [1] * MANY},
        {"scenarios": [{"x": 1}] * 1000},
        {"tags": [1] * MANY, **metric()},
        metric(generator={"type": "sequence", "values": ["x"] * MANY}),
        log(log_generator={"type": "template", "templates": ["{nope}"] * MANY}),
        {f"k{n}": n for n in range(MANY)},
    ],
    ids=range(13),
)
def test_it_is_refused_within_little_memory(document: dict[str, Any]) -> None:
    """Neither a number nor a million of something makes the compiler allocate much."""
    tracemalloc.start()
    try:
        failed = compiled(document)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(failed, Failure)
    assert len(str(failed.failure())) < 10_000
    assert peak < 200 << 20


def test_a_mebibyte_of_entries_is_refused() -> None:
    """As many entries as a document can hold are counted, not compiled."""
    entry = (
        '{"signal_type":"metrics","name":"a","rate":1,"generator":{"type":"constant","value":1}},'
    )
    raw = ('{"scenarios":[' + entry * (MOST_BYTES // len(entry) - 1))[:-1] + "]}"
    found = read_json(raw.encode()).bind(lambda read: compiled(read.tree))
    assert "at most 1,000 are allowed" in str(found.failure())


def test_a_thousand_entries_are_fine() -> None:
    """The most entries that are allowed compile."""
    entries = [metric(name=f"m{n}") for n in range(1000)]
    assert len(compiled({"scenarios": entries}).unwrap().entries) == 1000


def test_a_document_that_is_too_long_is_not_parsed() -> None:
    """Its length is looked at first."""
    for read in (read_json, read_yaml):
        assert "longer than" in str(read(b"[" * (MOST_BYTES + 1)).failure())


def test_a_year_at_a_thousand_a_second_is_a_plan_like_any_other() -> None:
    """Thirty billion ticks: any of them at once, and nothing is stored."""
    entry = compiled(metric(rate=1000, duration="8760h", gaps={"every": "1h", "for": "7m"}))
    plan = entry.unwrap().entries[0]
    assert plan.planned == 8760 * 53 * 60 * 1000
    last = plan.event(plan.planned - 1)
    assert plan.schedule.ticks_before(plan.schedule.due(plan.planned - 1)) == plan.planned - 1
    assert last.time_ns - plan.start_ns == (8759 * 3600 + 53 * 60) * 10**9 - 10**6
