"""All runs of a server together, for its metrics and its readiness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from sonda.pipeline.scenarios.report import Progress
from sonda.pipeline.scenarios.run import Run
from sonda.pipeline.scenarios.states import State
from sonda.server.scenarios.stored_run import StoredRun

_OUTCOMES: Final = ("delivered", "rejected", "unknown")


def totals(runs: Collection[StoredRun], ended_events: Counter[tuple[str, ...]]) -> dict[str, Any]:
    """Return the states of runs, their events besides those of runs that have *ended*, and the lag."""
    live = [(kept, kept.run) for kept in runs if kept.run is not None]
    events, states = Counter(ended_events), Counter({str(State.FINISHED): len(runs) - len(live)})
    degraded, lag_s = 0, 0.0
    for kept, run in live:
        progress = run.progress  # once for all: with many runs this takes milliseconds
        states[str(progress.state)] += 1
        count_events(events, run, progress)
        degraded += progress.state is not State.FINISHED and kept.is_degraded(progress)
        lag_s = max(lag_s, progress.lag_s)
    return {
        "states": +states,
        "events": [[*names, count] for names, count in events.items()],
        "degraded": degraded,
        "lag_s": lag_s,
    }


def count_events(counts: Counter[tuple[str, ...]], run: Run, progress: Progress) -> None:
    """Add how many events have each verdict, by signal type, encoder, sink and outcome."""
    for entry, shown in zip(run.scenario.entries, progress.entries, strict=False):
        names = (entry.signal_type, entry.route.encoder.name, entry.route.sink.name)
        for outcome in _OUTCOMES:
            if count := getattr(shown.ledger, outcome):
                counts[(*names, outcome)] += count
