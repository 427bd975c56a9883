"""`csv_replay`: what is read, when it is due, and where a cell is wrong."""

from __future__ import annotations

import tracemalloc
from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from returns.result import Failure

from sonda.pipeline.model import Log
from sonda.pipeline.net import AccessPolicy
from sonda.pipeline.net.read_below import open_text
from sonda.pipeline.problems import Malformed
from sonda.pipeline.scenarios.csv_heads import read_header
from sonda.pipeline.scenarios.csv_replay import ReplaySchedule
from sonda.pipeline.scenarios.csv_table import Rows, read_numbers
from sonda.scenarios import load_scenario
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, log, metric

GRAFANA = (
    '"Time","up{job=""api"", host=""a""}","{__name__=""load"", host=""b""}","plain"\n'
    "1700000000000,1,0.5,7\n1700000010000,0,0.25,8\n1700000025000,1,1e3,-9\n"
)


def _replay(text: str, kind: str = "generator", **options: Any) -> dict[str, Any]:
    entry = metric(rate=None) if kind == "generator" else log(rate=None)
    return {**entry, kind: {"type": "csv_replay", "csv": text, **options}}


def test_an_export_of_grafana() -> None:
    """Each column is an entry, by the name and labels of its head; the times set the pace."""
    plan = compiled({**_replay(GRAFANA), "labels": {"env": "test", "host": "x"}}).unwrap()
    shown = [(one.id, one.name, one.labels.fixed, one.values(range(4))) for one in plan.entries]
    assert shown == [
        ("up", "up", {"env": "test", "host": "a", "job": "api"}, [1, 0, 1, 1]),
        ("load", "load", {"env": "test", "host": "b"}, [0.5, 0.25, 1000, 0.5]),
        ("plain", "plain", {"env": "test", "host": "x"}, [7, 8, -9, 7]),
    ]
    schedule = plan.entries[0].schedule
    assert [schedule.due(tick) for tick in range(7)] == [0, 10, 25, 40, 50, 65, 80]
    assert plan.event("up", 1).time_ns == NOW_NS + 10**10
    assert plan.planned is None


def test_columns_are_chosen_and_named() -> None:
    """By index or by head; the same column twice is two entries; ids are made of the names."""
    columns = [
        {"index": 3, "name": "x"},
        {"column": "plain", "name": "x", "labels": {"copy": "1"}},
        {"index": 1},
    ]
    plan = compiled(_replay(GRAFANA, columns=columns, timescale=2.5, repeat=False)).unwrap()
    assert [(one.id, one.name) for one in plan.entries] == [("x", "x"), ("x_2", "x"), ("up", "up")]
    assert [one.planned for one in plan.entries] == [3, 3, 3]
    assert plan.entries[0].schedule.due(2) == 10
    named = compiled({**_replay(GRAFANA), "id": "own"}).unwrap()
    assert [one.id for one in named.entries] == ["own", "own_2", "own_3"]


def test_a_single_column_has_the_name_of_the_entry() -> None:
    """Where its head is `Value`, is no metric's name, or is missing."""
    for text in ("Time,Value\n0,1\n1,2", "Time,CPU usage\n0,1\n1,2", "0,1\n1,2"):
        [entry] = compiled(_replay(text)).unwrap().entries
        assert (entry.name, entry.values(range(2))) == ("cpu", [1, 2])


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nTime;a;b\r\n0;1;2\r\n1;3;4\r\n\r\n",
        "\ufeffTime;a;b\n0;1;2\n1;3;4\n",
        '\ufeffsep=,\r\n"Time","a","b"\r\n0,1,2\r\n1,3,4\r\n',
        "Time\ta\tb\n0\t1\t2\n1\t3\t4\n",
        "sep=\t\nTime\ta\tb\n0\t1\t2\n1\t3\t4\n",
        '"Time, UTC";a;b\n0;1;2\n1;3;4\n',
        "0;1;2\n1;3;4\n",
    ],
)
def test_what_separates_cells(text: str) -> None:
    """Said by a first line for Excel, or the first line's own: a comma, a semicolon or a tab."""
    columns = [{"index": 1, "name": "a"}, {"index": 2, "name": "b"}]
    found = compiled(_replay(text, columns=columns)).unwrap()
    assert [one.values(range(2)) for one in found.entries] == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    "times",
    [
        ("0", "1.5"),
        ("1700000000", "1700000001.5"),
        ("1700000000000", "1700000001500"),
        ("1700000000000000", "1700000001500000"),
        ("1700000000000000000", "1700000001500000000"),
        ("2026-01-01T00:00:00Z", "2026-01-01T01:00:01.5+01:00"),
        ("2026-01-01 00:00:00", "2026-01-01 00:00:01.500"),
    ],
)
def test_times_in_any_unit(times: tuple[str, str]) -> None:
    """Seconds to nanoseconds, RFC 3339, and what a spreadsheet shows."""
    first, second = times
    [entry] = compiled(_replay(f"t,v\n{first},1\n{second},2\n")).unwrap().entries
    assert entry.schedule.due(1) == Fraction(3, 2)


def test_lines_of_a_log() -> None:
    """Message and severity by their heads in any usual spelling, all else is a field."""
    text = "Time,Level,Line,host\n0,WARNING,slow,a\n2,error,gone,b\n"
    [entry] = compiled(_replay(text, "log_generator")).unwrap().entries
    said = [one for one in entry.events(range(3)) if isinstance(one, Log)]
    assert [(one.severity, one.message, one.fields) for one in said] == [
        ("warn", "slow", {"host": "a"}),
        ("error", "gone", {"host": "b"}),
        ("warn", "slow", {"host": "a"}),
    ]
    assert entry.event(2) == said[2]


def test_rows_go_together_with_the_rest() -> None:
    """With fleets, jitter, separators of Excel, a byte order mark, blank lines and quotes."""
    text = '\ufeffsep=;\r\nTime;v\r\n0;"1"\r\n\r\n3;2\r\n'
    entry = {**_replay(text), "series": 2, "jitter": 0.5, "count": 2}
    [plan] = compiled(entry).unwrap().entries
    ticks = range(4)
    assert plan.planned == 4
    assert plan.events(ticks) == [plan.event(tick) for tick in ticks]
    noise = [value - row for value, row in zip(plan.values(ticks), (1, 1, 2, 2), strict=True)]
    assert len(set(noise)) == 4
    assert all(abs(one) <= 0.5 for one in noise)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("up", ("up", {})),
        (' up {a="b"} ', ("up", {"a": "b"})),
        ('{__name__="up",a="b, c=\\"d\\"",}', ("up", {"a": 'b, c="d"'})),
        ('{a="\\\\n\\n"}', (None, {"a": "\\n\n"})),
        ("up{}", ("up", {})),
        ("Value", (None, {})),
        ('Value {job="api"}', (None, {"job": "api"})),
        ('up {instance="a:9090", job="api"}', ("up", {"instance": "a:9090", "job": "api"})),
        (
            '{service.name="api", k8s.io/app="x"}',
            (None, {"service_name": "api", "k8s_io_app": "x"}),
        ),
        ('http.server.duration{http.route="/a"}', ("http_server_duration", {"http_route": "/a"})),
        (
            '{"http.requests", "service.name"="a", b="c"}',
            ("http_requests", {"service_name": "a", "b": "c"}),
        ),
        ('{__name__="http.requests", "1st"="a"}', ("http_requests", {"_1st": "a"})),
        ('{"a=b, c"="d, e"}', (None, {"a_b__c": "d, e"})),
    ],
)
def test_heads(head: str, expected: tuple[str | None, dict[str, str]]) -> None:
    """As PromQL and Grafana write them."""
    read = read_header(head)
    assert read is not None
    assert (read.name, read.labels) == expected


@pytest.mark.parametrize(
    "head",
    [
        "CPU usage",
        "a{b=c}",
        'a{b="c"',
        "1a",
        'a{b="c" d="e"}',
        "Value #A",
        "A-series",
        'a{b.c="1", b_c="2"}',
        'a{"b"}',
        "a{b}",
        'a{""="b"}',
        'a{b="say "hello""}',
    ],
)
def test_other_heads(head: str) -> None:
    """They name no metric."""
    assert read_header(head) is None


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("Time,v\n0,1\n1,x\n", {}, 'row 3, column 2 ("v"): expected a finite number, got "x"'),
        ("Time,v\n0,1\n1,\n", {}, 'row 3, column 2 ("v"): expected a finite number, got ""'),
        ("Time,v\n0,1\n1,NaN\n", {}, "row 3, column 2"),
        (
            "Time,v\n0,1\n1,null\n",
            {},
            'row 3, column 2 ("v"): expected a finite number, got "null"',
        ),
        ("Time,v\n0,1\n1,\n", {}, '"" (fill the cell, or leave the row out)'),
        ("Time,v\n0,12.3 ms\n", {}, '"12.3 ms" (export without units: in Grafana, without \'Form'),
        (
            "Time,v\n0,45%\n",
            {},
            'row 2, column 2 ("v"): expected a finite number, got "45%" (export',
        ),
        ("Time;v\n0;1,5\n", {}, '"1,5" (write the decimals after a point, and no thousands apart)'),
        ('Time,v\n0,"1,234"\n', {}, '"1,234" (write the decimals after a point'),
        (
            "Series;Time;Value\na;2026-01-01T00:00:00Z;1\n",
            {"columns": [{"index": 2, "name": "x"}]},
            'row 2, column 1 ("Series"): expected',
        ),
        ('Time,v\n"1/2/2026, 3:04:05 PM",1\n', {}, 'row 2, column 1 ("Time"): expected a time'),
        ("Time,v\n0,1\n\nTime,w\n0,1\n", {}, 'row 4, column 1 ("Time"): expected a time'),
        ("Time,v\n0,1\nsoon,2\n", {}, 'row 3, column 1 ("Time"): expected a time'),
        ("Time,v\n0,1\n0,2\n", {}, 'row 3, column 1 ("Time"): is not later than the row before'),
        ("Time,v\n0,1\n1,2,3\n", {}, "row 3 has 3 cells, and the first 2"),
        ("Time,v\n0,1\n1,\u0663\n", {}, "row 3, column 2"),
        ("Time,v\n\n0,1\n\n1,2\n\n2,x\n", {}, "row 7, column 2"),
        ("Time,v\n1,1\n2026-01-01T00:00:00Z,2\n", {}, "row 3, column 1"),
        ("Time,v\n2026-01-01T00:00:00Z,1\n5,2\n", {}, "row 3, column 1"),
        ("0,1\n200000000000000000.1,1\n200000000000000000.2,1\n", {}, "row 3, column 1: is not a"),
        ("-8999999999999999999,1\n8999999999999999999,2\n", {}, "row 2, column 1: is more than"),
        ("Time,up{job=api}\n0,1\n1,2\n", {}, "column 2"),
        ("Time,v\n", {}, "holds no row"),
        ("", {}, "holds no row"),
        ("Time\n0\n", {}, "needs a second column"),
        ("Time,v\n0,1\n", {}, "generator.repeat: needs two rows"),
        (
            "Time,A b,C d\n0,1,2\n",
            {},
            'column 2 ("A b") names no metric: name it in columns (index 1)',
        ),
        (
            "Time,v\n0,1\n",
            {"columns": [{"index": 2}]},
            "columns[0].index: there is no column 2: the last one is 1",
        ),
        (
            "Time,v\n0,1\n",
            {"columns": [{"column": "w"}]},
            'columns[0].column: there is no column "w"; there are "v"',
        ),
        ("Time,v\n0,1\n", {"columns": [{"column": "Time"}]}, "is the first, which holds the times"),
        ("Time,v\n0,1\n", {"columns": []}, "generator.columns"),
        (
            "Time,v\n0,1\n",
            {"columns": [{"index": 1, "name": "a b"}]},
            "[0].name: invalid metric name",
        ),
        (
            "Time,v\n0,1\n",
            {"columns": [{"index": 1, "labels": {"a-b": "c"}}]},
            "generator.columns[0].labels.a-b: invalid label name",
        ),
        ("Time,v\n0,1\n", {"columns": [{"name": "x"}]}, "expected either index or column"),
        ("Time,v\n0,1\n1,1\n", {"timescale": 0}, "generator.timescale"),
        ("Time,v\n0,1\n1,1\n", {"timescale": 10**7}, "generator.timescale: makes more than"),
        ("Time,v\n0,1\n1,1\n", {"file": "x"}, "unknown field 'csv': file stands in its place"),
        ('Time,v\n0,"1\n', {}, "row"),
    ],
)
def test_refusals(text: str, options: dict[str, Any], reason: str) -> None:
    """Each says where and why, before anything is sent."""
    assert reason in str(compiled(_replay(text, **options)).failure())


def test_refusals_of_lines() -> None:
    """A severity that is none, and no message."""
    text = "Time,level,message\n0,loud,x\n"
    problem = str(compiled(_replay(text, "log_generator")).failure())
    assert 'log_generator.csv: row 2, column 2 ("level"): expected one of trace' in problem
    problem = str(compiled(_replay("Time,a,b\n0,1,2\n", "log_generator")).failure())
    assert "has no column message" in problem


@pytest.mark.parametrize("name", ["rate", "stages"])
def test_nothing_else_sets_the_pace(name: str) -> None:
    """`rate` is unknown then; that of the defaults does not hold."""
    written = {"rate": 1, "stages": [{"rate": 1, "for": "1s"}]}[name]
    problem = compiled({**_replay(GRAFANA), name: written}).failure()
    assert isinstance(problem, Malformed)
    assert f"unknown field '{name}': the times of csv_replay set the pace" in str(problem)
    document = {"defaults": {"rate": 3}, "scenarios": [_replay("t,v\n0,1\n2,1\n")]}
    assert compiled(document).unwrap().entries[0].schedule.due(1) == 2


def test_a_file_is_read(tmp_path: Path) -> None:
    """By the library from the current folder; a server reads below its file root alone."""
    path = tmp_path / "rows.csv"
    path.write_text(GRAFANA, encoding="utf-8")
    entry = metric(rate=None, generator={"type": "csv_replay", "file": str(path)})
    assert [one.name for one in load_scenario(entry).unwrap().entries] == ["up", "load", "plain"]
    missing = metric(rate=None, generator={"type": "csv_replay", "file": f"{path}x"})
    failed = load_scenario(missing)
    assert isinstance(failed, Failure)
    assert "generator.file: cannot read" in str(failed.failure())
    access_policy = AccessPolicy(tmp_path, tmp_path)
    with open_text("rows.csv", access_policy, 1000) as opened:
        assert opened.read() == GRAFANA
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.csv").symlink_to(path)
    below = AccessPolicy(inner, inner)
    for outside in ("../rows.csv", str(path), "link.csv"):
        with pytest.raises(PermissionError, match="outside the file root"):
            open_text(outside, below, 1000)
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        open_text("rows.csv", access_policy, 10)
    path.write_bytes(b"t,v\n0,1\n1,\xff\n")
    reason = "generator.file: is not UTF-8, in a row after 0"  # a block at a time is decoded
    assert reason in str(load_scenario(entry).failure())
    folder = metric(rate=None, generator={"type": "csv_replay", "file": str(tmp_path)})
    assert "cannot read" in str(load_scenario(folder).failure())
    assert "it is no regular file" in str(load_scenario(folder).failure())


def test_a_long_file_costs_no_more_than_its_numbers() -> None:
    """Rows are read one by one: a number and a time are kept of each, 8 bytes both."""
    count, most = 20_000, 2_000_000

    def lines() -> Iterator[str]:
        yield "Time,v,other\n"
        for place in range(count):
            yield f"{place},{place % 7},{'x' * 100}\n"

    tracemalloc.start()
    try:
        times_ns, values = read_numbers(Rows(lines()), [1])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < most
    assert list(times_ns) == [place * 10**9 for place in range(count)]
    assert list(values[1]) == [place % 7 for place in range(count)]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=20),
    st.decimals("0.01", 100, places=2).map(Fraction),
    st.booleans(),
    st.integers(0, 10**6),
    st.fractions(0, 10**5),
)
def test_the_schedule_against_a_model(
    steps: list[int], timescale: Fraction, repeat: bool, tick: int, time: Fraction
) -> None:
    """Times are those of the file, round after round; `ticks_before` is the inverse of `due`."""
    times = [0]
    for step in steps:
        times.append(times[-1] + step)
    schedule = ReplaySchedule(times, timescale, repeat)
    if not repeat:
        tick %= len(times)
    rounds, place = divmod(tick, len(times))
    model = (rounds * (times[-1] + steps[-1]) + times[place]) / (10**9 * timescale)
    assert schedule.due(tick) == model
    assert schedule.ticks_before(model) == tick
    assert schedule.ticks_before(model + Fraction(1, 10**30)) == tick + 1
    if not repeat:
        due = [at / (10**9 * timescale) for at in times]
        assert schedule.ticks_before(time) == bisect_left(due, time)
        assert schedule.planned == len(times)
