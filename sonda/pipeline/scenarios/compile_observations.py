"""`distribution` and what else an entry of histograms or summaries has of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Final

from sonda.pipeline.scenarios import distributions
from sonda.pipeline.scenarios.dealing import Dealer, Levels
from sonda.pipeline.scenarios.draw import draw
from sonda.pipeline.scenarios.numbers import fraction
from sonda.pipeline.scenarios.observations import HistogramOf, Observations, Observed, SummaryOf
from sonda.pipeline.scenarios.parameters import read_parameters
from sonda.pipeline.scenarios.plan import Entry, LabelSet
from sonda.pipeline.scenarios.reading import Path
from sonda.pipeline.scenarios.structure import Issues
from sonda.pipeline.scenarios.timing import Timing
from sonda.pipeline.schemas.registry import SCENARIO
from sonda.pipeline.text.escape import quote

_BEYOND: Final = "makes values beyond the range of a double"
_PROPERTIES: Final = SCENARIO["$defs"]["entry"]["properties"]


@dataclass(frozen=True, slots=True)
class ObservedReader:
    """Reads what one entry observes; its draws are by *seed* and *entry_id*."""

    path: Path
    issues: Issues
    seed: int
    entry_id: str

    def read(
        self, written: Mapping[str, Any], timing: Timing
    ) -> Callable[[LabelSet], Observed] | None:
        """Return what makes the events of each series; what is wrong with it goes to the issues."""
        levels = self._levels(written["distribution"])
        if levels is None:
            return None
        per_tick = int(_given(written, "observations_per_tick"))
        shift = fraction(_given(written, "mean_shift_per_sec"))
        listed = "buckets" if written["signal_type"] == "histogram" else "quantiles"
        bounds = tuple(fraction(one) for one in _given(written, listed))
        if not all(float(one) < float(other) for one, other in pairwise(bounds)):
            self.issues.value((*self.path, listed), "must ascend, each number once")
            return None
        seed = int(written.get("seed", self.seed))

        def observed(series: LabelSet) -> Observed:
            dealer = Dealer(draw(seed, self.entry_id, "observations", series))
            of = Observations(levels, per_tick, shift, dealer)
            return HistogramOf(of, bounds) if listed == "buckets" else SummaryOf(of, (), bounds)

        if not observed({}).fits(timing):
            self.issues.value((*self.path, "distribution"), _BEYOND)
            return None
        return observed

    def _levels(self, written: Mapping[str, Any]) -> Levels | None:
        where = (*self.path, "distribution")
        parameters = read_parameters("distribution", written, where, self.issues)
        if parameters is None:
            return None
        distribution = distributions.load(written["type"])
        if (wrong := distribution.check(parameters)) is not None:
            self.issues.value((*where, wrong[0]), wrong[1])
            return None
        try:
            values = tuple(distribution.levels(parameters))
        except (OverflowError, ZeroDivisionError):
            values = ()
        if not values or not all(map(isfinite, values)):
            self.issues.value(where, _BEYOND)
            return None
        return Levels(values)

    def check_labels(self, entry: Entry, own: Sequence[LabelSet]) -> None:
        """Check that no label of the entry is one that tells its samples apart."""
        assert isinstance(entry.content, Observed)  # noqa: S101  # it was made of what `read` returned
        reserved = entry.content.reserved
        taken = {
            "labels": entry.labels.fixed,
            "dynamic_labels": [label.key for label in entry.labels.dynamic],
            "series": own[0] if own else (),
            "cardinality_spikes": [spike.label for spike in entry.spikes],
        }
        for name, keys in taken.items():
            if reserved in keys:
                reason = f"{quote(reserved)} is set for each sample: choose another name"
                self.issues.value((*self.path, name), reason)


def _given(written: Mapping[str, Any], name: str) -> Any:
    return written.get(name, _PROPERTIES[name]["default"])
