"""The latest value of every series of runs, as a scrape has it.

Specs: https://prometheus.io/docs/instrumenting/exposition_formats/
and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client.utils import floatToGoString

from sonda.pipeline.aggregates import Histogram, Summary
from sonda.pipeline.model import Log, Metric
from sonda.pipeline.samples import BOUND, QUANTILE, samples
from sonda.pipeline.scenarios.metadata import MetricMetadata
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.turns import Turns

MOST_SERIES: Final = 100_000
"""Of one scrape."""
_CHUNK: Final = 256
_TOTAL: Final = "_total"
_UNTYPED: Final = "untyped"
_SUFFIXES: Final[Mapping[str, Sequence[str]]] = {
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("", "_sum", "_count"),
}
_BACKSLASH: Final = {"\\": r"\\", "\n": r"\n"}
_ESCAPES: Final = str.maketrans({**_BACKSLASH, '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans(_BACKSLASH)

LabelPairs: TypeAlias = frozenset[tuple[str, str]]
Sampled: TypeAlias = Metric | Histogram | Summary


@dataclass(slots=True)
class _Family:
    """The latest event of each label set of one metric, in the order in which they came."""

    metadata: MetricMetadata
    events: dict[LabelPairs, Sampled] = field(default_factory=dict)


class Scrape:
    """Collects series, each once: what is added first stays.

    A metric whose samples would be called as those of another is left out: no format can have both.
    """

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self._names: dict[str, str] = {}
        self._turns = Turns()  # the runs go on meanwhile

    async def add(self, entry: Entry, due: int) -> None:
        """Add the series of an entry of which *due* events are due; none of an entry of logs."""
        if entry.metadata is None or not due:
            return
        family = self._family(entry.name, entry.metadata)
        if family is None:
            return
        now: frozenset[str] | None = None
        first = max(0, due - entry.series // entry.width)
        for stop in range(due, first, -_CHUNK):
            events = entry.events(range(max(first, stop - _CHUNK), stop))
            for event in reversed(events):
                assert not isinstance(event, Log)  # noqa: S101  # an entry with metadata
                names = frozenset(event.labels)
                now = names if now is None else now
                if names == now:  # a spike's series end with it
                    family.events.setdefault(frozenset(event.labels.items()), event)
            await self._turns.pause()

    def _family(self, name: str, metadata: MetricMetadata) -> _Family | None:
        """Return the family that series are to be added to; `None` where there can be none."""
        names = [f"{name}{suffix}" for suffix in _SUFFIXES.get(metadata.type, ("",))]
        if any(self._names.setdefault(one, name) != name for one in names):
            return None
        family = self._families.setdefault(name, _Family(metadata))
        known = family.metadata.type
        if known != metadata.type:
            if {known, metadata.type} & _SUFFIXES.keys():
                return None
            family.metadata = MetricMetadata(_UNTYPED, family.metadata.help)
        return family

    async def text(self, *, openmetrics: bool) -> str:
        """Return all of it, in Prometheus' text format or in OpenMetrics without its end."""
        lines: list[str] = []
        for name, family in self._families.items():
            lines += self._lines(name, family, openmetrics=openmetrics)
            await self._turns.pause()
        return "".join(lines)

    def _lines(self, name: str, family: _Family, *, openmetrics: bool) -> Iterator[str]:
        kind, shown = family.metadata.type, name
        about = family.metadata.help.translate(_ESCAPES if openmetrics else _HELP_ESCAPES)
        if openmetrics and kind == "counter" and self._is_free(name.removesuffix(_TOTAL), name):
            shown = name.removesuffix(_TOTAL)
        elif openmetrics and kind in ("counter", _UNTYPED):
            kind = "unknown"  # a counter's sample has to end in _total
        yield f"# HELP {shown} {about}\n"
        yield f"# TYPE {shown} {kind}\n"
        for event in family.events.values():
            # OpenMetrics has no sum of what may be negative, and no count without a sum
            has_sum = not (openmetrics and isinstance(event, Histogram) and event.has_negative)
            for sample in samples(event):
                if has_sum or BOUND in sample.labels:
                    yield f"{sample.name}{_labels(sample.labels)} {_number(sample.value)}\n"

    def _is_free(self, base: str, name: str) -> bool:
        """Return whether a counter may be called by its *name* without `_total`."""
        return base != name and base not in self._families


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _labels(labels: Mapping[str, str]) -> str:
    written = ",".join(
        f'{name}="{_canonical(name, value).translate(_ESCAPES)}"'
        for name, value in sorted(labels.items())
    )
    return f"{{{written}}}" if written else ""


def _canonical(name: str, value: str) -> str:
    """Return a bound or a quantile as OpenMetrics wants it, which Prometheus makes of any other."""
    return _number(float(value)) if name in (BOUND, QUANTILE) else value
