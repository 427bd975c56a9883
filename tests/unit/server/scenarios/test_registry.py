"""Records that are kept and forgotten, and when a run is degraded, in virtual time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.policy.callers import ANYBODY
from sonda.pipeline.problems import Problem
from sonda.pipeline.scenarios.compile import compile_document
from sonda.server.scenarios import compiling
from sonda.server.scenarios.compiling import Compiler
from sonda.server.scenarios.records import Record, Records
from sonda.server.scenarios.refusals import Refusal
from sonda.server.scenarios.registry import Registry
from sonda.server.scenarios.room import Room
from tests.support.virtual_time import run_virtually
from tests.unit.pipeline.scenarios.support import compiled, metric
from tests.unit.pipeline.scenarios.test_run import NO, FakeSender, yes


class _Records:
    """Records in memory."""

    def __init__(self) -> None:
        self.saved: dict[str, Record] = {}

    async def load(self) -> list[Record]:
        return list(self.saved.values())

    async def save(self, record: Record) -> None:
        self.saved[record.detail["id"]] = record

    async def forget(self, run_id: str) -> None:
        del self.saved[run_id]

    def close(self) -> None:
        """Do nothing: there is nothing to close."""


Use = Callable[[Registry, _Records], Awaitable[None]]


def _with_registry(
    monkeypatch: pytest.MonkeyPatch, sender: FakeSender, use: Use, *, keep: int = 1000
) -> None:
    """Use a registry whose runs send through *sender*."""
    monkeypatch.setattr("sonda.server.scenarios.registry.PipelineSender", lambda _pipeline: sender)

    async def main() -> None:
        records = _Records()
        registry = Registry(
            cast("Pipeline", None),
            Network(AccessPolicy(Path(), Path())),
            cast("Records", records),
            room=Room(100, 100_000),
            keep=keep,
        )
        await registry.open()
        await use(registry, records)
        await registry.close(0.1)

    run_virtually(main())


async def _start(registry: Registry, name: str, **changes: Any) -> str:
    scenario = compiled(metric(name=name, **changes)).unwrap()
    return str((await registry.start(scenario, ANYBODY))["id"])


def _ids(registry: Registry) -> list[str]:
    return [one["id"] for one in registry.listed(None, None, 100, None)["scenarios"]]


def test_so_many_finished_runs_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--keep-scenarios 2`: the oldest goes, from the database, too; one that runs takes no place."""

    async def use(registry: Registry, records: _Records) -> None:
        active = await _start(registry, "active")
        ended = []
        for number in range(4):
            ended.append(await _start(registry, f"ended{number}", count=1))
            await asyncio.sleep(5)
        assert _ids(registry) == [ended[3], ended[2], active]
        assert set(records.saved) == {ended[3], ended[2], active}
        with pytest.raises(Refusal, match="there is no scenario") as refused:
            registry.find(ended[0], None)
        assert refused.value.status == 404

    _with_registry(monkeypatch, FakeSender(yes), use, keep=2)


def test_none_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(registry: Registry, records: _Records) -> None:
        await _start(registry, "ended", count=1)
        await asyncio.sleep(5)
        assert _ids(registry) == list(records.saved) == []

    _with_registry(monkeypatch, FakeSender(yes), use, keep=0)


def test_a_finished_run_is_kept_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(registry: Registry, records: _Records) -> None:
        ended = await _start(registry, "ended", count=1)
        await asyncio.sleep(3590)
        assert _ids(registry) == [ended]
        await asyncio.sleep(20)
        assert _ids(registry) == []
        await asyncio.sleep(1)
        assert records.saved == {}

    _with_registry(monkeypatch, FakeSender(yes), use)


def test_a_run_is_degraded_after_half_a_minute_without_a_delivery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where something has failed, that is: silence alone is none, and a delivery ends it."""
    is_up = True

    async def behaviour(ticks: Sequence[int]) -> dict[int, Problem]:
        await asyncio.sleep(0.001)
        return {} if is_up else dict.fromkeys(ticks, NO)

    async def use(registry: Registry, _records: _Records) -> None:
        nonlocal is_up
        run = await _start(registry, "failing")
        await _start(registry, "silent", rate=0.001)

        def degraded() -> dict[str, bool]:
            listed = registry.listed(None, None, 100, None)["scenarios"]
            return {one["name"]: one["degraded"] for one in listed}

        await asyncio.sleep(10.5)
        is_up = False
        await asyncio.sleep(29)
        assert degraded() == {"failing": False, "silent": False}
        await asyncio.sleep(2)
        assert degraded() == {"failing": True, "silent": False}
        assert registry.status()["degraded"] == 1
        is_up = True
        await asyncio.sleep(2)
        assert degraded() == {"failing": False, "silent": False}
        stopped = await registry.stop(run, None, 1.0, forget=False)
        assert stopped["ledger"]["rejected"] in range(30, 33)

    _with_registry(monkeypatch, FakeSender(behaviour), use)


def test_a_document_is_compiled_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one takes seconds: the runs go on meanwhile."""
    threads: list[threading.Thread] = []
    original = compile_document

    def noting(*args: Any, **named: Any) -> Any:
        threads.append(threading.current_thread())
        return original(*args, **named)

    monkeypatch.setattr(compiling, "compile_document", noting)
    document = (
        b'{"signal_type":"metrics","name":"cpu","rate":1,"generator":{"type":"constant","value":1}}'
    )

    async def main() -> None:
        compiler = Compiler(Network(AccessPolicy(Path(), Path())))
        scenario = await compiler.compile(document, ANYBODY, {}, is_yaml=False)
        assert scenario.name == "cpu"
        assert (await compiler.plan(scenario, 0))["scenarios"][0]["id"] == "cpu"

    asyncio.run(main())
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


def test_a_run_that_is_given_up_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not begun, not recorded, not in the way of the next one of its name or of a limit."""

    async def given_up() -> bool:
        return True

    async def use(registry: Registry, records: _Records) -> None:
        scenario = compiled({"scenario_name": "once", "scenarios": [metric(name="a")]}).unwrap()
        with pytest.raises(Refusal, match="nobody has waited") as refused:
            await registry.start(scenario, ANYBODY, run_id="first", is_given_up=given_up)
        assert refused.value.status == 503
        assert (records.saved, _ids(registry), sender.handed) == ({}, [], [])
        again = await registry.start(scenario, ANYBODY, run_id="second")
        assert again["id"] == "second"
        assert _ids(registry) == list(records.saved) == ["second"]

    sender = FakeSender(yes)
    _with_registry(monkeypatch, sender, use)


def test_a_run_that_is_being_recorded_as_the_server_ends_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its answer is the run, and its record says how it ended; a later one is refused."""

    async def use(registry: Registry, records: _Records) -> None:
        may_save = asyncio.Event()
        save = records.save

        async def slow(record: Record) -> None:
            await may_save.wait()
            await save(record)

        records.save = slow  # type: ignore[method-assign]
        first = asyncio.create_task(_start(registry, "first"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(registry.close(0.1))
        await asyncio.sleep(0)
        late = asyncio.create_task(_start(registry, "late"))
        await asyncio.sleep(0)
        may_save.set()
        await closing
        with pytest.raises(Refusal, match="shutting down"):
            await late
        assert records.saved[await first].detail["outcome"] == "interrupted"
        assert len(records.saved) == 1

    _with_registry(monkeypatch, FakeSender(yes), use)


def test_a_forgotten_run_is_found_for_a_moment_by_whoever_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only where that is asked for; its record and its place in lists are gone at once."""

    async def use(registry: Registry, records: _Records) -> None:
        run = await _start(registry, "watched")
        await registry.stop(run, None, 1.0, forget=True)
        assert (_ids(registry), records.saved) == ([], {})
        kept, _ = registry.find(run, None, forgotten=True)
        assert kept.final["outcome"] == "stopped"
        with pytest.raises(Refusal, match="there is no scenario"):
            registry.find(run, "another", forgotten=True)
        with pytest.raises(Refusal, match="there is no scenario"):
            registry.find(run, None)
        await asyncio.sleep(6)
        with pytest.raises(Refusal, match="there is no scenario"):
            registry.find(run, None, forgotten=True)

    _with_registry(monkeypatch, FakeSender(yes), use)
