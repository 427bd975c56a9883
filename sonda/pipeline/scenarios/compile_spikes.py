"""`cardinality_spikes` of an entry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sonda.pipeline.scenarios.compile_series import are_labels
from sonda.pipeline.scenarios.draw import draw
from sonda.pipeline.scenarios.limits import MOST_SERIES
from sonda.pipeline.scenarios.numbers import seconds
from sonda.pipeline.scenarios.plan import Labels, LabelSet
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.spikes import LabelSpike, Spikes, count_series
from sonda.pipeline.scenarios.structure import Issues
from sonda.pipeline.text.escape import quote


@dataclass(frozen=True, slots=True)
class SpikeReader:
    """Reads the spikes of one entry; its draws are by *seed* and *entry_id*."""

    path: Path
    issues: Issues
    seed: int
    entry_id: str

    def read(self, written: Mapping[str, Any], labels: Labels, own: tuple[LabelSet, ...]) -> Spikes:
        """Return the spikes; what is wrong with them goes to the issues."""
        taken = dict.fromkeys(labels.fixed, "labels")
        taken |= {label.key: "dynamic_labels" for label in labels.dynamic}
        taken |= dict.fromkeys(own[0] if own else (), "series")
        found: list[LabelSpike] = []
        for place, spike in enumerate(written.get("cardinality_spikes", ())):
            where = (*self.path, "cardinality_spikes", place)
            name = spike["label"]
            if name in taken:
                reason = f"{quote(name)} stands in {taken[name]}, too: leave one of them out"
                self.issues.value((*where, "label"), reason)
                return ()
            taken[name] = "another spike"
            of_signal = written["signal_type"]
            if not are_labels({name: ""}, of_signal, (*where, "label"), self.issues, by_name=False):
                return ()
            made = self._one(spike, where)
            if made is None:
                return ()
            found.append(made)
            count = count_series(tuple(found), labels.count, MOST_SERIES)
            if count * max(1, len(own)) > MOST_SERIES:
                reason = f"makes more than {MOST_SERIES:,} series"
                self.issues.value((*where, "cardinality"), reason)
                return ()
        return tuple(found)

    def _one(self, spike: Mapping[str, Any], where: Path) -> LabelSpike | None:
        times = []
        for name in ("every", "for"):
            try:
                times.append(seconds(spike[name]))
            except ValueError as exc:
                self.issues.value((*where, name), str(exc))
                return None
        every, length = times
        if length >= every:
            self.issues.value((*where, "for"), "must be below every")
            return None
        label, seed = spike["label"], int(spike.get("seed", self.seed))
        return LabelSpike(
            label=label,
            every=every,
            length=length,
            cardinality=int(spike["cardinality"]),
            prefix=spike.get("prefix", f"{label}_"),
            draw=(
                draw(seed, self.entry_id, f"spike:{label}")
                if spike.get("strategy") == "random"
                else None
            ),
        )
