"""The rules of a run, in virtual time and against a sender that does what each test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from typing import Any

import pytest

from sonda.pipeline.problems import OutcomeUnknown, Problem, Refused, Unreachable
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.report import Report
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.sender import GroupVerdict
from sonda.pipeline.scenarios.states import Outcome, RunLimits, State
from tests.support.virtual_time import run_virtually
from tests.unit.pipeline.scenarios.support import NOW_NS, compiled, metric

DOWN = Unreachable("TCP connect to a:1", "Connection refused")
NO = Refused("http://a", "500")
UNKNOWN = OutcomeUnknown("http://a", "within 10s", NOW_NS)

Behaviour = Callable[[Sequence[int]], Awaitable[dict[int, Problem]]]


class FakeGroup:
    """A group that a test's behaviour judges, or that is cut off."""

    def __init__(self, ticks: Sequence[int], behaviour: Behaviour, when_cut: Problem) -> None:
        self._ticks = ticks
        self._behaviour = behaviour
        self._when_cut = when_cut
        self._task: asyncio.Future[dict[int, Problem]] | None = None

    async def send(self) -> GroupVerdict:
        self._task = asyncio.ensure_future(self._behaviour(self._ticks))
        try:
            by_tick = await self._task
        except asyncio.CancelledError:
            by_tick = dict.fromkeys(self._ticks, self._when_cut)
        problems = {
            place: by_tick[tick] for place, tick in enumerate(self._ticks) if tick in by_tick
        }
        return GroupVerdict(problems, 10 * (len(self._ticks) - len(problems)))

    def cut_off(self) -> None:
        if self._task is not None:
            self._task.cancel()


class FakeSender:
    """Remembers what was handed over, and when."""

    def __init__(self, behaviour: Behaviour, when_cut: Problem = UNKNOWN) -> None:
        self._behaviour = behaviour
        self._when_cut = when_cut
        self.handed: list[tuple[float, tuple[int, ...]]] = []

    def group(self, entry: Entry, ticks: Sequence[int]) -> FakeGroup:
        self.handed.append((asyncio.get_running_loop().time() - 1000, tuple(ticks)))
        return FakeGroup(ticks, self._behaviour, self._when_cut)


async def yes(ticks: Sequence[int]) -> dict[int, Problem]:
    await asyncio.sleep(0.001)
    return {}


def _always(problem: Problem) -> Behaviour:
    async def behaviour(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(0.001)
        return dict.fromkeys(ticks, problem)

    return behaviour


async def _never(ticks: Sequence[int]) -> dict[int, Problem]:
    await asyncio.get_running_loop().create_future()
    return {}


def _run(
    sender: FakeSender,
    *,
    during: Callable[[Run], Awaitable[object]] | None = None,
    limits: RunLimits | None = None,
    **entry: Any,
) -> Report:
    """Run one entry; every progress on the way has a ledger that adds up, or it would raise."""

    async def main() -> Report:
        scenario = compiled(metric(**entry)).unwrap()
        run = Run(scenario, sender=sender, limits=limits or RunLimits(), now_ns=lambda: NOW_NS)
        async with run as running:
            if during is not None:
                await during(running)
            async for progress in running:
                assert progress.ledger.due >= progress.ledger.delivered
            return (await running.report()).unwrap()

    return run_virtually(main())


def test_a_run_without_a_history() -> None:
    """Its report has none; all else is there."""

    async def main() -> Report:
        scenario = compiled(metric(rate=1, count=3)).unwrap()
        run = Run(scenario, sender=FakeSender(yes), now_ns=lambda: NOW_NS, keeps_history=False)
        async with run as running:
            return (await running.report()).unwrap()

    report = run_virtually(main())
    assert (report.history, report.ledger.delivered) == ((), 3)


def test_one_chunk_is_made_between_two_turns_of_the_event_loop() -> None:
    """However many runs are late: what else the loop does waits for one chunk, not for all."""
    turns: list[int] = []
    passes: list[None] = []

    class Noting(FakeSender):
        def group(self, entry: Entry, ticks: Sequence[int]) -> FakeGroup:
            turns.append(len(passes))
            return super().group(entry, ticks)

    async def count_passes() -> None:
        while True:
            passes.append(None)
            await asyncio.sleep(0)

    async def main() -> None:
        counting, sender, turn = asyncio.create_task(count_passes()), Noting(yes), asyncio.Lock()
        scenario = compiled(metric(rate=1, count=100, pace="max", start_time="-1h")).unwrap()
        async with AsyncExitStack() as stack:
            runs = [
                Run(scenario, sender=sender, now_ns=lambda: NOW_NS, turn=turn) for _ in range(20)
            ]
            for run in runs:
                await stack.enter_async_context(run)
            for run in runs:
                assert (await run.report()).unwrap().ledger.delivered == 100
        counting.cancel()

    asyncio.run(main())
    assert len(turns) >= 20
    assert len({*turns}) == len(turns)


def test_every_event_is_sent_when_it_is_due() -> None:
    """An open loop: never before an event's time, and at most a moment after it."""
    sender = FakeSender(yes)
    report = _run(sender, rate=2.5, duration="4s")
    assert report.outcome is Outcome.COMPLETED
    assert report.ledger.document() == {
        "planned": 10,
        "not_due": 0,
        "due": 10,
        "delivered": 10,
        "rejected": 0,
        "unknown": 0,
        "skipped": 0,
        "in_flight": 0,
        "backlog": 0,
        "bytes": 100,
        "pushes": 10,
    }
    assert [ticks for _, ticks in sender.handed] == [(tick,) for tick in range(10)]
    for at_s, (tick,) in sender.handed:
        assert tick / 2.5 <= at_s + 1e-9 < tick / 2.5 + 0.011


def test_it_wakes_at_most_every_ten_milliseconds() -> None:
    """What is due within a wake-up goes together."""
    sender = FakeSender(yes)
    report = _run(sender, rate=1000, duration="1s")
    assert report.ledger.delivered == 1000
    assert len(sender.handed) <= 102


def test_a_slow_sink_fills_the_window_and_no_more() -> None:
    """A full window stops the making of events; all are delivered late, in their order."""
    seen: list[int] = []

    async def slow(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(1)
        return {}

    async def during(run: Run) -> None:
        for _ in range(20):
            await asyncio.sleep(0.2)
            seen.append(run.progress.ledger.in_flight)

    sender = FakeSender(slow)
    report = _run(sender, during=during, limits=RunLimits(window=50), rate=100, duration="3s")
    assert report.ledger.delivered == 300
    assert max(seen) == 50
    assert [tick for _, ticks in sender.handed for tick in ticks] == list(range(300))
    assert (report.entries[0].latency_ms["max"] or 0) > 2000


def test_a_full_window_makes_no_small_pushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a backlog a chunk leaves once there is room for all of it, not for the few just judged."""
    monkeypatch.setattr("sonda.pipeline.scenarios.entry_run.thread_time", lambda: 0.0)

    async def slow(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(0.1 if len(ticks) < 1000 else 0.2)
        return {}

    sender = FakeSender(slow)
    report = _run(sender, rate=1000, duration="20s", pace="max")
    assert report.ledger.delivered == 20_000
    sizes = [len(ticks) for _, ticks in sender.handed]
    assert sizes[:6] == [32, 64, 128, 256, 512, 1000]
    assert set(sizes[6:-1]) == {1000}


def test_a_sink_at_half_the_rate_for_a_while() -> None:
    """The lag grows by half a second a second; then all is worked off, and no more is in flight."""
    seen: list[tuple[float, int]] = []
    turn = asyncio.Lock()
    began_s = 0.0

    async def half(ticks: Sequence[int]) -> dict[int, Problem]:
        async with turn:
            if asyncio.get_running_loop().time() < began_s + 20:
                await asyncio.sleep(len(ticks) / 50)
        return {}

    async def during(run: Run) -> None:
        nonlocal began_s
        began_s = asyncio.get_running_loop().time()
        for _ in range(39):
            await asyncio.sleep(0.5)
            progress = run.progress
            seen.append((progress.entries[0].lag_s, progress.ledger.in_flight))

    sender = FakeSender(half)
    limits = RunLimits(window=40)
    report = _run(sender, during=during, limits=limits, rate=100, duration="22s")
    assert report.ledger.delivered == 2200
    lags = [lag_s for lag_s, _ in seen]
    assert all(later >= earlier - 0.5 for earlier, later in pairwise(lags))
    assert lags[-1] == pytest.approx(10, abs=1)
    assert max(in_flight for _, in_flight in seen) <= 40
    assert report.outcome is Outcome.COMPLETED


def test_what_never_left_is_tried_again_until_it_does() -> None:
    """No connection is no verdict: events stay in flight, and waits double up to five seconds."""
    up_at_s = 1040.0

    async def down_at_first(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(0.001)
        is_up = asyncio.get_running_loop().time() >= up_at_s
        return {} if is_up else dict.fromkeys(ticks, DOWN)

    sender = FakeSender(down_at_first)
    report = _run(sender, rate=1, duration="60s")
    assert report.ledger.delivered == 60
    assert report.outcome is Outcome.COMPLETED
    tries = [at_s for at_s, ticks in sender.handed if 0 in ticks]
    waits = [after - before for before, after in pairwise(tries)]
    assert 0.05 <= waits[0] <= 0.11
    assert max(waits) <= 5.01
    assert waits[-1] >= 2.5


def test_a_full_disk_is_a_verdict() -> None:
    """What the operating system refuses to write is rejected, and not tried again."""
    full = Unreachable("write to a", "No space left on device", is_final=True)
    report = _run(FakeSender(_always(full)), rate=1, duration="3s")
    assert (report.ledger.rejected, report.ledger.pushes) == (3, 3)
    assert report.outcome is Outcome.COMPLETED


def test_max_lag_skips_what_comes_too_late() -> None:
    """While nothing leaves, events grow too old and are skipped, in flight or not."""

    async def down_for_ten(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(0.001)
        is_up = asyncio.get_running_loop().time() >= 1010
        return {} if is_up else dict.fromkeys(ticks, DOWN)

    report = _run(FakeSender(down_for_ten), rate=10, duration="20s", max_lag="2s")
    ledger = report.ledger
    assert ledger.delivered + ledger.skipped == 200
    assert 60 <= ledger.skipped <= 100
    [problem] = report.entries[0].problems
    assert problem.text == "later than max_lag (2 s)"
    assert report.entries[0].ticks["skipped"] == (range(ledger.skipped),)


def test_refusals_and_unknowns_are_counted_by_text() -> None:
    """Each verdict has its column, its ticks and its text."""

    async def mixed(ticks: Sequence[int]) -> dict[int, Problem]:
        return {tick: NO if tick % 3 == 1 else UNKNOWN for tick in ticks if tick % 3}

    report = _run(FakeSender(mixed), rate=100, duration="300ms")
    ledger = report.ledger
    assert (ledger.delivered, ledger.rejected, ledger.unknown) == (10, 10, 10)
    texts = {problem.text: problem.count for problem in report.entries[0].problems}
    assert texts == {
        "sink error: http://a answered 500": 10,
        "sink error: no acknowledgement from http://a within 10s": 10,
    }
    assert report.entries[0].ticks["rejected"] == tuple(range(n, n + 1) for n in range(1, 30, 3))


def test_fail_ends_at_the_first_rejected_event() -> None:
    """`on_sink_error: fail`: nothing more is scheduled, what is due is skipped."""

    async def third_is_bad(ticks: Sequence[int]) -> dict[int, Problem]:
        return {tick: NO for tick in ticks if tick == 3}

    report = _run(FakeSender(third_is_bad), rate=1, duration="10s", on_sink_error="fail")
    assert report.outcome is Outcome.FAILED
    assert report.ledger.delivered == 3
    assert report.ledger.rejected == 1
    assert report.ledger.not_due == 6


def test_fail_does_not_try_again() -> None:
    """With `fail` a push that cannot leave is rejected at once."""
    report = _run(FakeSender(_always(DOWN)), rate=1, duration="10s", on_sink_error="fail")
    assert report.outcome is Outcome.FAILED
    assert (report.ledger.rejected, report.ledger.not_due) == (1, 9)


@pytest.mark.parametrize(("entry"), [{"duration": "5s"}, {"count": 50, "pace": "max"}])
def test_nothing_that_ever_leaves_ends_as_failed(entry: dict[str, Any]) -> None:
    """After the last due event a drain's length without anything leaving is the end."""
    report = _run(FakeSender(_always(DOWN)), limits=RunLimits(drain_s=10), rate=10, **entry)
    assert report.outcome is Outcome.FAILED
    assert report.ledger.rejected == report.ledger.planned == 50
    assert (report.ended_ns, report.ledger.backlog) == (NOW_NS, 0)


def test_the_backlog_is_worked_off_without_limit() -> None:
    """A slow destination gets all of it, however long that takes after the last due event."""

    async def slow(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(9)
        return {}

    limits = RunLimits(window=1, drain_s=10)
    report = _run(FakeSender(slow), limits=limits, rate=10, duration="1s")
    assert report.outcome is Outcome.COMPLETED
    assert report.ledger.delivered == 10


def test_a_stop_waits_for_what_is_in_flight() -> None:
    """What is in flight is delivered, what is due is skipped, the rest was never due."""

    async def slow(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(3)
        return {}

    async def during(run: Run) -> None:
        await asyncio.sleep(1.005)
        run.stop()
        assert run.state is State.STOPPING

    limits = RunLimits(window=4, drain_s=10)
    report = _run(FakeSender(slow), during=during, limits=limits, rate=10, duration="10s")
    ledger = report.ledger
    assert report.outcome is Outcome.STOPPED
    assert (ledger.delivered, ledger.skipped, ledger.not_due) == (4, 7, 89)
    assert report.entries[0].ticks["skipped"] == (range(4, 11),)


@pytest.mark.parametrize(("when_cut", "column"), [(UNKNOWN, "unknown"), (DOWN, "rejected")])
def test_the_drain_ends(when_cut: Problem, column: str) -> None:
    """What has no verdict by then is unknown where a byte has left, else rejected."""

    async def during(run: Run) -> None:
        await asyncio.sleep(0.55)
        run.stop()

    sender = FakeSender(_never, when_cut)
    report = _run(sender, during=during, limits=RunLimits(drain_s=2), rate=10, duration="10s")
    ledger = report.ledger.document()
    assert ledger[column] == ledger["due"] == 6
    assert ledger["in_flight"] == 0


def test_a_second_stop_waits_for_nothing() -> None:
    """`cut_off` ends a drain at once."""

    async def during(run: Run) -> None:
        await asyncio.sleep(0.05)
        run.stop()
        await asyncio.sleep(0.05)
        began_s = asyncio.get_running_loop().time()
        run.cut_off()
        await run.report()
        assert asyncio.get_running_loop().time() - began_s < 0.1

    report = _run(FakeSender(_never), during=during, rate=1, duration="10s")
    assert report.ledger.unknown == 1


def test_a_stop_before_the_begin() -> None:
    """An entry whose phase has not come has nothing due."""

    async def during(run: Run) -> None:
        await asyncio.sleep(1)
        assert run.state is State.PENDING
        run.stop()

    report = _run(FakeSender(yes), during=during, rate=1, duration="10s", phase_offset="1h")
    assert report.outcome is Outcome.STOPPED
    assert (report.ledger.due, report.ledger.not_due) == (0, 10)


def test_pace_max_sends_without_waiting() -> None:
    """A backfill has the scheduled stamps and no lag; an event is due when it is handed over."""
    sender = FakeSender(yes)
    report = _run(sender, rate=1, count=5000, pace="max", start_time="-2h")
    assert report.ledger.delivered == 5000
    assert sender.handed[-1][0] < 1
    assert report.entries[0].latency_ms["max"] == pytest.approx(1)
    assert report.entries[0].latency_ms["p50"] == pytest.approx(1, rel=0.02)


def test_a_bug_in_the_sender_ends_the_run() -> None:
    """A wrong assumption of ours raises; it never leaves a run that waits for ever."""

    async def broken(ticks: Sequence[int]) -> dict[int, Problem]:
        raise ZeroDivisionError

    with pytest.raises(BaseExceptionGroup):
        _run(FakeSender(broken), rate=1, duration="3s")


def test_entries_run_side_by_side() -> None:
    """A report has the sum, and each entry's own ledger."""

    async def main() -> Report:
        entries = [metric(rate=1, count=3), metric(name="b", rate=10, count=7, phase_offset="1s")]
        scenario = compiled({"scenario_name": "both", "scenarios": entries}).unwrap()
        async with Run(scenario, sender=FakeSender(yes), now_ns=lambda: NOW_NS) as run:
            return (await run.report()).unwrap()

    report = run_virtually(main())
    assert report.name == "both"
    assert [entry.ledger.delivered for entry in report.entries] == [3, 7]
    assert report.ledger.delivered == 10
    assert report.document()["ledger"]["delivered"] == 10
    assert "both: completed" in str(report)
    assert "<svg" in report._repr_html_()
