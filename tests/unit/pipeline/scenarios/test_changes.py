"""A run that is changed on the way: another rate, a pause, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from returns.result import Failure

from sonda.pipeline.scenarios.changes import (
    MOST_SEGMENTS,
    PlanChange,
    change_entry,
    plan_of,
    read_change,
    restored,
)
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.reading import from_tree
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.segments import segments_of
from sonda.pipeline.scenarios.states import Outcome, State
from tests.support.virtual_time import run_virtually
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, metric
from tests.unit.pipeline.scenarios.test_run import FakeSender, yes

_PAUSE = PlanChange(is_paused=True)
_GO_ON = PlanChange(is_paused=False)


def _rate(number: int) -> PlanChange:
    return PlanChange(rate=Fraction(number))


def _changed_at(
    changes: list[tuple[float, PlanChange]], **entry: Any
) -> tuple[dict[str, Any], FakeSender]:
    """Run an entry with changes at these times; return what became of it, and what was handed over."""
    sender = FakeSender(yes)

    async def main() -> dict[str, Any]:
        scenario = compiled(metric(**entry)).unwrap()
        run = Run(scenario, sender=sender, now_ns=lambda: NOW_NS)
        async with run:
            now_s = 0.0
            for at_s, change in changes:
                await run.wait(at_s - now_s)
                now_s = at_s
                [one] = run.changeable(None)
                run.go_on_as({one.entry.id: one.changed(change).unwrap()})
                assert run.progress.ledger.due >= run.progress.ledger.delivered
            report = (await run.report()).unwrap()
            assert report.outcome is Outcome.COMPLETED
            return dict(report.document()["scenarios"][0])

    return run_virtually(main()), sender


def _times(sender: FakeSender) -> list[float]:
    return [at_s for at_s, ticks in sender.handed for _ in ticks]


def test_another_rate_holds_from_now_on() -> None:
    """Two seconds at 5/s and two at 20/s are 50 events, each in its column and when it was due."""
    found, sender = _changed_at([(2.0, _rate(20))], rate=5, duration="4s")
    ledger = found["ledger"]
    assert (ledger["planned"], ledger["due"], ledger["delivered"]) == (50, 50, 50)
    assert found["segments"] == [
        {"from_tick": 0, "from_ns": 0, "rate": 5, "paused": False},
        {"from_tick": 11, "from_ns": 2_000_000_001, "rate": 20, "paused": False},
    ]
    times = _times(sender)
    assert len(times) == 50
    assert times[:11] == pytest.approx([tick / 5 for tick in range(11)], abs=0.011)
    assert times[11:] == pytest.approx([2 + (tick - 10) / 20 for tick in range(11, 50)], abs=0.011)


def test_a_pause_makes_what_was_not_due_later() -> None:
    """Nothing is lost: the plan stands still, and its end moves."""
    found, sender = _changed_at([(1.05, _PAUSE), (6.05, _GO_ON)], rate=10, duration="2s")
    assert found["ledger"]["delivered"] == found["ledger"]["planned"] == 20
    times = _times(sender)
    assert times[:11] == pytest.approx([tick / 10 for tick in range(11)], abs=0.011)
    assert times[11:] == pytest.approx([5 + tick / 10 for tick in range(11, 20)], abs=0.011)
    assert [one["paused"] for one in found["segments"]] == [False, True, False]


def test_a_pause_longer_than_the_run_does_not_end_it() -> None:
    """It waits as long as it has to, also without pacing."""
    for pace in ("real", "max"):
        found, _ = _changed_at([(0.0, _PAUSE), (3600.0, _GO_ON)], rate=10, count=200, pace=pace)
        assert found["ledger"]["delivered"] == 200


def test_a_rate_that_is_given_in_a_pause_holds_after_it() -> None:
    found, sender = _changed_at(
        [(0.95, _PAUSE), (2.0, _rate(2)), (10.0, _GO_ON)], rate=10, duration="2s"
    )
    assert found["ledger"]["delivered"] == found["ledger"]["planned"] == 12
    assert _times(sender)[10:] == pytest.approx([10.25, 10.75], abs=0.011)


def test_an_entry_that_has_not_begun_can_be_changed() -> None:
    found, sender = _changed_at([(1.0, _rate(4))], rate=1, count=4, phase_offset="10s")
    assert _times(sender) == pytest.approx([10, 10.25, 10.5, 10.75], abs=0.011)
    assert found["segments"][1]["from_ns"] == 0


def test_a_long_sleep_ends_with_the_change() -> None:
    """An entry that waits an hour for its next event does not wait for it at another rate."""
    _, sender = _changed_at([(1.0, PlanChange(rate=Fraction(1)))], rate=0.0001, count=3)
    assert _times(sender) == pytest.approx([0, 1.9999, 2.9999], abs=0.012)


def test_the_events_are_those_of_the_changed_plan() -> None:
    """Stamps follow the new due times; what was sent before keeps its stamp; a record restores them."""
    scenario = compiled(metric(rate=10, duration="1s", generator={"type": "step", "step_size": 1}))
    [entry] = scenario.unwrap().entries
    after = change_entry(entry, _rate(5), Fraction(1, 2), 5).unwrap()
    assert [after.event(tick).time_ns - NOW_NS for tick in (4, 5, 6)] == [
        400_000_000,
        500_000_000,
        699_999_999,  # the change is a nanosecond after tick 5
    ]
    assert after.events(range(after.planned or 0)) == [
        after.event(tick) for tick in range(after.planned or 0)
    ]
    recorded = [{"segments": [one.document() for one in segments_of(plan_of(after))]}]
    [again] = restored(scenario.unwrap(), recorded).entries
    assert again.events(range(8)) == after.events(range(8))


def test_a_fleet_changes_for_each_of_its_series() -> None:
    [entry] = compiled(metric(rate=10, duration="1s", series=3)).unwrap().entries
    after = change_entry(entry, _rate(20), Fraction(1, 2), 15).unwrap()
    assert (entry.planned, after.planned) == (30, 45)
    assert len(after.events(range(45))) == 45


def test_stages_and_rows_are_paused_and_have_no_rate() -> None:
    stages = [{"rate": 10, "for": "2s", "ramp": True}, {"rate": 10, "for": "2s"}]
    [entry] = compiled(metric(rate=None, stages=stages)).unwrap().entries
    refused = change_entry(entry, _rate(3), Fraction(1), 2)
    assert isinstance(refused, Failure)
    assert str(refused.failure()) == (
        "rate: is not for an entry whose stages or rows say when events are due "
        "(scenario entry 'cpu')"
    )
    paused = change_entry(entry, _PAUSE, Fraction(1), 2).unwrap()
    later = change_entry(paused, _GO_ON, Fraction(4), 2).unwrap()
    assert later.planned == entry.planned
    assert later.schedule.due(29) == entry.schedule.due(29) + 3
    assert segments_of(later.schedule)[-1].document() == {
        "from_tick": 3,
        "from_ns": 4_000_000_001,
        "paused": False,
    }


@pytest.mark.parametrize(
    ("written", "rate", "reason"),
    [
        ({}, 1_000_001, "rate: with bursts and all series together must be at most 1,000,000"),
        (
            {"bursts": {"every": "2s", "for": "1s", "multiplier": 4}},
            300_000,
            "rate: with bursts and all series together must be at most 1,000,000",
        ),
        ({"series": 3}, 400_000, "rate: with bursts and all series together must be at most"),
        (
            {"encoder": {"type": "prometheus_text", "timestamp": True}},
            1001,
            "rate: 1001 samples a second of one series: its stamps are milliseconds",
        ),
    ],
)
def test_what_no_document_may_ask_for_no_change_may(
    written: dict[str, Any], rate: int, reason: str
) -> None:
    [entry] = compiled(metric(**written)).unwrap().entries
    assert str(change_entry(entry, _rate(rate), Fraction(1), 2).failure()).startswith(reason)


def test_the_end_of_a_slower_plan_is_looked_at() -> None:
    [entry] = compiled(metric(count=1000)).unwrap().entries
    refused = change_entry(entry, PlanChange(rate=Fraction(1, 10**9)), Fraction(1), 2)
    assert "the last event would be after 2262" in str(refused.failure())


def test_the_segments_of_an_entry_are_bounded() -> None:
    [entry] = compiled(metric()).unwrap().entries

    def toggled(entry: Entry, place: int) -> Entry:
        change = PlanChange(is_paused=place % 2 == 0)
        return change_entry(entry, change, Fraction(place), 0).unwrap()

    for place in range(MOST_SEGMENTS - 1):
        entry = toggled(entry, place)
    refused = change_entry(entry, _GO_ON, Fraction(2000), 0)
    assert "was changed 999 times: start another run" in str(refused.failure())


def test_the_same_again_is_no_segment() -> None:
    [entry] = compiled(metric(rate=2)).unwrap().entries
    assert change_entry(entry, _rate(2), Fraction(1), 2).unwrap() is entry
    assert change_entry(entry, _GO_ON, Fraction(1), 2).unwrap() is entry


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ({}, "expected rate or paused"),
        ({"rate": 0}, "rate: invalid value 0: expected a number above 0"),
        ({"rate": "1"}, "rate: expected a number, got a string (leave out the quotes)"),
        ({"rate": None}, "rate: expected a number, got null"),
        ({"rate": float("inf")}, "rate: expected a finite number of the range of a double"),
        ({"paused": 1}, "paused: expected a boolean, got a number"),
        ({"speed": 1}, "unknown field 'speed'"),
    ],
)
def test_what_is_no_change(written: dict[str, Any], reason: str) -> None:
    assert str(from_tree(written).bind(read_change).failure()) == reason


def test_a_run_that_is_over_cannot_be_changed() -> None:
    """Neither one that is stopping, nor one all of whose events are due."""

    async def main() -> None:
        run = Run(compiled(metric(rate=1, count=2)).unwrap(), sender=FakeSender(yes))
        async with run:
            await run.wait(0.5)
            assert len(run.changeable(None)) == len(run.changeable("cpu")) == 1
            assert run.changeable("another") == []
            run.stop()
            assert run.changeable(None) == []
            await run.report()
            assert (run.state, run.changeable(None)) == (State.FINISHED, [])

    run_virtually(main())
