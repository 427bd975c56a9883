"""What the metrics and the readiness of a server show of all its runs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from typing import Any

from sonda.pipeline.scenarios.run import Run
from sonda.server.scenarios.stored_run import StoredRun
from sonda.server.scenarios.totals import totals
from tests.support.virtual_time import run_virtually
from tests.unit.pipeline.scenarios.support import compiled, metric
from tests.unit.pipeline.scenarios.test_run import FakeSender, yes


def test_runs_are_counted_by_state_and_their_events_by_verdict() -> None:
    """A run's progress, which takes a while, is worked out once; one that has ended is not asked."""
    asked: list[str] = []

    class _Run(Run):
        @property
        def progress(self) -> Any:
            asked.append(self.scenario.name)
            return super().progress

    async def main() -> dict[str, Any]:
        names = ("first", "second")
        runs = [
            _Run(compiled(metric(name=name)).unwrap(), sender=FakeSender(yes)) for name in names
        ]
        async with runs[0], runs[1]:
            await asyncio.sleep(1.05)
            kept: Iterable[StoredRun] = (
                StoredRun(name, name, "", 0, run=run) for name, run in zip(names, runs, strict=True)
            )
            ended = StoredRun("third", "third", "", 0, final={"state": "finished"})
            asked.clear()
            before: Counter[tuple[str, ...]] = Counter(
                {("logs", "json_lines", "stdout", "rejected"): 7}
            )
            found = totals([*kept, ended], before)
            assert asked == list(names)
            assert before.total() == 7
        return found

    found = run_virtually(main())
    delivered = sum(count for *names, count in found["events"] if names[0] == "metrics")
    assert found["states"] == {"finished": 1, "running": 2}
    assert ["logs", "json_lines", "stdout", "rejected", 7] in found["events"]
    assert delivered == 4  # at 0 s and at 1 s
    assert found["degraded"] == 0
