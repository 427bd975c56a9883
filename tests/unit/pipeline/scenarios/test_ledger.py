"""The ledger adds up or is not made; ticks and problems are kept within bounds."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.scenarios import ledger
from sonda.pipeline.scenarios.ledger import Latencies, Ledger, Problems, TickRanges, runs


@pytest.mark.parametrize(
    "columns",
    [
        {"due": 2, "delivered": 1},
        {"due": 1, "delivered": 1, "unknown": 1},
        {"due": 6, "delivered": 6},
        {"due": 0, "delivered": 1, "skipped": -1},
    ],
)
def test_columns_that_do_not_add_up_are_no_ledger(columns: dict[str, int]) -> None:
    """A ledger that would tell a lie cannot be made."""
    with pytest.raises(ValueError, match="do not add up"):
        Ledger(planned=5, **columns)


def test_ledgers_add_up() -> None:
    """A sum has each column's sum, and no end where one of them has none."""
    one = Ledger(5, 3, delivered=1, rejected=1, in_flight=1, bytes=10, pushes=2)
    two = Ledger(4, 4, unknown=2, skipped=1, backlog=1, bytes=5, pushes=1)
    both = one + two
    assert both == Ledger(9, 7, 1, 1, 2, 1, 1, 1, 15, 3)
    assert both.not_due == 2
    assert (one + Ledger(None, 1, backlog=1)).planned is None
    assert both.document()["not_due"] == 2


@given(st.permutations(range(12)), st.integers(1, 3))
def test_ranges_join(order: list[int], size: int) -> None:
    """Whatever the order in which ticks come, those side by side become one range."""
    ranges = TickRanges()
    known: set[int] = set()
    for block in order[:9]:
        ranges.add(block * size, (block + 1) * size)
        known |= set(range(block * size, (block + 1) * size))
    found = list(ranges)
    assert [tick for part in found for tick in part] == sorted(known)
    assert all(one.stop < two.start for one, two in pairwise(found))
    assert not ranges.truncated


def test_too_many_ranges_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound only what touches a known range is kept, and it says so."""
    monkeypatch.setattr(ledger, "MOST_RANGES", 3)
    ranges = TickRanges()
    for tick in (0, 2, 4, 6):
        ranges.add(tick, tick + 1)
    assert ranges.truncated
    ranges.add(1, 2)
    assert list(ranges) == [range(3), range(4, 5)]


def test_runs_of_ticks() -> None:
    """Ticks in a row are one stretch."""
    assert list(runs([1, 2, 3, 7, 9, 10])) == [(1, 4), (7, 8), (9, 11)]
    assert list(runs(range(3, 9))) == [(3, 9)]
    assert list(runs([])) == list(runs(range(0))) == []


def test_problems_are_counted_by_text() -> None:
    """A text has its count, and the first and the last tick of which it was said."""
    problems = Problems()
    assert problems.add("a", [5, 6, 9])
    assert not problems.add("a", range(2, 4))
    [counted] = problems.listed()
    head = {"text": "a", "count": 5, "first_tick": 2, "last_tick": 9}
    assert counted.document() == {**head, "ticks": [[2, 3], [5, 6], [9, 9]]}
    problems.add("b", range(10, 20))
    whole = {"text": "b", "count": 10, "first_tick": 10, "last_tick": 19}
    assert problems.listed()[1].document() == whole


def test_texts_are_bounded() -> None:
    """Ten thousand different texts take no more room than a hundred."""
    problems = Problems()
    for number in range(10_000):
        problems.add(f"text {number}", [number])
    listed = problems.listed()
    assert len(listed) == ledger.MOST_TEXTS + 1
    assert sum(one.count for one in listed) == 10_000
    assert listed[-1].text == ledger.OTHER_PROBLEMS


def test_latencies() -> None:
    """Percentiles are within a hundredth, the maximum is exact."""
    latencies = Latencies()
    assert latencies.document() == {"p50": None, "p99": None, "max": None}
    for ms in range(1, 1001):
        latencies.add(ms / 1000, 1)
    shown = latencies.document()
    assert shown["p50"] == pytest.approx(500, rel=0.01)
    assert shown["p99"] == pytest.approx(990, rel=0.01)
    assert shown["max"] == 1000
