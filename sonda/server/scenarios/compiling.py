"""From a document that was posted, or recorded, to a plan; the operator's rules are asked, too.

A large document takes seconds. It is compiled in a thread, so that the runs go on meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, TextIO

from returns.result import Failure, Result

from sonda.pipeline.hiding import hide_refusal
from sonda.pipeline.model import NamedDestination
from sonda.pipeline.net import Network
from sonda.pipeline.net.read_below import open_text
from sonda.pipeline.policy.callers import Caller
from sonda.pipeline.problems import Forbidden, Problem
from sonda.pipeline.scenarios.changes import restored
from sonda.pipeline.scenarios.compile import KnownDestination, compile_document
from sonda.pipeline.scenarios.csv_table import MOST_BYTES
from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.plan_curves import plan_curves
from sonda.pipeline.scenarios.plan_document import plan_document
from sonda.pipeline.scenarios.reading import Document, from_tree, read_json, read_yaml
from sonda.pipeline.stages.encode import encode
from sonda.pipeline.stages.preview import preview
from sonda.server.scenarios.refusals import Refusal

Directory = Mapping[str, NamedDestination]


class Compiler:
    """Compiles documents; *network* judges their destinations and reads the files that they replay."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def compile(
        self, raw: bytes, caller: Caller, directory: Directory, *, is_yaml: bool
    ) -> Scenario:
        """Compile what *caller* posted; raise `Refusal`."""
        return await asyncio.to_thread(
            lambda: self._compile((read_yaml if is_yaml else read_json)(raw), caller, directory)
        )

    async def plan(self, scenario: Scenario, points: int) -> dict[str, Any]:
        """Return the answer of a dry run, with curves of so many points unless there are none."""
        return await asyncio.to_thread(self._plan, scenario, points)

    def _plan(self, scenario: Scenario, points: int) -> dict[str, Any]:
        document = plan_document(scenario, self._network)
        if points:
            curves = plan_curves(scenario, points)
            for entry, curve in zip(document["scenarios"], curves, strict=False):
                entry["curve"] = curve
        return document

    async def compile_again(
        self, recorded: Mapping[str, Any], started_ns: int, directory: Directory
    ) -> Scenario:
        """Compile the document of a record, with what was changed on the way; raise `Refusal`."""
        known = {name: KnownDestination.of(named) for name, named in directory.items()}
        compiled = await asyncio.to_thread(
            lambda: from_tree(recorded["document"]).bind(
                partial(
                    compile_document,
                    now_ns=started_ns,
                    destinations=known,
                    open_text=self._open_rows,
                )
            )
        )
        if isinstance(compiled, Failure):
            reason = f"the events of {recorded['id']} cannot be made again: {compiled.failure()}"
            raise Refusal(404, reason)
        return restored(compiled.unwrap(), recorded["scenarios"])

    def _compile(
        self, document: Result[Document, Problem], caller: Caller, directory: Directory
    ) -> Scenario:
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
                open_text=self._open_rows,
            )
        )
        if isinstance(compiled, Failure):
            raise Refusal.of(compiled.failure())
        scenario = compiled.unwrap()
        for entry in scenario.entries:
            if entry.route.named is None and (forbidden := caller.judge_inline()) is not None:
                raise Refusal(403, f"scenario entry '{entry.id}': {forbidden}")
            validated = entry.route.validated_event(entry.event(0))
            shown = encode(validated).bind(partial(preview, network=self._network))
            if isinstance(shown, Failure) and isinstance(shown.failure(), Forbidden):
                reason = hide_refusal(shown, validated).failure()
                raise Refusal(403, f"{entry.route.place}: {reason}")
        return scenario

    def _open_rows(self, path: str) -> TextIO:
        return open_text(path, self._network.access_policy, MOST_BYTES)
