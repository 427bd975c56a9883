"""The latest value of every series of runs, as a scrape has it.

Specs: https://prometheus.io/docs/instrumenting/exposition_formats/
and https://prometheus.io/docs/specs/om/open_metrics_spec/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prometheus_client.utils import floatToGoString

from sonda.pipeline.model import Metric
from sonda.pipeline.scenarios.metadata import MetricMetadata
from sonda.pipeline.scenarios.plan import Entry
from sonda.resources.turns import Turns

MOST_SERIES: Final = 100_000
"""Of one scrape."""
_CHUNK: Final = 256
_TOTAL: Final = "_total"
_UNTYPED: Final = "untyped"
_BACKSLASH: Final = {"\\": r"\\", "\n": r"\n"}
_ESCAPES: Final = str.maketrans({**_BACKSLASH, '"': r"\""})
_HELP_ESCAPES: Final = str.maketrans(_BACKSLASH)

Identity: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
"""A sample's name and labels."""


@dataclass(slots=True)
class _Family:
    """The series of one metric; *order* keeps them as they came."""

    metadata: MetricMetadata
    samples: dict[Identity, tuple[Mapping[str, str], float]] = field(default_factory=dict)


class Scrape:
    """Collects series, each once: what is added first stays."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}
        self._turns = Turns()  # the runs go on meanwhile

    async def add(self, entry: Entry, due: int) -> None:
        """Add the series of an entry of which *due* events are due; none of an entry of logs."""
        if entry.metadata is None or not due:
            return
        family = self._families.setdefault(entry.name, _Family(entry.metadata))
        if family.metadata.type != entry.metadata.type:
            family.metadata = MetricMetadata(_UNTYPED, family.metadata.help)
        now: frozenset[str] | None = None
        first = max(0, due - entry.series)  # one event of each series, and more where labels repeat
        for stop in range(due, first, -_CHUNK):
            events = entry.events(range(max(first, stop - _CHUNK), stop))
            for event in reversed(events):
                assert isinstance(event, Metric)  # noqa: S101  # an entry of metrics
                names = frozenset(event.labels)
                now = names if now is None else now
                if names == now:  # a spike's series end with it
                    identity = (event.name, frozenset(event.labels.items()))
                    family.samples.setdefault(identity, (event.labels, event.value))
            await self._turns.pause()

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
        for (sample, _), (labels, value) in family.samples.items():
            yield f"{sample}{_labels(labels)} {_number(value)}\n"

    def _is_free(self, base: str, name: str) -> bool:
        """Return whether a counter may be called by its *name* without `_total`."""
        return base != name and base not in self._families


def _number(value: float) -> str:
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _labels(labels: Mapping[str, str]) -> str:
    written = ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(labels.items())
    )
    return f"{{{written}}}" if written else ""
