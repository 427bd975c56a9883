"""Every run of a server, by id: names, limits and records in one place."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Final
from uuid import uuid4

from returns.result import Failure

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import Network
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.scenarios.changes import PlanChange
from sonda.pipeline.scenarios.plan import Entry, Scenario
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.sender import PipelineSender
from sonda.pipeline.scenarios.states import State
from sonda.server.scenarios.compiling import Compiler, Directory
from sonda.server.scenarios.log_lines import RunLog
from sonda.server.scenarios.records import Record, Records, interrupted
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.room import Room
from sonda.server.scenarios.scrape import MOST_SERIES, Scrape
from sonda.server.scenarios.stored_run import StoredRun
from sonda.server.scenarios.totals import count_events, totals

_LOG: Final = logging.getLogger("sonda")
_EVERY_S: Final = 1.0
_KEPT_S: Final = 3600.0
_WATCHED_S: Final = 5.0  # whoever watches looks once a second
_Found = tuple[StoredRun, str | None]


class Registry:
    """Starts, lists and stops runs; all through *pipeline*, whose *network* judges destinations.

    Of finished runs at most *keep* are kept. A viewer is the name of a key that sees its own runs
    alone; `None` sees all.
    """

    def __init__(
        self, pipeline: Pipeline, network: Network, records: Records, *, room: Room, keep: int
    ) -> None:
        self._sender = PipelineSender(pipeline)
        self._turn = asyncio.Lock()
        self.compiler = Compiler(network)
        self._records = records
        self._room = room
        self._keep = keep
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
        self._entering = asyncio.Lock()
        """Held from the check of a name and of limits until what was checked counts itself."""
        self._forgotten: dict[str, StoredRun] = {}  # a moment ago: watchers have yet to see the end
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended_events: Counter[tuple[str, ...]] = Counter()
        self._unrecorded: dict[str, str] = {}
        self._is_closing = False

    async def open(self) -> None:
        """Read what earlier runners have left."""
        for owner, began_ns, was_active, detail in await self._records.load():
            found = interrupted(detail) if was_active else detail
            kept = StoredRun(detail["id"], detail["name"], owner, began_ns, final=found)
            kept.ended_s = asyncio.get_running_loop().time()
            kept.done.set()
            self._runs[kept.id] = kept
            if was_active:
                await self._records.save(Record(owner, began_ns, False, found))
                RunLog(kept.id, kept.name, owner).ended(found)
        self._forget_old()

    # Starting

    async def start(
        self,
        scenario: Scenario,
        caller: Caller,
        *,
        run_id: str = "",
        is_given_up: Callable[[], Awaitable[bool]] | None = None,
    ) -> dict[str, Any]:
        """Start a run; raise `Refusal` where its name or a limit is in the way.

        One that *is_given_up* by the time that it has been recorded is not begun, nor kept.
        """
        async with self._entering:
            if self._is_closing:
                raise Refusal(503, "the server is shutting down: try again")
            self._forget_old()
            self._check(scenario, None if caller.allowed is None else caller.name)
            kept = StoredRun(run_id or uuid4().hex, scenario.name, caller.name, time.time_ns())
            log = RunLog(kept.id, kept.name, kept.owner)
            run = Run(
                scenario,
                sender=self._sender,
                noticed=log.problem,
                turn=self._turn,
                keeps_history=False,
            )
            kept.run = run
            await run.prepare(reserved=True)
            kept.plan, kept.started_ns = run.scenario, run.started_ns
            try:
                await self._save(kept)
                given_up = is_given_up is not None and await is_given_up()
                if given_up:
                    await self._records.forget(kept.id)
            except (sqlite3.Error, OSError) as exc:
                raise Refusal(503, f"the run cannot be recorded: {exc} (--state-dir)") from None
            if given_up:
                raise Refusal(503, "nobody has waited for the run to begin: try again")
            self._runs[kept.id] = kept
            self._spawn(self._live(kept, run, log))
        log.began(len(scenario.entries), scenario.planned)
        for warning in scenario.warnings:
            _LOG.warning("%s", warning)
        states = [State.PENDING if entry.phase else State.RUNNING for entry in scenario.entries]
        state = State.RUNNING if State.RUNNING in states else State.PENDING
        entries = [
            {"id": f"{kept.id}.{entry.id}", "name": entry.name, "state": str(of)}
            for entry, of in zip(scenario.entries, states, strict=True)
        ]
        answer = {"id": kept.id, "name": kept.name, "state": str(state), "scenarios": entries}
        return {**answer, **({"warnings": scenario.warnings} if scenario.warnings else {})}

    def _check(self, scenario: Scenario, viewer: str | None) -> None:
        wanted = scenario.document.get("scenario_name")  # a run without one collides with none
        for kept in self._runs.values():
            is_taken = kept.run is not None and (
                kept.run.scenario.document.get("scenario_name") == wanted is not None
            )
            if is_taken and kept.is_active and kept.is_visible(viewer):
                raise Refusal(409, f"scenario '{kept.name}' is active as {kept.id}")
        self._room.check(scenario.entries, self._in_use())

    def _in_use(self, but: StoredRun | None = None, without: Collection[str] = ()) -> list[Entry]:
        """Return the active entries of all runs, of one run without some."""
        return [
            one
            for kept in self._runs.values()
            if kept.run is not None
            for one in kept.run.active_entries()
            if kept is not but or one.id not in without
        ]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, kept: StoredRun, run: Run, log: RunLog) -> None:
        try:
            async with run:
                while not run.is_done:
                    await run.wait(_EVERY_S)
                    async with kept.recording:
                        await self._keep_up(kept, run, log)
        except Exception:  # noqa: BLE001  # other runs go on
            _LOG.exception("a bug: scenario %s is interrupted", kept.id)
            kept.end(interrupted(kept.record(None)))
        else:
            kept.end(kept.detail())
        count_events(self._ended_events, run, run.progress)
        self._unrecorded.pop(kept.id, None)
        log.ended(kept.final)
        try:
            await self._save(kept)
        except (sqlite3.Error, OSError) as exc:
            _LOG.error("the end of scenario %s cannot be recorded: %s", kept.id, exc)
        self._forget_old()

    async def change(self, wanted: str, viewer: str | None, change: PlanChange) -> StoredRun:
        """Let a run or one of its entries go on otherwise from now; return the run.

        All of its entries or none. Raise `Refusal` where it is over, or a value or a limit forbids it.
        """
        kept, entry = self.find(wanted, viewer)
        async with kept.recording, self._entering:
            if kept.run is not None and self._replan(kept, kept.run, entry, change):
                await self._keep_up(kept, kept.run, RunLog(kept.id, kept.name, kept.owner))
            elif kept.run is None:
                raise Refusal(409, f"scenario {wanted} has finished")
        return kept

    def _replan(self, kept: StoredRun, run: Run, entry: str | None, change: PlanChange) -> bool:
        """Change the plan of entries; return whether anything is another."""
        changing = run.changeable(entry)
        if not changing:
            raise Refusal(409, "nothing is left to change: every event is due, or it is stopping")
        changed: dict[str, Entry] = {}
        for one in changing:
            result = one.changed(change)
            if isinstance(result, Failure):
                raise Refusal.of(result.failure())
            if result.unwrap() is not one.entry:
                changed[one.entry.id] = result.unwrap()
        self._room.check(list(changed.values()), self._in_use(kept, changed))
        run.go_on_as(changed)
        kept.plan = run.scenario
        return bool(changed)

    async def _keep_up(self, kept: StoredRun, run: Run, log: RunLog) -> None:
        """Record a second's ledger, and what may be handed over until the next one."""
        wanted = run.next_reservation()
        run.withhold(wanted)
        try:
            await self._save(kept, wanted)
        except (sqlite3.Error, OSError) as exc:
            if kept.id not in self._unrecorded:
                log.unrecorded(exc)
            self._unrecorded[kept.id] = str(exc)
        else:
            if self._unrecorded.pop(kept.id, None) is not None:
                log.recorded_again()
            run.reserve(wanted)

    async def _save(self, kept: StoredRun, reserved: dict[str, int] | None = None) -> None:
        detail = kept.record(reserved)
        is_active = kept.run is not None
        await self._records.save(Record(kept.owner, kept.started_ns, is_active, detail))

    def _forget_old(self) -> None:
        now_s = asyncio.get_running_loop().time()
        finished = [kept for kept in self._runs.values() if not kept.is_active]
        over = len(finished) - self._keep
        for place, kept in enumerate(finished):
            if place < over or now_s - (kept.ended_s or now_s) > _KEPT_S:
                del self._runs[kept.id]
                self._spawn(self._forget(kept.id))

    async def _forget(self, run_id: str) -> None:
        try:
            await self._records.forget(run_id)
        except (sqlite3.Error, OSError) as exc:
            _LOG.warning("the record of scenario %s cannot be removed: %s", run_id, exc)

    # Looking

    def find(self, wanted: str, viewer: str | None, *, forgotten: bool = False) -> _Found:
        """Return a run, and an entry of it where *wanted* is an entry's id; raise `Refusal`.

        With *forgotten* also one that was removed a moment ago.
        """
        self._forget_old()
        run_id, _, entry = wanted.partition(".")
        kept = self._runs.get(run_id) or (self._forgotten.get(run_id) if forgotten else None)
        known = kept is not None and (
            run_id == wanted or any(one["id"] == wanted for one in kept.detail()["scenarios"])
        )
        if kept is None or not known or not kept.is_visible(viewer):
            raise Refusal(404, f"there is no scenario {wanted!r}")
        return kept, entry or None

    async def scenario_of(self, kept: StoredRun, directory: Directory) -> Scenario:
        """Return a run's plan; after a restart it is made of the record, or raises `Refusal`."""
        if kept.plan is None:
            kept.plan = await self.compiler.compile_again(kept.final, kept.started_ns, directory)
        return kept.plan

    def listed(
        self, viewer: str | None, state: str | None, limit: int, after: str | None
    ) -> dict[str, Any]:
        """Return runs, newest first; raise `Refusal` where *after* is none of them."""
        self._forget_old()
        known = [kept for kept in reversed(self._runs.values()) if kept.is_visible(viewer)]
        if after is not None:
            ids = [kept.id for kept in known]
            if after not in ids:
                raise Refusal(404, f"there is no scenario {after!r}")
            known = known[ids.index(after) + 1 :]
        shown = [kept.summary() for kept in known]
        shown = [one for one in shown if state is None or one["state"] == state]
        page = shown[:limit]
        more = {"next": page[-1]["id"]} if len(shown) > limit else {}
        return {"scenarios": page, **more}

    def status(self) -> dict[str, Any]:
        """Return what the server's metrics and its readiness show of all runs."""
        unrecorded = next(iter(self._unrecorded.values()), None)
        return {**totals(self._runs.values(), self._ended_events), "unrecorded": unrecorded}

    async def scrape(
        self, wanted: str | None, viewer: str | None, directory: Directory, *, openmetrics: bool
    ) -> str:
        """Return the latest values of a run or an entry, or of all that are active; raise `Refusal`."""
        scraped = Scrape()
        asked = (
            [kept for kept in reversed(self._runs.values()) if kept.run and kept.is_visible(viewer)]
            if wanted is None
            else [self.find(wanted, viewer)[0]]
        )
        series = 0
        for kept in asked:
            scenario = await self.scenario_of(kept, directory)
            for entry, shown in zip(scenario.entries, kept.detail()["scenarios"], strict=True):
                if wanted in (None, kept.id, shown["id"]):
                    series += entry.series
                    if series > MOST_SERIES:
                        reason = f"more than {MOST_SERIES:,} series: ask for those of one scenario"
                        raise Refusal(422, reason)
                    await scraped.add(entry, shown["ledger"]["due"])
        return await scraped.text(openmetrics=openmetrics)

    # Stopping

    async def stop(
        self, wanted: str, viewer: str | None, drain_s: float, *, forget: bool
    ) -> dict[str, Any]:
        """Stop a run or one of its entries, and wait until it has drained."""
        kept, entry = self.find(wanted, viewer)
        if kept.run is not None:
            kept.run.stop(entry, drain_s=drain_s)
            await kept.run.wait_for(entry)
            if entry is None:
                await kept.done.wait()
        detail = kept.detail()
        part = next((one for one in detail["scenarios"] if one["id"] == wanted), detail)
        answer = {
            "id": wanted,
            "status": part["outcome"],
            "total_events": part["ledger"]["delivered"],
            "ledger": part["ledger"],
        }
        if forget and entry is None:
            if self._runs.pop(kept.id, None) is not None:
                self._forgotten[kept.id] = kept
                asyncio.get_running_loop().call_later(_WATCHED_S, self._forgotten.pop, kept.id)
            await self._records.forget(kept.id)
        return answer

    async def close(self, drain_s: float) -> None:
        """Drain every run: the server ends."""
        self._is_closing = True
        self._interrupt(drain_s)
        async with self._entering:  # one that was being recorded has begun meanwhile
            self._interrupt(drain_s)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._records.close()

    def _interrupt(self, drain_s: float) -> None:
        for kept in self._runs.values():
            if kept.run is not None:
                kept.run.interrupt(drain_s)
