"""Every run of a server, by id: names, limits and records in one place."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from typing import Any, Final
from uuid import uuid4

from returns.result import Failure, Result

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.model import ValidatedEvent
from sonda.pipeline.net import Network
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.scenarios.compile import compile_document
from sonda.pipeline.scenarios.numbers import as_number
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.plan_document import plan_document
from sonda.pipeline.scenarios.reading import Document
from sonda.pipeline.scenarios.report import Progress
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.sender import PipelineSender
from sonda.pipeline.scenarios.states import State
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.preview import preview
from sonda.pipeline.values.timestamps import rfc3339
from sonda.server.scenarios.masking import masked
from sonda.server.scenarios.records import Records, interrupted
from sonda.server.scenarios.refusals import Refusal

_LOG: Final = logging.getLogger("sonda")
_EVERY_S: Final = 1.0
_KEPT_S: Final = 3600.0
_DEGRADED_S: Final = 30.0


@dataclass(slots=True)
class _StoredRun:
    """One run: under way, or what is left of it."""

    id: str
    name: str
    started_ns: int
    run: Run | None = None
    plan: Scenario | None = None
    last: Progress | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    ended_s: float | None = None
    delivered: int = 0
    last_delivery_s: float = 0.0
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_active(self) -> bool:
        return not self.done.is_set()

    @property
    def scenario(self) -> Scenario:
        """The plan; raises `Refusal` where only the record has outlived a restart."""
        if self.plan is None:
            raise Refusal(404, f"the events of {self.id} cannot be made again after a restart")
        return self.plan

    def progress(self) -> Progress:
        """Return how far the run has got, or how far it got."""
        found = self.last if self.run is None else self.run.progress
        assert found is not None  # noqa: S101  # a run that has ended has left it
        return found


class Registry:
    """Starts, lists and stops runs; all through *pipeline*, whose *network* judges destinations."""

    def __init__(
        self,
        pipeline: Pipeline,
        network: Network,
        records: Records,
        *,
        max_scenarios: int,
        max_rate: int,
        keep: int,
    ) -> None:
        self._sender = PipelineSender(pipeline)
        self._network = network
        self._records = records
        self._max_scenarios = max_scenarios
        self._max_rate = max_rate
        self._keep = keep
        self._runs: OrderedDict[str, _StoredRun] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Read what earlier runners have left."""
        for began_ns, was_active, detail in await self._records.load():
            found = interrupted(detail) if was_active else detail
            kept = _StoredRun(detail["id"], detail["name"], began_ns, detail=found)
            kept.ended_s = asyncio.get_running_loop().time()
            kept.done.set()
            self._runs[kept.id] = kept
            if was_active:
                await self._records.save(found, began_ns, is_active=False)

    # Starting

    def compile(self, document: Result[Document, Problem]) -> Scenario:
        """Compile a document, and ask the operator's rules; raise `Refusal`."""
        compiled = document.bind(partial(compile_document, now_ns=time.time_ns(), in_server=True))
        if isinstance(compiled, Failure):
            raise Refusal.of(compiled.failure())
        scenario = compiled.unwrap()
        for entry in scenario.entries:
            encoded = encode(ValidatedEvent(entry.event(0), entry.route.encoder, entry.route.sink))
            shown = encoded.bind(partial(preview, transport=self._network))
            if isinstance(shown, Failure) and isinstance(shown.failure(), Forbidden):
                raise Refusal.of(shown.failure())
        return scenario

    def plan(self, scenario: Scenario) -> dict[str, Any]:
        """Return the answer of a dry run."""
        return plan_document(scenario, self._network)

    async def start(self, scenario: Scenario) -> dict[str, Any]:
        """Start a run; raise `Refusal` where its name or a limit is in the way."""
        self._check_room(scenario)
        kept = _StoredRun(uuid4().hex, scenario.name, time.time_ns())
        run = Run(scenario, sender=self._sender, noticed=partial(_log_problem, kept.id))
        kept.run = run
        kept.plan = scenario
        self._runs[kept.id] = kept  # entered before anything is awaited: a name is active once
        kept.last_delivery_s = asyncio.get_running_loop().time()
        try:
            await run.prepare(reserved=True)
            kept.plan = run.scenario
            await self._save(kept)
        except (sqlite3.Error, OSError) as exc:
            del self._runs[kept.id]
            raise Refusal(503, f"the run cannot be recorded: {exc}") from None
        task = asyncio.create_task(self._live(kept, run))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        _LOG.info("scenario %s (%s) begins: %s events", kept.id, kept.name, scenario.planned)
        entries = [
            {"id": f"{kept.id}.{entry.id}", "name": entry.name, "state": str(State.RUNNING)}
            for entry in scenario.entries
        ]
        answer = {
            "id": kept.id,
            "name": kept.name,
            "state": str(State.RUNNING),
            "scenarios": entries,
        }
        return {**answer, **({"warnings": scenario.warnings} if scenario.warnings else {})}

    def _check_room(self, scenario: Scenario) -> None:
        count = len(scenario.entries)
        if count > self._max_scenarios:
            raise Refusal(
                422,
                f"{count} entries; this server runs at most {self._max_scenarios} (--max-scenarios)",
            )
        active = [kept for kept in self._runs.values() if kept.is_active and kept.run]
        for kept in active:
            if kept.name == scenario.name:
                raise Refusal(409, f"scenario '{kept.name}' is active as {kept.id}")
        entries = [one for kept in active if kept.run for one in kept.run.active_entries()]
        if len(entries) + count > self._max_scenarios:
            raise Refusal(
                429,
                f"{len(entries)} of {self._max_scenarios} entries are in use, {count} more are asked "
                "for (--max-scenarios)",
            )
        used = sum((entry.schedule.peak_rate for entry in entries), Fraction(0))
        asked = sum((entry.schedule.peak_rate for entry in scenario.entries), Fraction(0))
        if used + asked > self._max_rate:
            raise Refusal(
                429,
                f"{as_number(used):g} of {self._max_rate} events/s are in use, {as_number(asked):g} "
                "more are asked for (--max-rate)",
            )

    async def _live(self, kept: _StoredRun, run: Run) -> None:
        async with run:
            while not run.is_done:
                await run.wait(_EVERY_S)
                await self._keep_up(kept, run)
        kept.detail, kept.last = self.detail(kept), run.progress
        kept.run, kept.ended_s = None, asyncio.get_running_loop().time()
        kept.done.set()
        _LOG.info("scenario %s (%s) has ended: %s", kept.id, kept.name, kept.detail["ledger"])
        try:
            await self._save(kept)
        except (sqlite3.Error, OSError) as exc:
            _LOG.error("the end of scenario %s cannot be recorded: %s", kept.id, exc)
        self._forget_old()

    async def _keep_up(self, kept: _StoredRun, run: Run) -> None:
        """Record a second's ledger, and what may be handed over until the next one."""
        wanted = run.next_reservation()
        try:
            await self._save(kept, wanted)
        except (sqlite3.Error, OSError) as exc:
            _LOG.error(
                "scenario %s: nothing is handed over while it cannot be recorded: %s", kept.id, exc
            )
        else:
            run.reserve(wanted)

    async def _save(self, kept: _StoredRun, reserved: dict[str, int] | None = None) -> None:
        detail = self.detail(kept)
        if kept.run is not None:
            promised = reserved or kept.run.next_reservation()
            detail["scenarios"] = [
                {**entry, "reserved": promised[entry["id"].partition(".")[2]]}
                for entry in detail["scenarios"]
            ]
        await self._records.save(detail, kept.started_ns, is_active=kept.run is not None)

    def _forget_old(self) -> None:
        now_s = asyncio.get_running_loop().time()
        finished = [kept for kept in self._runs.values() if not kept.is_active]
        over = len(finished) - self._keep
        for place, kept in enumerate(finished):
            if place < over or now_s - (kept.ended_s or now_s) > _KEPT_S:
                del self._runs[kept.id]
                task = asyncio.create_task(self._records.forget(kept.id))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    # Looking

    def find(self, wanted: str) -> tuple[_StoredRun, str | None]:
        """Return a run, and an entry of it where *wanted* is an entry's id; raise `Refusal`."""
        run_id, _, entry = wanted.partition(".")
        kept = self._runs.get(run_id)
        known = kept is not None and (
            not entry or any(one["id"] == wanted for one in self.detail(kept)["scenarios"])
        )
        if kept is None or not known:
            raise Refusal(404, f"there is no scenario {wanted!r}")
        return kept, entry or None

    def detail(self, kept: _StoredRun) -> dict[str, Any]:
        """Return all there is of a run, as it is now."""
        if kept.run is None:
            return kept.detail
        progress = kept.run.progress
        entries = [
            {**entry.document(), "id": f"{kept.id}.{entry.id}"} for entry in progress.entries
        ]
        is_over = progress.state is State.FINISHED
        return {
            "id": kept.id,
            "name": kept.name,
            "state": str(progress.state),
            "outcome": str(kept.run.outcome) if is_over else None,
            "started": rfc3339(kept.started_ns),
            "ended": rfc3339(time.time_ns()) if is_over else None,
            "document": masked(dict(kept.run.scenario.document)),
            "ledger": progress.ledger.document(),
            "degraded": self._is_degraded(kept, progress.ledger.delivered),
            "scenarios": entries,
        }

    def _is_degraded(self, kept: _StoredRun, delivered: int) -> bool:
        now_s = asyncio.get_running_loop().time()
        if delivered > kept.delivered:
            kept.delivered, kept.last_delivery_s = delivered, now_s
        failed = kept.run is not None and kept.run.has_problems
        return failed and now_s - kept.last_delivery_s >= _DEGRADED_S

    def listed(self, state: str | None, limit: int, after: str | None) -> dict[str, Any]:
        """Return runs, newest first."""
        known = list(reversed(self._runs.values()))
        if after is not None:
            ids = [kept.id for kept in known]
            known = known[ids.index(after) + 1 :] if after in ids else []
        shown = [self.detail(kept) for kept in known]
        shown = [one for one in shown if state is None or one["state"] == state]
        names = ("id", "name", "state", "outcome", "started", "ended", "ledger", "degraded")
        page = [{name: one.get(name) for name in names} for one in shown[:limit]]
        more = {"next": page[-1]["id"]} if len(shown) > limit and page else {}
        return {"scenarios": page, **more}

    # Stopping

    async def stop(self, wanted: str, drain_s: float, *, forget: bool) -> dict[str, Any]:
        """Stop a run or one of its entries, and wait until it has drained."""
        kept, entry = self.find(wanted)
        if kept.run is not None:
            kept.run.stop(entry, drain_s=drain_s)
            await kept.run.wait_for(entry)
            if entry is None:
                await kept.done.wait()
        detail = self.detail(kept)
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
        for kept in self._runs.values():
            if kept.run is not None:
                kept.run.interrupt(drain_s)
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._records.close()


def _log_problem(run_id: str, entry: str, text: str) -> None:
    _LOG.warning("scenario %s.%s: %s", run_id, entry, text)
