"""Shards: for any N their union is the whole plan, byte for byte, each event once."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sonda.pipeline.model import Event
from sonda.pipeline.scenarios.ledger import Ledger
from sonda.pipeline.scenarios.merged_ledger import Merged, merge, read_part
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.shards import shard_of
from sonda.pipeline.scenarios.states import Shard
from tests.unit.pipeline.scenarios.support import compiled, log, metric

UNIFORM = {"type": "uniform", "min": 0, "max": 1}
SPIKE = {"label": "pod", "every": "5s", "for": "2s", "cardinality": 3}
DOCUMENT = {
    "defaults": {"rate": 2.5, "duration": "9s"},
    "scenarios": [
        metric(name="one", rate=None, generator=UNIFORM),
        metric(name="fleet", rate=None, generator=UNIFORM, series=5, jitter=2),
        metric(
            name="turning",
            rate=None,
            generator=UNIFORM,
            dynamic_labels=[{"key": "a", "cardinality": 3}],
            cardinality_spikes=[SPIKE],
        ),
        log(name="app", rate=None),
    ],
}


def _key(event: Event) -> tuple[str, str]:
    return event.signal_type, repr(event)


def _parts(plan: Scenario, count: int) -> list[Scenario]:
    return [shard_of(plan, Shard(index, count)) for index in range(count)]


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 8))
def test_the_union_of_the_shards_is_the_whole(count: int) -> None:
    """Each event is in exactly one shard, equal to that of the whole run."""
    plan = compiled(DOCUMENT).unwrap()
    whole = sorted(map(_key, plan.events()))
    parts = _parts(plan, count)
    united = sorted(_key(event) for part in parts for event in part.events())
    assert united == whole
    assert sum(part.planned or 0 for part in parts) == plan.planned == len(whole)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_series_is_in_one_shard(count: int) -> None:
    """So that it stays in its order."""
    seen: dict[str, int] = {}
    for index, part in enumerate(_parts(compiled(DOCUMENT).unwrap(), count)):
        for event in part.events():
            if event.signal_type == "metrics":
                series = f"{event.name}{sorted(event.labels.items())}"
                assert seen.setdefault(series, index) == index
    assert set(seen.values()) == set(range(count))


def test_ticks_of_a_shard_agree_with_each_other() -> None:
    """Ranges equal single ticks, `ticks_before` is the inverse of `due`."""
    for part in _parts(compiled(DOCUMENT).unwrap(), 3):
        for entry in part.entries:
            planned = entry.planned or 0
            made = entry.events(range(planned))
            assert made == [entry.event(tick) for tick in range(planned)]
            assert list(entry.stamps_ns(range(planned))) == [one.time_ns for one in made]
            assert entry.schedule.ticks_before(Fraction(100)) == planned
            for tick in range(planned):
                due = entry.schedule.due(tick)
                before = entry.schedule.ticks_before(due)
                assert before <= tick
                assert entry.schedule.due(before) == due


def test_a_shard_begins_when_the_run_does() -> None:
    """`now` is that of the run, as in a whole one."""
    [part] = _parts(compiled(metric(series=3)).unwrap(), 1)
    assert part.starting(5).entries[0].event(1).time_ns == 5


def test_a_shard_may_have_no_event() -> None:
    """Where there are fewer series than shards: the others have all, and a Job's pod succeeds."""
    plan = compiled(metric(series=2, count=3)).unwrap()
    parts = _parts(plan, 5)
    assert [len(part.entries) for part in parts] == [1, 1, 0, 0, 0]
    assert sum(part.planned or 0 for part in parts) == plan.planned == 6
    assert parts[4].planned == 0
    assert list(parts[4].events()) == []


def _printed(index: int, count: int, **ledger: Any) -> dict[str, Any]:
    columns = Ledger(10, 10, **ledger).document()
    entries = [{"id": "cpu", "ledger": columns}]
    return {
        "name": "x",
        "ledger": columns,
        "scenarios": entries,
        "shard": {"index": index, "count": count},
    }


def _merged(*documents: dict[str, Any]) -> Merged:
    return merge([read_part(one) for one in documents])


def test_ledgers_add_up() -> None:
    """The sum of the columns, of the run and of each entry; and what is missing."""
    merged = _merged(_printed(0, 4, delivered=10), _printed(2, 4, delivered=7, unknown=3))
    assert merged.ledger == Ledger(20, 20, delivered=17, unknown=3)
    assert merged.entries == {"cpu": merged.ledger}
    assert merged.missing == [1, 3]
    assert merged.document()["shards"] == {"count": 4, "missing": [1, 3]}
    assert not _merged(_printed(1, 2, delivered=10), _printed(0, 2, delivered=10)).missing


@pytest.mark.parametrize(
    ("documents", "text"),
    [
        ([_printed(0, 2, delivered=10)] * 2, "shard 0/2 is there twice"),
        ([_printed(0, 2, delivered=10), _printed(1, 3, delivered=10)], "shards of two runs"),
        ([{}], "is no ledger"),
        ([{"ledger": {}, "name": "x"}], "is no ledger"),
        ([{"ledger": {"planned": 1}, "name": "x", "scenarios": []}], "'due' is missing"),
    ],
)
def test_what_is_not_merged(documents: list[dict[str, Any]], text: str) -> None:
    """One shard twice, two runs, and what is no ledger."""
    with pytest.raises(ValueError, match=text):
        _merged(*documents)
