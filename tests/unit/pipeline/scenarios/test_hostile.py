"""Documents that try to cost much are refused while they are still cheap."""

from __future__ import annotations

import tracemalloc
from math import lcm
from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.scenarios import compile_csv
from sonda.pipeline.scenarios.limits import MOST_SERIES
from sonda.pipeline.scenarios.reading import MOST_BYTES, read_json, read_yaml
from tests.unit.pipeline.scenarios.support import compiled, log, metric

MANY = 10_000


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
    assert peak < MANY * 4096


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


def test_thousands_of_dynamic_labels_take_no_squared_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them is put together with what those before it have come to."""
    looked_at = 0

    def counted(*numbers: int) -> int:
        nonlocal looked_at
        looked_at += len(numbers)
        return lcm(*numbers)

    monkeypatch.setattr("sonda.pipeline.scenarios.compile_entry.lcm", counted)
    labels = [{"key": f"k{number}", "cardinality": 2} for number in range(2000)]
    assert compiled(metric(dynamic_labels=labels)).unwrap().entries[0].labels.count == 2
    assert looked_at <= 2 * len(labels)


def test_columns_of_rows_are_counted_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A document of a mebibyte could make more than a hundred thousand entries."""

    def refusal(cell: str, entries: int) -> str:
        rows = f"t{',v' * 200}\n1{f',{cell}' * 200}\n2{',1' * 200}\n"
        entry = metric(rate=None, generator={"type": "csv_replay", "csv": rows})
        return str(compiled({"scenarios": [entry] * entries}).failure())

    assert MOST_SERIES == 10_000
    monkeypatch.setattr(compile_csv, "MOST_SERIES", 1000)
    assert "scenarios[0].generator.csv: row 2, column 2" in refusal("x", 2)
    found = refusal("1", 20)
    assert "scenarios[5].generator.csv: its columns make more than 1,000 series" in found


def test_a_long_cycle_is_named_in_short() -> None:
    """Of a thousand entries that wait for one another the first few, and the last."""
    entries = [
        metric(
            id=f"e{number}",
            name=f"n{number}",
            generator={"type": "flap"},
            after={"ref": f"e{(number + 1) % 1000}", "op": "<", "value": 1},
        )
        for number in range(1000)
    ]
    problem = str(compiled({"scenarios": entries}).failure())
    assert "is a cycle (e0 after e1 after e2" in problem
    assert len(problem) < 500
