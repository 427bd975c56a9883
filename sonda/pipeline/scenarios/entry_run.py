"""One entry of a run: an open loop that hands groups over as they are due, and counts every verdict.

There is no timer and no task per event. What is due and not handed over is two integers, so a slow
destination costs no memory.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from random import Random
from time import perf_counter
from typing import Final

from sonda.pipeline.problems import OutcomeUnknown, Problem, Unreachable
from sonda.pipeline.scenarios.ledger import Latencies, Ledger, Problems, TickRanges, runs
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rate_meter import RateMeter
from sonda.pipeline.scenarios.sender import Group, GroupVerdict, Sender

WINDOW: Final = 2000
DRAIN_S: Final = 10.0
_WAKE_S: Final = 0.01
_CHUNK_S: Final = 0.005  # of work between two turns of the event loop
_LARGEST_CHUNK: Final = 500
_FIRST_CHUNK: Final = 32
_FIRST_BACKOFF_S: Final = 0.1
_LAST_BACKOFF_S: Final = 5.0
_LOOK_AGAIN_S: Final = 1.0  # for what has become too late
_SAMPLES: Final = 64  # latencies that stand for those of a whole group


class State(StrEnum):
    """Where an entry or a run is."""

    PENDING = "pending"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"


class Outcome(StrEnum):
    """How a finished run has ended; what its verdicts were is another question."""

    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be in flight, and how long a stop waits for it."""

    window: int = WINDOW
    drain_s: float = DRAIN_S


Noticed = Callable[[str, str], object]
"""Hears of the first problem of each text: the entry's id, the text."""


class EntryRun:
    """One entry under way; every change of a column is here."""

    def __init__(
        self,
        entry: Entry,
        sender: Sender,
        limits: Limits = Limits(),  # it is immutable
        *,
        random: Random | None = None,
        noticed: Noticed = lambda _entry, _text: None,
    ) -> None:
        self.entry = entry
        self.state = State.PENDING
        self.outcome: Outcome | None = None
        self.problems = Problems()
        self.ticks: Mapping[str, TickRanges] = {
            name: TickRanges() for name in ("rejected", "unknown", "skipped")
        }
        self.latencies = Latencies()
        self.meter = RateMeter()
        self._sender = sender
        self._limits = limits
        self._random = random or Random()  # noqa: S311  # only back-off jitter
        self._noticed = noticed
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()
        self._attention = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._begin_s = 0.0
        self._next = 0
        self._counts = dict.fromkeys(("delivered", "rejected", "unknown", "skipped"), 0)
        self._in_flight = self._bytes = self._pushes = 0
        self._due_at_stop: int | None = None
        self._chunk = _FIRST_CHUNK
        self._sending: dict[Group, Sequence[int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent: list[int] = []
        self._unsent_text = ""
        self._unsent_since_s: float | None = None
        self._backoff_s = _FIRST_BACKOFF_S
        self._retry_at_s = 0.0
        self._bug: BaseException | None = None
        self._ended_s: float | None = None

    # Time

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
            return self._next
        return self.entry.schedule.ticks_before(self._elapsed() + Fraction(1, 10**9))

    # What is seen from outside

    def ledger(self) -> Ledger:
        """Return the columns of this moment."""
        due = max(self._due(), self._next)
        return Ledger(
            planned=self.entry.planned,
            due=due,
            in_flight=self._in_flight,
            backlog=due - self._next,
            bytes=self._bytes,
            pushes=self._pushes,
            **self._counts,
        )

    def lag_s(self) -> float:
        """Return how late the oldest event without a verdict is."""
        if not self._is_paced or self.state is State.PENDING:
            return 0.0
        oldest = [self._next] if self._next < self._due() else []
        oldest += [ticks[0] for ticks in self._sending.values()] + self._unsent[:1]
        if not oldest:
            return 0.0
        return max(0.0, float(self._elapsed() - self.entry.schedule.due(min(oldest))))

    def target_rate(self) -> float:
        """Return the rate that the plan has now; 0 once nothing is scheduled any more."""
        over = self._due_at_stop is not None or self._next == self.entry.planned
        if over or self.state in (State.PENDING, State.FINISHED):
            return 0.0
        return float(self.entry.schedule.target_rate(self._elapsed()))

    # The loop

    async def run(self, begin_s: float) -> None:
        """Run the entry from loop time *begin_s* on, plus its phase, until all has its verdict."""
        self._begin_s = begin_s + float(self.entry.phase)
        await self._sleep(self._begin_s - self._loop.time(), self._stopped)
        self.state = State.STOPPING if self._stopped.is_set() else State.RUNNING
        while self._has_work:
            self._skip_late()
            await self._hand_over()
            if self._is_hopeless():
                self._end(Outcome.FAILED)
                self.cut_off()
            else:
                await self._pause()
        await self._drain()
        if self._bug is not None:
            raise self._bug
        self.outcome = self.outcome or Outcome.COMPLETED
        self._ended_s = self._loop.time()
        self.state = State.FINISHED

    @property
    def _has_work(self) -> bool:
        is_over = self._due_at_stop is not None or self._bug is not None
        return not is_over and bool(self._in_flight or self._next != self.entry.planned)

    def stop(self, outcome: Outcome = Outcome.STOPPED) -> None:
        """Schedule nothing more; what is in flight is waited for."""
        if self.state is not State.FINISHED:
            self._end(outcome)

    def cut_off(self) -> None:
        """Wait no longer for what is in flight."""
        self._limits = Limits(self._limits.window, 0.0)
        for group in list(self._sending):
            group.cut_off()

    def _end(self, outcome: Outcome) -> None:
        if self._due_at_stop is None:
            self._due_at_stop = max(self._due(), self._next)
            self.outcome = outcome
            if self.state is State.RUNNING:
                self.state = State.STOPPING
            self._skip(self._due_at_stop, "left when the run ended")
            self._close("rejected", self._unsent_text, self._unsent)
            self._unsent = []
        self._wake_up()

    def _wake_up(self) -> None:
        for event in (self._stopped, self._wake, self._attention):
            event.set()

    async def _hand_over(self) -> None:
        """Hand over what is due, in chunks, while the window has room."""
        while not self._stopped.is_set() and (ticks := self._take()):
            began_s = perf_counter()
            group = self._sender.group(self.entry, ticks)
            self._adapt(perf_counter() - began_s, len(ticks))
            task = asyncio.create_task(self._deliver(group, ticks))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
            await asyncio.sleep(0)

    def _take(self) -> Sequence[int]:
        """Return the next ticks to hand over: those that never left before those that are new.

        While their back-off lasts nothing is handed over, so that a series stays in its order.
        """
        if self._unsent:
            if self._loop.time() < self._retry_at_s:
                return ()
            ticks, self._unsent = self._unsent[: self._chunk], self._unsent[self._chunk :]
            is_range = ticks[-1] - ticks[0] == len(ticks) - 1
            return range(ticks[0], ticks[-1] + 1) if is_range else ticks
        end = self._due() if self._is_paced else self.entry.planned or 0
        room = self._limits.window - self._in_flight
        size = min(room, end - self._next, self._chunk)
        if size <= 0:
            return ()
        self._next += size
        self._in_flight += size
        return range(self._next - size, self._next)

    def _adapt(self, took_s: float, size: int) -> None:
        if took_s > _CHUNK_S:
            self._chunk = max(1, size // 2)
        elif took_s < _CHUNK_S / 3 and size == self._chunk:
            self._chunk = min(2 * size, _LARGEST_CHUNK, self._limits.window)

    async def _pause(self) -> None:
        """Wait until something can be handed over: at a time, or after a verdict."""
        has_room = self._in_flight < self._limits.window and self._next != self.entry.planned
        if self._unsent:
            span_s = max(_WAKE_S, self._retry_at_s - self._loop.time())
            await self._sleep(min(span_s, _LOOK_AGAIN_S), self._attention)
        elif self._is_paced and has_room:
            due_s = self._begin_s + float(self.entry.schedule.due(self._next))
            await self._sleep(max(_WAKE_S, due_s - self._loop.time()), self._attention)
        elif self._in_flight:
            await self._sleep(_LOOK_AGAIN_S, self._wake)

    def _is_hopeless(self) -> bool:
        """Return whether the plan is over and nothing has left for a drain's length."""
        if self._unsent_since_s is None:
            return False
        since_s, planned = self._unsent_since_s, self.entry.planned
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
                await asyncio.gather(*self._tasks)
                return
            await asyncio.wait(self._tasks, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def _sleep(self, span_s: float, event: asyncio.Event) -> None:
        """Sleep, or be woken: by a stop (all three events), by a verdict, by what never left."""
        if event is not self._stopped:
            event.clear()
        if self._stopped.is_set() or span_s <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(span_s):
                await event.wait()
        except TimeoutError:
            pass

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._bug = bug
            self._wake_up()

    # Verdicts

    async def _deliver(self, group: Group, ticks: Sequence[int]) -> None:
        """Send a group once; what never left of it is tried again later."""
        handed_s = self._loop.time()
        self._sending[group] = ticks
        verdict = await group.send()
        del self._sending[group]
        self._pushes += verdict.pushes
        unsent = self._settle(ticks, verdict)
        if unsent:
            self._postpone(unsent, handed_s)
        self._wake.set()

    def _postpone(self, ticks: Sequence[int], handed_s: float) -> None:
        """Keep ticks of events that never left; wait longer if the last wait did not help."""
        self._unsent = sorted([*self._unsent, *ticks])
        self._attention.set()
        if handed_s >= self._retry_at_s:
            wait_s = self._backoff_s * self._random.uniform(0.5, 1)
            self._retry_at_s = self._loop.time() + wait_s
            self._backoff_s = min(2 * self._backoff_s, _LAST_BACKOFF_S)

    def _settle(self, ticks: Sequence[int], verdict: GroupVerdict) -> Sequence[int]:
        """Count the verdicts of a group; return the ticks of events that never left."""
        self._bytes += verdict.delivered_bytes
        if not verdict.problems:
            self._deliver_all(ticks)
            return ()
        sunk: dict[tuple[str, str], list[int]] = {}
        unsent: list[int] = []
        delivered: list[int] = []
        for place, tick in enumerate(ticks):
            problem = verdict.problems.get(place)
            if problem is None:
                delivered.append(tick)
            elif self._may_try_again(problem):
                unsent.append(tick)
            else:
                column = "unknown" if isinstance(problem, OutcomeUnknown) else "rejected"
                sunk.setdefault((column, text_of(problem)), []).append(tick)
        self._deliver_all(delivered)
        for (column, text), of in sunk.items():
            self._close(column, text, of)
        if len(unsent) < len(ticks):
            self._has_left()
        elif self._unsent_since_s is None:
            self._unsent_since_s = self._loop.time()
        if unsent:
            self._unsent_text = text_of(next(filter(_never_left, verdict.problems.values())))
            self._noticed(self.entry.id, self._unsent_text)
        if sunk and self.entry.on_sink_error == "fail":
            self._end(Outcome.FAILED)
        return unsent

    def _may_try_again(self, problem: Problem) -> bool:
        """Return whether an event never left: no name, no connection, no TLS."""
        can_leave = _never_left(problem) and self.entry.route.sink.name != "udp"
        return can_leave and self.entry.on_sink_error != "fail" and not self._stopped.is_set()

    def _has_left(self) -> None:
        """Note that the destination can be reached."""
        self._unsent_since_s = None
        self._backoff_s = _FIRST_BACKOFF_S

    def _deliver_all(self, ticks: Sequence[int]) -> None:
        if not ticks:
            return
        now_s = self._loop.time()
        count = len(ticks)
        self._counts["delivered"] += count
        self._in_flight -= count
        self._has_left()
        self.meter.add(now_s, count)
        step = -(-count // _SAMPLES)
        for place in range(0, count, step):
            shared = min(step, count - place)
            late_s = 0.0
            if self._is_paced:
                due_s = self._begin_s + float(self.entry.schedule.due(ticks[place]))
                late_s = max(0.0, now_s - due_s)
            self.latencies.add(late_s, shared)
        self._wake.set()

    def _close(self, column: str, text: str, ticks: Sequence[int]) -> None:
        """Give events in flight a verdict other than delivered."""
        if not ticks:
            return
        self._in_flight -= len(ticks)
        self._count(column, text, ticks)
        self._wake.set()

    def _count(self, column: str, text: str, ticks: Sequence[int]) -> None:
        self._counts[column] += len(ticks)
        for first, stop in runs(ticks):
            self.ticks[column].add(first, stop)
        if self.problems.add(text, ticks[0], ticks[-1], len(ticks)):
            self._noticed(self.entry.id, text)

    # Skipping

    def _late_before(self) -> int:
        """Return the first tick that is not too late."""
        if self.entry.max_lag is None:
            return 0
        return self.entry.schedule.ticks_before(self._elapsed() - self.entry.max_lag)

    def _skip_late(self) -> None:
        """Skip what is too late: what has not been handed over, and what never left."""
        late_before = self._late_before()
        late = self._unsent[: bisect_left(self._unsent, late_before)]
        self._unsent = self._unsent[len(late) :]
        self._close("skipped", self._late_text, late)
        self._skip(min(late_before, self._due()), self._late_text)

    @property
    def _late_text(self) -> str:
        return f"later than max_lag ({float(self.entry.max_lag or 0):g} s)"

    def _skip(self, stop: int, text: str) -> None:
        """Skip what is due, not handed over, and before tick *stop*."""
        if stop > self._next:
            ticks = range(self._next, stop)
            self._next = stop
            self._count("skipped", text, ticks)


def _never_left(problem: Problem) -> bool:
    return isinstance(problem, Unreachable)


def text_of(problem: Problem) -> str:
    """Return a problem's text without what is different for each event."""
    if isinstance(problem, OutcomeUnknown):
        return f"sink error: no acknowledgement from {problem.target} {problem.reason}"
    return str(problem)
