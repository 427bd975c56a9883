"""A run of a whole scenario in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from returns.result import Result, Success

from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.changes import changed_segments
from sonda.pipeline.scenarios.entry_run import EntryRun, Noticed
from sonda.pipeline.scenarios.plan import Entry, Scenario
from sonda.pipeline.scenarios.report import EntryProgress, Moment, Progress, Report
from sonda.pipeline.scenarios.sender import OwnPipeline, Sender
from sonda.pipeline.scenarios.states import Outcome, RunLimits, State

_EVERY_S: Final = 1.0
_MOST_MOMENTS: Final = 600
_WORST: Final = (Outcome.INTERRUPTED, Outcome.FAILED, Outcome.STOPPED, Outcome.COMPLETED)


class Run:
    """A scenario under way; use it as an async context manager.

    Iterate over it for its progress, once a second, the latest alone. Leaving the context stops the
    run and waits for what is in flight. Of all runs that share *turn* one entry makes a chunk of
    events between two turns of the event loop, so that a hundred that are late delay nothing else.
    Only with *keeps_history* has its report a history.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        sender: Sender | None = None,
        limits: RunLimits = RunLimits(),  # noqa: B008  # it is immutable
        now_ns: Callable[[], int] = time.time_ns,
        noticed: Noticed = lambda _entry, _text: None,
        turn: asyncio.Lock | None = None,
        keeps_history: bool = True,
    ) -> None:
        self.scenario = scenario
        self._given = sender
        self._limits = limits
        self._now_ns = now_ns
        self._noticed = noticed
        self._turn = turn or asyncio.Lock()
        self._keeps_history = keeps_history
        self._stack = AsyncExitStack()
        self._entries: tuple[EntryRun, ...] = ()
        self._started_ns = self._ended_ns = 0
        self._begin_s = 0.0
        self._history: list[Moment] = []
        self._keep_every = 1

    async def prepare(self, *, reserved: bool = False) -> None:
        """Make the run ready; where ticks have to be *reserved*, only the first are to begin with."""
        sender = self._given
        if sender is None:
            sender = await self._stack.enter_async_context(OwnPipeline())
        self._started_ns = self._now_ns()
        self.scenario = self.scenario.starting(self._started_ns)
        self._entries = tuple(
            EntryRun(entry, sender, self._limits, noticed=self._noticed, turn=self._turn)
            for entry in self.scenario.entries
        )
        self._begin_s = asyncio.get_running_loop().time()
        if reserved:
            self.reserve(self.next_reservation())

    async def __aenter__(self) -> Self:
        """Start the run."""
        if not self._entries:
            await self.prepare()
        self._begin_s = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._run())
        if self._keeps_history:
            self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        try:
            await self._task
        finally:
            if self._keeps_history:
                self._sampling.cancel()
            await self._stack.aclose()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for entry in self._entries:
                group.create_task(entry.run(self._begin_s))
        self._ended_ns = self._now_ns()
        if self._keeps_history:
            self._note()

    def stop(self, entry_id: str | None = None, *, drain_s: float | None = None) -> None:
        """Schedule nothing more, of one entry or of all; what is in flight is waited for.

        *drain_s* takes the place of the limits' own.
        """
        for entry in self._entries:
            if entry_id in (None, entry.entry.id):
                entry.stop(drain_s=drain_s)

    def changeable(self, entry_id: str | None) -> list[EntryRun]:
        """Return those of one entry, or of all, whose plan is not over."""
        return [
            one
            for one in self._entries
            if entry_id in (None, one.entry.id)
            and one.outcome is None
            and one.ledger().not_due != 0
        ]

    def go_on_as(self, entries: Mapping[str, Entry]) -> None:
        """Go on by changed plans, each by its entry's id.

        Where ticks have to be reserved, nothing is handed over before they are again.
        """
        for one in self._entries:
            if one.entry.id in entries:
                one.go_on_as(entries[one.entry.id])
        changed = tuple(entries.get(entry.id, entry) for entry in self.scenario.entries)
        self.scenario = replace(self.scenario, entries=changed)

    def interrupt(self, drain_s: float) -> None:
        """Stop because the process ends."""
        for entry in self._entries:
            entry.stop(Outcome.INTERRUPTED, drain_s=drain_s)

    @property
    def started_ns(self) -> int:
        """When the run was made ready: what `now` means in it."""
        return self._started_ns

    @property
    def is_done(self) -> bool:
        """Whether the run has ended."""
        return self._task.done()

    async def wait(self, span_s: float) -> None:
        """Wait until the run has ended, at most *span_s*."""
        await asyncio.wait({self._task}, timeout=span_s)

    async def wait_for(self, entry_id: str | None) -> None:
        """Wait until one entry has ended, or all have."""
        for entry in self._entries:
            if entry_id in (None, entry.entry.id):
                await entry.finished.wait()

    def active_entries(self) -> list[Entry]:
        """Return the entries that have not ended."""
        return [one.entry for one in self._entries if one.state is not State.FINISHED]

    @property
    def has_problems(self) -> bool:
        """Whether anything was said of an event that was not delivered."""
        return any(entry.has_problems for entry in self._entries)

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the entries that have one."""
        outcomes = {entry.outcome for entry in self._entries}
        return next((one for one in _WORST if one in outcomes), Outcome.COMPLETED)

    def next_reservation(self) -> dict[str, int]:
        """Return for each entry the tick up to which it should be allowed to hand over."""
        return {entry.entry.id: entry.next_reservation() for entry in self._entries}

    def withhold(self, ticks: Mapping[str, int]) -> None:
        """Let no entry hand over more than what is before a tick, until `reserve` allows it."""
        for entry in self._entries:
            if entry.reserved is not None:
                entry.reserved = min(entry.reserved, ticks[entry.entry.id])

    def ticks_on_the_way(self) -> dict[str, list[tuple[int, int]]]:
        """Return for each entry the ticks handed over without a verdict, as first and stop."""
        return {entry.entry.id: entry.ticks_on_the_way() for entry in self._entries}

    def reserve(self, ticks: Mapping[str, int]) -> None:
        """Allow each entry to hand over what is before a tick."""
        for entry in self._entries:
            entry.reserved = ticks[entry.entry.id]

    def cut_off(self) -> None:
        """Stop, and wait for nothing."""
        self.stop()
        for entry in self._entries:
            entry.cut_off()

    @property
    def state(self) -> State:
        """Where the run is: finished once all its entries are."""
        states = {entry.state for entry in self._entries}
        if states == {State.FINISHED}:
            return State.FINISHED
        if State.STOPPING in states and State.RUNNING not in states:
            return State.STOPPING
        return State.PENDING if states == {State.PENDING} else State.RUNNING

    @property
    def progress(self) -> Progress:
        """How far the run has got."""
        now_s = asyncio.get_running_loop().time()
        entries = tuple(_progress(entry, now_s) for entry in self._entries)
        elapsed_s = round(now_s - self._begin_s, 3)
        return Progress(self.scenario.name, self.state, elapsed_s, entries)

    async def __aiter__(self) -> AsyncIterator[Progress]:
        """Yield the progress once a second, and when the run has ended."""
        while not self._task.done():
            yield self.progress
            await asyncio.wait({self._task}, timeout=_EVERY_S)
        yield self.progress

    async def report(self) -> Result[Report, Problem]:
        """Wait until the run has ended; return what it has come to."""
        await asyncio.shield(self._task)
        now_s = asyncio.get_running_loop().time()
        entries = tuple(_progress(entry, now_s) for entry in self._entries)
        return Success(
            Report(
                self.scenario.name,
                self.outcome,
                self._started_ns,
                self._ended_ns,
                entries,
                tuple(self._history),
                self.scenario.warnings,
            )
        )

    async def _sample(self) -> None:
        """Keep moments for a chart: one a second, and every second of them where they get many."""
        while True:
            await asyncio.sleep(_EVERY_S * self._keep_every)
            self._note()
            if len(self._history) > _MOST_MOMENTS:
                self._history = self._history[::2]
                self._keep_every *= 2

    def _note(self) -> None:
        progress = self.progress
        self._history.append(
            Moment(
                progress.elapsed_s,
                sum(entry.target_rate for entry in progress.entries),
                sum(entry.last_1s for entry in progress.entries),
                progress.lag_s,
                progress.ledger,
            )
        )


def _progress(run: EntryRun, now_s: float) -> EntryProgress:
    return EntryProgress(
        id=run.entry.id,
        name=run.entry.name,
        state=run.state,
        outcome=run.outcome if run.state is State.FINISHED else None,
        ledger=run.ledger(),
        target_rate=run.target_rate(),
        last_1s=run.account.meter.rate(now_s, 1),
        last_10s=run.account.meter.rate(now_s, 10),
        lag_s=round(run.lag_s(), 3),
        latency_ms=run.account.latencies.document(),
        problems=run.account.problems.listed(),
        ticks={name: tuple(ranges) for name, ranges in run.account.ticks.items()},
        truncated=any(ranges.truncated for ranges in run.account.ticks.values()),
        segments=changed_segments(run.entry),
    )
