"""Every run of a server, by id: names, limits and records in one place."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter, OrderedDict
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, Final
from uuid import uuid4

from returns.result import Failure, Result

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.hiding import hide_refusal
from sonda.pipeline.model import NamedDestination
from sonda.pipeline.net import Network
from sonda.pipeline.net.read_below import read_text
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.scenarios.compile import KnownDestination, compile_document
from sonda.pipeline.scenarios.csv_table import MOST_BYTES
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.plan_document import plan_document
from sonda.pipeline.scenarios.reading import Document, from_tree
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.sender import PipelineSender
from sonda.pipeline.scenarios.states import State
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.preview import preview
from sonda.server.scenarios.log_lines import RunLog
from sonda.server.scenarios.records import Record, Records, interrupted
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.room import Room
from sonda.server.scenarios.stored_run import StoredRun

_LOG: Final = logging.getLogger("sonda")
_EVERY_S: Final = 1.0
_KEPT_S: Final = 3600.0
_OUTCOMES: Final = ("delivered", "rejected", "unknown")

Directory = Mapping[str, NamedDestination]


class Registry:
    """Starts, lists and stops runs; all through *pipeline*, whose *network* judges destinations.

    Of finished runs at most *keep* are kept. A viewer is the name of a key that sees its own runs
    alone; `None` sees all.
    """

    def __init__(
        self, pipeline: Pipeline, network: Network, records: Records, *, room: Room, keep: int
    ) -> None:
        self._sender = PipelineSender(pipeline)
        self._network = network
        self._records = records
        self._room = room
        self._keep = keep
        self._runs: OrderedDict[str, StoredRun] = OrderedDict()
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

    def _read_rows(self, path: str) -> str:
        return read_text(path, self._network.confinement, MOST_BYTES)

    def compile(
        self, document: Result[Document, Problem], caller: Caller, directory: Directory
    ) -> Scenario:
        """Compile a document, and ask the operator's rules; raise `Refusal`."""
        known = {
            name: KnownDestination.of(named)
            for name, named in directory.items()
            if caller.may_use(name)
        }
        compiled = document.bind(
            partial(
                compile_document,
                now_ns=time.time_ns(),
                destinations=known,
                in_server=True,
                read_text=self._read_rows,
            )
        )
        if isinstance(compiled, Failure):
            raise Refusal.of(compiled.failure())
        scenario = compiled.unwrap()
        for entry in scenario.entries:
            if entry.route.named is None and (forbidden := caller.judge_inline()) is not None:
                raise Refusal(403, f"scenario entry '{entry.id}': {forbidden}")
            order = entry.route.order(entry.event(0))
            shown = encode(order).bind(partial(preview, transport=self._network))
            if isinstance(shown, Failure) and isinstance(shown.failure(), Forbidden):
                raise Refusal.of(hide_refusal(shown, order).failure())
        return scenario

    def plan(self, scenario: Scenario) -> dict[str, Any]:
        """Return the answer of a dry run."""
        return plan_document(scenario, self._network)

    async def start(self, scenario: Scenario, caller: Caller) -> dict[str, Any]:
        """Start a run; raise `Refusal` where its name or a limit is in the way."""
        if self._is_closing:
            raise Refusal(503, "the server is shutting down: try again")
        self._forget_old()
        self._check(scenario, None if caller.allowed is None else caller.name)
        kept = StoredRun(uuid4().hex, scenario.name, caller.name, time.time_ns())
        log = RunLog(kept.id, kept.name, kept.owner)
        run = Run(scenario, sender=self._sender, noticed=log.problem)
        kept.run = run
        self._runs[kept.id] = kept  # entered before anything is awaited: a name is active once
        try:
            await run.prepare(reserved=True)
            kept.plan, kept.started_ns = run.scenario, run.started_ns
            await self._save(kept)
        except (sqlite3.Error, OSError) as exc:
            del self._runs[kept.id]
            raise Refusal(503, f"the run cannot be recorded: {exc} (--state-dir)") from None
        self._spawn(self._live(kept, run, log))
        log.began(len(scenario.entries), scenario.planned)
        for warning in scenario.warnings:
            _LOG.warning("%s", warning)
        states = [State.PENDING if entry.phase else State.RUNNING for entry in scenario.entries]
        entries = [
            {"id": f"{kept.id}.{entry.id}", "name": entry.name, "state": str(state)}
            for entry, state in zip(scenario.entries, states, strict=True)
        ]
        state = State.RUNNING if State.RUNNING in states else State.PENDING
        answer = {"id": kept.id, "name": kept.name, "state": str(state), "scenarios": entries}
        return {**answer, **({"warnings": scenario.warnings} if scenario.warnings else {})}

    def _check(self, scenario: Scenario, viewer: str | None) -> None:
        active = [kept for kept in self._runs.values() if kept.is_active]
        for kept in active:
            if kept.name == scenario.name and kept.is_visible(viewer):
                raise Refusal(409, f"scenario '{kept.name}' is active as {kept.id}")
        in_use = [one for kept in active if kept.run for one in kept.run.active_entries()]
        self._room.check(scenario.entries, in_use)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self, kept: StoredRun, run: Run, log: RunLog) -> None:
        try:
            async with run:
                while not run.is_done:
                    await run.wait(_EVERY_S)
                    await self._keep_up(kept, run, log)
        except Exception:  # noqa: BLE001  # other runs go on
            _LOG.exception("a bug: scenario %s is interrupted", kept.id)
            kept.end(interrupted(kept.record(None)))
        else:
            kept.end(kept.detail())
        self._ended_events += _events_of(run)
        self._unrecorded.pop(kept.id, None)
        log.ended(kept.final)
        try:
            await self._save(kept)
        except (sqlite3.Error, OSError) as exc:
            _LOG.error("the end of scenario %s cannot be recorded: %s", kept.id, exc)
        self._forget_old()

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

    def find(self, wanted: str, viewer: str | None) -> tuple[StoredRun, str | None]:
        """Return a run, and an entry of it where *wanted* is an entry's id; raise `Refusal`."""
        self._forget_old()
        run_id, _, entry = wanted.partition(".")
        kept = self._runs.get(run_id)
        known = kept is not None and (
            run_id == wanted or any(one["id"] == wanted for one in kept.detail()["scenarios"])
        )
        if kept is None or not known or not kept.is_visible(viewer):
            raise Refusal(404, f"there is no scenario {wanted!r}")
        return kept, entry or None

    def scenario_of(self, kept: StoredRun, directory: Directory) -> Scenario:
        """Return a run's plan; after a restart it is made of the record, or raises `Refusal`."""
        if kept.plan is None:
            known = {name: KnownDestination.of(named) for name, named in directory.items()}
            document = from_tree(kept.final["document"])
            compiled = document.bind(
                partial(
                    compile_document,
                    now_ns=kept.started_ns,
                    destinations=known,
                    read_text=self._read_rows,
                )
            )
            if isinstance(compiled, Failure):
                problem = compiled.failure()
                raise Refusal(404, f"the events of {kept.id} cannot be made again: {problem}")
            kept.plan = compiled.unwrap()
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
        live = [kept.run for kept in self._runs.values() if kept.run is not None]
        events = sum(map(_events_of, live), self._ended_events)
        summaries = [kept.summary() for kept in self._runs.values()]
        return {
            "states": Counter(one["state"] for one in summaries),
            "events": [[*names, count] for names, count in events.items()],
            "degraded": sum(one["state"] != "finished" and one["degraded"] for one in summaries),
            "lag_s": max((run.progress.lag_s for run in live), default=0.0),
            "unrecorded": next(iter(self._unrecorded.values()), None),
        }

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
            self._runs.pop(kept.id, None)
            await self._records.forget(kept.id)
        return answer

    async def close(self, drain_s: float) -> None:
        """Drain every run: the server ends."""
        self._is_closing = True
        for kept in self._runs.values():
            if kept.run is not None:
                kept.run.interrupt(drain_s)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._records.close()


def _events_of(run: Run) -> Counter[tuple[str, ...]]:
    """Return how many events have each verdict, by signal type, encoder, sink and outcome."""
    counts: Counter[tuple[str, ...]] = Counter()
    for entry, progress in zip(run.scenario.entries, run.progress.entries, strict=False):
        names = (entry.signal_type, entry.route.encoder.name, entry.route.sink.name)
        for outcome in _OUTCOMES:
            counts[(*names, outcome)] += getattr(progress.ledger, outcome)
    return +counts
