"""One entry of a run: an open loop that hands groups over as they are due, and counts every verdict.

There is no timer and no task per event. What is due and not handed over is two integers, so a slow
destination costs no memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from fractions import Fraction
from random import Random
from time import thread_time
from typing import Final

from returns.result import Result

from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.account import EntryCounts, never_left, text_of
from sonda.pipeline.scenarios.changes import PlanChange, change_entry, is_paused
from sonda.pipeline.scenarios.ledger import Ledger, runs
from sonda.pipeline.scenarios.pacing import ChunkSize, sleep_or_wake
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.sender import GroupVerdict, PendingGroup, Sender
from sonda.pipeline.scenarios.states import Outcome, RunLimits, State
from sonda.pipeline.scenarios.unsent import Unsent
from sonda.pipeline.scenarios.verdicts import sampled, sort_ticks

_WAKE_S: Final = 0.01
_RESERVED_SOON_S: Final = 0.05  # a reservation comes from outside
_RESERVED_AHEAD_S: Final = 2  # of what is due: it is made once a second
_LOOK_AGAIN_S: Final = 1.0  # for what has become too late
_DRAIN_LOOK_S: Final = 0.25

Noticed = Callable[[str, str], object]
"""Hears of the first problem of each text: the entry's id, the text."""


class EntryRun:
    """One entry under way; every change of a column is here."""

    def __init__(
        self,
        entry: Entry,
        sender: Sender,
        limits: RunLimits = RunLimits(),  # noqa: B008  # it is immutable
        *,
        random: Random | None = None,
        noticed: Noticed = lambda _entry, _text: None,
        turn: asyncio.Lock | None = None,
    ) -> None:
        self.entry = entry
        self.state = State.PENDING
        self.outcome: Outcome | None = None
        self.account = EntryCounts(entry.planned, lambda text: noticed(entry.id, text))
        self._sender = sender
        self._limits = limits
        self._noticed = noticed
        self._turn = turn or asyncio.Lock()  # one chunk at a time of all that share it
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._attention = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._begin_s = 0.0
        self._due_at_stop: int | None = None
        self._chunk = ChunkSize(limits.window)
        self._sending: dict[PendingGroup, Sequence[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent = Unsent(random or Random())  # noqa: S311  # only back-off jitter
        self._bug: BaseException | None = None
        self.reserved: int | None = None
        """The tick before which may be handed over, where that has to be recorded first."""
        self.finished = asyncio.Event()
        self._ended_s: float | None = None

    @property
    def _is_paced(self) -> bool:
        return self.entry.pace == "real"

    def _elapsed(self) -> Fraction:
        """Return the time since the entry's start, in seconds."""
        now_s = self._loop.time() if self._ended_s is None else self._ended_s
        return Fraction(max(0, int((now_s - self._begin_s) * 1e9)), 10**9)

    def _due(self) -> int:
        if self._due_at_stop is not None:
            return self._due_at_stop
        if not self._is_paced or self.state is State.PENDING:
            return self.account.handed_over
        return self.entry.schedule.ticks_before(self._elapsed() + Fraction(1, 10**9))

    # Changes

    def changed(self, change: PlanChange) -> Result[Entry, Problem]:
        """Return the entry as it could go on from now; fails as `change_entry` does."""
        elapsed = None if self.state is State.PENDING else self._elapsed()
        return change_entry(self.entry, change, elapsed, self.account.handed_over)

    def go_on_as(self, entry: Entry) -> None:
        """Go on by a changed plan; what was reserved is no longer, until that is recorded again."""
        self.entry = entry
        self.account.planned = entry.planned
        if self.reserved is not None:
            self.reserved = self.account.handed_over
        self._attention.set()
        self._wake.set()

    # What is seen from outside

    def ledger(self) -> Ledger:
        """Return the columns of this moment."""
        return self.account.ledger(max(self._due(), self.account.handed_over))

    def lag_s(self) -> float:
        """Return how late the oldest event without a verdict is."""
        if not self._is_paced or self.state is State.PENDING:
            return 0.0
        oldest = [self.account.handed_over] if self.account.handed_over < self._due() else []
        oldest += [ticks[0] for ticks in self._sending.values()] + self._unsent.ticks[:1]
        if not oldest:
            return 0.0
        return max(0.0, float(self._elapsed() - self.entry.schedule.due(min(oldest))))

    def target_rate(self) -> float:
        """Return the rate that the plan has now; 0 once nothing is scheduled any more."""
        over = self._due_at_stop is not None or self.account.is_handed_over
        if over or self.state in (State.PENDING, State.FINISHED):
            return 0.0
        return float(self.entry.schedule.target_rate(self._elapsed()))

    # The loop

    async def run(self, begin_s: float) -> None:
        """Run the entry from loop time *begin_s* on, plus its phase, until all has its verdict."""
        self._begin_s = begin_s + float(self.entry.phase)
        await sleep_or_wake(self._begin_s - self._loop.time(), self._stopped, self._stopped)
        self.state = State.STOPPING if self._stopped.is_set() else State.RUNNING
        while self._has_work:
            self._skip_late()
            if self._is_hopeless():  # before another try: what has just been begun is not cut off
                self._end(Outcome.FAILED)
                self.cut_off()
            else:
                await self._hand_over()
                await self._pause()
        await self._drain()
        if self._bug is not None:
            raise self._bug
        self.outcome = self.outcome or Outcome.COMPLETED
        self._ended_s = self._loop.time()
        self.state = State.FINISHED
        self.finished.set()

    @property
    def _has_work(self) -> bool:
        is_over = self._due_at_stop is not None or self._bug is not None
        return not is_over and bool(self.account.in_flight or not self.account.is_handed_over)

    def stop(self, outcome: Outcome = Outcome.STOPPED, *, drain_s: float | None = None) -> None:
        """Schedule nothing more; what is in flight is waited for, at most *drain_s*."""
        if self.state is not State.FINISHED:
            if drain_s is not None:
                self._limits = RunLimits(self._limits.window, drain_s)
            self._end(outcome)

    @property
    def has_problems(self) -> bool:
        """Whether anything was said of an event that was not delivered."""
        return bool(self._unsent.text or self.account.problems)

    def next_reservation(self) -> int:
        """Return the tick up to which the next two seconds may hand over, at the rate of late."""
        now_s, schedule = self._loop.time(), self.entry.schedule
        recent = 3 * self.account.meter.rate(now_s, 1) + 3 * float(schedule.peak_rate)
        most = self.account.handed_over + self._limits.window + int(recent)
        if self._is_paced:
            soon = self._elapsed() if self._begin_s else Fraction(0)
            most = min(most, schedule.ticks_before(soon + _RESERVED_AHEAD_S))
        most = max(most, self.account.handed_over)
        return most if self.entry.planned is None else min(most, self.entry.planned)

    def ticks_on_the_way(self) -> list[tuple[int, int]]:
        """Return the ticks that were handed over and have no verdict, each stretch as first and stop."""
        groups = [*self._sending.values(), self._unsent.ticks]
        return [stretch for ticks in groups for stretch in runs(ticks)]

    def cut_off(self) -> None:
        """Wait no longer for what is in flight."""
        self._limits = RunLimits(self._limits.window, 0.0)
        for group in list(self._sending):
            group.cut_off()

    def _end(self, outcome: Outcome) -> None:
        if self._due_at_stop is None:
            self._due_at_stop = max(self._due(), self.account.handed_over)
            self.outcome = outcome
            if self.state is State.RUNNING:
                self.state = State.STOPPING
            self.account.skip(self._due_at_stop, "not handed over before the run ended")
            unsent = self._unsent.take(len(self._unsent.ticks))
            self.account.close("rejected", self._unsent.text, unsent)
        self._wake_up()

    def _wake_up(self) -> None:
        for event in (self._stopped, self._wake, self._attention):
            event.set()

    async def _hand_over(self) -> None:
        """Hand over what is due, in chunks, while the window has room."""
        while not self._stopped.is_set():
            async with self._turn:
                ticks, began_s = self._take(), thread_time()
                if not ticks:
                    return
                group = self._sender.group(self.entry, ticks)
                self._chunk.adapt(thread_time() - began_s, len(ticks))
                self._sending[group] = ticks
                task = asyncio.create_task(self._deliver(group, ticks))
                self._tasks.add(task)
                task.add_done_callback(self._finished)
                await asyncio.sleep(0)

    def _take(self) -> Sequence[int]:
        """Return the next ticks to hand over: those that never left before those that are new.

        While their back-off lasts nothing is handed over, so that a series stays in its order.
        """
        if self._unsent.ticks:
            is_time = self._loop.time() >= self._unsent.retry_at_s
            return self._unsent.take(self._chunk.events) if is_time else ()
        size = self._next_size()
        return self.account.hand_over(size) if size > 0 and self._has_room(size) else ()

    def _next_size(self) -> int:
        """Return how many events the next chunk has, once the window has room for them all.

        A smaller one would leave as soon as a few have their verdicts, and so would all after it.
        """
        end = self._due() if self._is_paced or is_paused(self.entry) else self.entry.planned or 0
        end = end if self.reserved is None else min(end, self.reserved)
        return min(end - self.account.handed_over, self._chunk.events)

    def _has_room(self, size: int) -> bool:
        return self.account.in_flight + size <= self._limits.window

    @property
    def _awaits_reservation(self) -> bool:
        """Whether the next event may not be handed over before that has been recorded."""
        handed_over, reserved = self.account.handed_over, self.reserved
        return reserved is not None and handed_over >= reserved and not self.account.is_handed_over

    async def _pause(self) -> None:
        """Wait until something can be handed over: at a time, or after a verdict."""
        has_room = self._has_room(self._next_size()) and not self.account.is_handed_over
        if self._unsent.ticks:
            span_s = max(_WAKE_S, self._unsent.retry_at_s - self._loop.time())
            await sleep_or_wake(min(span_s, _LOOK_AGAIN_S), self._attention, self._stopped)
        elif is_paused(self.entry) and self._due() == self.account.handed_over:
            await sleep_or_wake(_LOOK_AGAIN_S, self._attention, self._stopped)
        elif self._is_paced and has_room:
            due_s = self._begin_s + float(self.entry.schedule.due(self.account.handed_over))
            least_s = _RESERVED_SOON_S if self._awaits_reservation else _WAKE_S
            await sleep_or_wake(
                max(least_s, due_s - self._loop.time()), self._attention, self._stopped
            )
        elif self._awaits_reservation:
            await sleep_or_wake(_RESERVED_SOON_S, self._attention, self._stopped)
        elif self.account.in_flight:
            await sleep_or_wake(_LOOK_AGAIN_S, self._wake, self._stopped)

    def _is_hopeless(self) -> bool:
        """Return whether the plan is over and nothing has left for a drain's length."""
        since_s, planned = self._unsent.since_s, self.entry.planned
        if since_s is None:
            return False
        if self._is_paced:
            if planned is None or self._due() < planned:
                return False
            last_s = float(self.entry.schedule.due(planned - 1)) if planned else 0.0
            since_s = max(since_s, self._begin_s + last_s)
        return self._loop.time() - since_s >= self._limits.drain_s

    async def _drain(self) -> None:
        """Wait for what is in flight, at most a drain's length, then cut it off."""
        until_s = self._loop.time() + self._limits.drain_s
        while self._tasks:
            left_s = min(until_s, self._loop.time() + self._limits.drain_s) - self._loop.time()
            if left_s <= 0:
                self.cut_off()
                left_s = _WAKE_S
            look_s = min(left_s, _DRAIN_LOOK_S)  # another stop may have made the drain shorter
            await asyncio.wait(self._tasks, timeout=look_s, return_when=asyncio.FIRST_COMPLETED)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug
            self._wake_up()

    # Verdicts

    async def _deliver(self, group: PendingGroup, ticks: Sequence[int]) -> None:
        """Send a group once; what never left of it is tried again later."""
        handed_s = self._loop.time()
        verdict = await group.send()
        del self._sending[group]
        unsent = self._count(ticks, verdict, handed_s)
        if unsent:
            text = text_of(next(filter(never_left, verdict.problems.values())))
            self._unsent.postpone(unsent, text, handed_s, self._loop.time())
            self._noticed(self.entry.id, text)
            self._attention.set()
        self._wake.set()

    def _count(self, ticks: Sequence[int], verdict: GroupVerdict, handed_s: float) -> Sequence[int]:
        """Count the verdicts of a group; return the ticks of events that never left."""
        self.account.pushed(verdict.pushes, verdict.delivered_bytes)
        found = sort_ticks(ticks, verdict, self._may_try_again)
        if count := len(found.delivered):
            latencies = self._latencies(found.delivered, handed_s)
            self.account.deliver(count, self._loop.time(), latencies)
        for (column, text), of in found.others.items():
            self.account.close(column, text, of)
        self._unsent.note(len(found.unsent) < len(ticks), self._loop.time())
        if found.others and self.entry.on_sink_error == "fail":
            self._end(Outcome.FAILED)
        return found.unsent

    def _may_try_again(self, problem: Problem) -> bool:
        """Return whether an event never left: no name, no connection, no TLS."""
        may = self.entry.on_sink_error != "fail" and not self._stopped.is_set()
        return may and never_left(problem)

    def _latencies(self, ticks: Sequence[int], handed_s: float) -> list[tuple[float, int]]:
        """Return latencies and how many events have about each; a few stand for a large group."""
        now_s, due = self._loop.time(), self.entry.schedule.due
        if not self._is_paced:  # then an event is due when it is handed over
            return [(now_s - handed_s, len(ticks))]
        late_s = now_s - self._begin_s
        return [(max(0.0, late_s - float(due(tick))), count) for tick, count in sampled(ticks)]

    def _skip_late(self) -> None:
        """Skip what is too late: what has not been handed over, and what never left."""
        if (max_lag := self.entry.max_lag) is None:
            return
        late_before = self.entry.schedule.ticks_before(self._elapsed() - max_lag)
        text = f"later than max_lag ({float(max_lag):g} s)"
        self.account.close("skipped", text, self._unsent.take_before(late_before))
        self.account.skip(min(late_before, self._due()), text)
