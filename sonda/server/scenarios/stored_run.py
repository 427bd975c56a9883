"""One run of a server's: under way, or what is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sonda.pipeline.scenarios.plan import Scenario
from sonda.pipeline.scenarios.report import Progress
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.states import State
from sonda.pipeline.values.timestamps import rfc3339
from sonda.server.scenarios.masking import masked

_DEGRADED_S: Final = 30.0
_LISTED: Final = ("id", "name", "state", "outcome", "started", "ended", "ledger", "degraded")


@dataclass(slots=True)
class StoredRun:
    """One run, and the name of the key that started it (*owner*)."""

    id: str
    name: str
    owner: str
    started_ns: int
    run: Run | None = None
    plan: Scenario | None = None
    final: dict[str, Any] = field(default_factory=dict)
    """What `detail` returns once the run has ended."""
    ended_s: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    recording: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the run's plan is changed or recorded: what is stored is one plan's."""
    _document: Mapping[str, Any] = field(default_factory=dict)
    _delivered: int = 0
    _last_delivery_s: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def is_active(self) -> bool:
        """Whether the run has not ended."""
        return not self.done.is_set()

    def is_visible(self, viewer: str | None) -> bool:
        """Return whether a caller may see the run; `None` sees all."""
        return viewer is None or viewer == self.owner

    def end(self, final: dict[str, Any]) -> None:
        """Keep what the run has come to, and let it go."""
        self.final = final
        self.run, self.ended_s = None, asyncio.get_running_loop().time()
        self.done.set()

    def detail(self) -> dict[str, Any]:
        """Return all there is of the run, as it is now."""
        if self.run is None:
            return self.final
        document = {"document": self._masked_document(self.run)}
        progress = self.run.progress
        entries = [
            {**entry.document(), "id": f"{self.id}.{entry.id}"} for entry in progress.entries
        ]
        return {**self._summary(self.run, progress), **document, "scenarios": entries}

    def _masked_document(self, run: Run) -> Mapping[str, Any]:
        """Return the document as others may see it: it stays the same, and is stored every second."""
        if not self._document:
            self._document = masked(dict(run.scenario.document))
        return self._document

    def record(self, reserved: dict[str, int] | None) -> dict[str, Any]:
        """Return what is stored: the detail, and of each entry under way how far it may get.

        *reserved* is that, by the entry's own id.
        """
        detail = self.detail()
        if self.run is not None:
            promised = reserved or self.run.next_reservation()
            on_the_way = self.run.ticks_on_the_way()
            for entry in detail["scenarios"]:
                own_id = entry["id"].partition(".")[2]
                entry["reserved"] = promised[own_id]
                entry["on_the_way"] = on_the_way[own_id]
        return detail

    def summary(self) -> dict[str, Any]:
        """Return the run as a list shows it."""
        if self.run is None:
            return {name: self.final.get(name) for name in _LISTED}
        return self._summary(self.run, self.run.progress)

    def _summary(self, run: Run, progress: Progress) -> dict[str, Any]:
        is_over = progress.state is State.FINISHED
        return {
            "id": self.id,
            "name": self.name,
            "state": str(progress.state),
            "outcome": str(run.outcome) if is_over else None,
            "started": rfc3339(self.started_ns),
            "ended": rfc3339(time.time_ns()) if is_over else None,
            "ledger": progress.ledger.document(),
            "degraded": self.is_degraded(progress),
        }

    def is_degraded(self, progress: Progress) -> bool:
        """Return whether something has failed, and nothing was delivered for half a minute."""
        delivered, now_s = progress.ledger.delivered, asyncio.get_running_loop().time()
        if delivered > self._delivered:
            self._delivered, self._last_delivery_s = delivered, now_s
        failed = self.run is not None and self.run.has_problems
        return failed and now_s - self._last_delivery_s >= _DEGRADED_S
