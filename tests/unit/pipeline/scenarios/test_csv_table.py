"""A table with times in its first column: how it is split, what its times mean, where it is wrong."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import pytest

from sonda.pipeline.scenarios.csv_table import Rows, Times, Unreadable, read_numbers, read_time


def rows(text: str) -> Rows:
    return Rows(text.splitlines(keepends=True))


def reason_of(text: str, columns: Sequence[int] = (1,)) -> str:
    with pytest.raises(Unreadable) as exc:
        read_numbers(rows(text), columns)
    return str(exc.value)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("1,2\n", ["1", "2"]),
        ("1;2\n", ["1", "2"]),
        ("1\t2\n", ["1", "2"]),
        ("sep=;\n1;2\n", ["1", "2"]),
        ('"a;b";c\n1;2\n', ["1", "2"]),
        ('"1;5",2\n', None),
        ("\ufeff1,2\n", ["1", "2"]),
        ("\n\n1,2\n", ["1", "2"]),
    ],
)
def test_a_text_is_split_by_what_its_first_line_says(text: str, cells: list[str] | None) -> None:
    """A separator inside quotes separates nothing; a byte order mark is no part of a cell."""
    if cells is None:
        with pytest.raises(Unreadable):
            rows(text)
    else:
        assert list(rows(text)) == [cells]


@pytest.mark.parametrize(
    ("text", "heads"),
    [("time,up\n1,2\n", ["time", "up"]), ("1,2\n", None), ("2026-01-01 00:00:00,2\n", None)],
)
def test_a_first_line_that_is_no_time_is_a_head(text: str, heads: list[str] | None) -> None:
    """Also where the head of the times is not called so."""
    found = rows(text)
    assert found.heads == heads
    assert found.head(1) == (heads[1] if heads else "")
    assert found.find("up") == (1 if heads else None)
    assert found.find("down") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "holds no row"),
        ("\n", "holds no row"),
        ("a,b\n", "holds no row"),
        ("1\n2\n", "needs a second column: the first holds the times"),
        ("1,2\n3\n", "row 2 has 1 cells, and the first 2"),
        ('1,"2\n', "row 1: unexpected end of data"),
        ("1,2\nx,3\n", "row 2, column 1: expected a time ("),
        ("t,v\n1,2\n1,3\n", 'row 3, column 1 ("t"): is not later than the row before'),
        ("t,v\n1,2\n\n\n0,3\n", 'row 5, column 1 ("t"): is not later than the row before'),
        ("1,x\n", 'row 1, column 2: expected a finite number, got "x"'),
        ("1,2\n2,\n", "(fill the cell, or leave the row out)"),
        ('1,2\n2,"1,5"\n', "(write the decimals after a point, and no thousands apart)"),
        ("1,2\n2,5 %\n", "(export without units: in Grafana, without 'Formatted data')"),
        ("1,2\n2,nan\n", "expected a finite number"),
        ("1,2\n2,1_0\n", "expected a finite number"),
        ("1,2\n2,1e999\n", "expected a finite number"),
        ("1,2\n2,\u0662\n", "expected a finite number"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, reason: str) -> None:
    """Blank lines count, since an editor counts them."""
    assert reason in reason_of(text)


@pytest.mark.parametrize(
    ("cells", "expected_ns"),
    [
        (["1700000000", "1700000001.5"], [0, 1_500_000_000]),
        (["1700000000000", "1700000000001"], [0, 1_000_000]),
        (["1700000000000000", "1700000000000001"], [0, 1_000]),
        (["1700000000000000000", "1700000000000000001"], [0, 1]),
        (["0", "0.25", "10"], [0, 250_000_000, 10_000_000_000]),
        (["-2", "-1", "0"], [0, 1_000_000_000, 2_000_000_000]),
        (["2026-01-31 12:00:00", "2026-01-31 12:00:01.5"], [0, 1_500_000_000]),
        (["2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00.000000001Z"], [0, 1]),
    ],
)
def test_times_in_every_unit(cells: list[str], expected_ns: list[int]) -> None:
    """The unit follows from how large they are; all are after the first."""
    for how in ("at once", "one by one"):
        times = Times(rows("1,2\n"))
        if how == "at once":
            times.extend(cells)
        else:
            for cell in cells:
                times.add(cell)
        assert times.since_first_ns() == array("q", expected_ns)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["1700000000000000000", "1700000000000000000.5"], "is not a nanosecond later"),
        (["0", "9999999999"], "is more than 292 years after the first row"),
        (["1", "2026-01-31 12:00:00"], "expected a time"),
        (["2026-01-31 12:00:00", "1"], "expected a time"),
        (["2026-02-30 12:00:00"], "expected a time"),
    ],
)
def test_times_that_cannot_be_had(cells: list[str], reason: str) -> None:
    """The first row says how all are written."""

    def read() -> None:
        times = Times(rows("1,2\n"))
        times.extend(cells)
        times.since_first_ns()

    with pytest.raises(Unreadable, match=reason):
        read()


def test_a_time_without_a_zone_is_utc() -> None:
    """As Grafana exports it; blanks around it do not matter."""
    assert read_time(" 1970-01-01 00:00:01 ") == read_time("1970-01-01T00:00:01Z") == 10**9


def test_only_the_columns_that_are_asked_for_are_read() -> None:
    """What stands in the others need be no number."""
    times, values = read_numbers(rows("1,x,2.5\n2,y,-1e3\n"), [2])
    assert list(times) == [0, 10**9]
    assert {column: list(found) for column, found in values.items()} == {2: [2.5, -1000.0]}
