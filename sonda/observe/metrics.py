"""What `GET /metrics` tells: counts of events, requests and connections, of all workers together.

The counts are doubles in a slab per worker, memory which the supervisor maps before it forks;
alone, a worker has a list. So an event costs no lock and no file, whichever worker is asked adds up
all slabs, and a worker that takes a dead one's place counts on (docs/adr/0011).
"""

from __future__ import annotations

import mmap
import platform
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, MutableSequence, Sequence
from functools import cache, partial
from itertools import accumulate, product
from typing import Any, Final, NamedTuple, TypeAlias

from prometheus_client.core import (
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString
from returns.result import Result, Success

from sonda.about import version
from sonda.envelope import CODES
from sonda.observe.families import EVENTS, FAMILIES, SECONDS, Family, LabelNames
from sonda.observe.record import (
    DELIVERED,
    INVALID,
    became,
    names_of,
)
from sonda.observe.scenario_metrics import (
    ORIGIN,
    REQUEST,
    scenario_events,
    scenario_families,
)
from sonda.pipeline.delivery import Delivery
from sonda.pipeline.model import Receipt
from sonda.pipeline.observer import Observer
from sonda.pipeline.problems import Problem

Slab: TypeAlias = "MutableSequence[float] | memoryview[float]"  # a string: 3.11 cannot index it

_EVENT_FAMILY: Final = FAMILIES[0]


def _layout() -> tuple[dict[str, dict[LabelNames, int]], int]:
    """Return where in a slab each series has its cells, and how many cells there are."""
    places: dict[str, dict[LabelNames, int]] = {}
    cells = 0
    for family in FAMILIES:
        series = list(product(*family.labels.values()))
        places[family.name] = {
            values: cells + number * family.width for number, values in enumerate(series)
        }
        cells += len(series) * family.width
    return places, cells


OFFSETS, CELLS = _layout()
_EVENTS: Final = OFFSETS["sonda_events"]
_STAGES: Final = OFFSETS["sonda_stage_duration_seconds"]
_VISIBLE: Final = OFFSETS["sonda_visible_seconds"]
_PUSHES: Final = OFFSETS["sonda_push_events"]
_RETRIES: Final = OFFSETS["sonda_retries"]
_REJECTED: Final = OFFSETS["sonda_rejected_requests"]
_OPENED: Final = OFFSETS["sonda_connections_opened"]
_OPEN: Final = OFFSETS["sonda_open_connections"]
_NANOSECONDS: Final = tuple(round(bound_s * 1e9) for bound_s in SECONDS)
_SECONDS_SUM: Final = len(SECONDS) + 1
_EVENTS_SUM: Final = len(EVENTS) + 1
_INFLIGHT: Final = OFFSETS["sonda_inflight_requests"][()]
_DROPPED: Final = OFFSETS["sonda_log_lines_dropped"][()]
_RESTARTS: Final = OFFSETS["sonda_worker_restarts"][()]
_GAUGES: Final = tuple(
    place
    for family in FAMILIES
    if family.kind is GaugeMetricFamily
    for place in OFFSETS[family.name].values()
)


def slabs(workers: int) -> list[Slab]:
    """Map a slab for each worker, which all processes that are forked from this one share."""
    size_bytes = CELLS * 8
    together = memoryview(mmap.mmap(-1, workers * size_bytes))
    return [
        together[number * size_bytes : (number + 1) * size_bytes].cast("d")
        for number in range(workers)
    ]


def replace_worker(slab: Slab) -> None:
    """Reset the gauges of a dead worker's slab, which the next one goes on with, and count it."""
    for place in _GAUGES:
        slab[place] = 0.0
    slab[_RESTARTS] += 1.0


class Metrics(Observer):
    """What one worker counts, in its own slab and from its event loop alone."""

    def __init__(self, all_slabs: Sequence[Slab] = (), number: int = 0) -> None:
        self._all = all_slabs or [[0.0] * CELLS]  # alone, a list: its cells cost half as much
        self._slab = self._all[number]
        self.inflight: Callable[[float], None] = partial(self._slab.__setitem__, _INFLIGHT)
        """Sets how many requests are under way."""
        self._registry = CollectorRegistry(auto_describe=False)
        self.scenarios: Mapping[str, Any] = {}
        """What the runner of scenarios last said of all runs, if there is one."""
        self._registry.register(_Collector(self._all, lambda: self.scenarios))

    def answer(self, accept: str) -> tuple[bytes, str]:
        """Return all counts in the format that the header `Accept` prefers, and its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def log_lines_dropped(self, lines: int) -> None:
        """Count lines that the log has lost."""
        self._slab[_DROPPED] += lines

    def connection_opened(self, sink: str) -> None:
        """Count a connection that can be used."""
        self._slab[_OPENED[(sink,)]] += 1.0
        self._slab[_OPEN[(sink,)]] += 1.0

    def connection_closed(self, sink: str) -> None:
        """Count the end of one."""
        self._slab[_OPEN[(sink,)]] -= 1.0

    def answered(self, status: int) -> None:
        """Count a request that was turned away before it was an event."""
        refused = _REJECTED.get((str(status),))
        if refused is not None:
            self._slab[refused] += 1.0

    def finished(self, delivery: Delivery, outcome: Result[Receipt, Problem]) -> None:
        """Count an event, whoever has handed it in, unless it was not taken on."""
        name = DELIVERED if isinstance(outcome, Success) else became(outcome)
        if name is None:
            return
        validated, slab = delivery.validated, self._slab
        if validated is None:
            cells = _cells(*names_of(delivery.document))
        else:
            cells = _cells(validated.event.signal_type, validated.encoder.name, validated.sink.name)
        slab[cells.outcomes[name]] += 1.0
        # Written out, and not a loop over spans: it comes with each event.
        began_ns, prepared_ns, encoded_ns = (
            delivery.began_ns,
            delivery.prepared_ns,
            delivery.encoded_ns,
        )
        if prepared_ns:
            _note(slab, cells.validation, prepared_ns - began_ns)
        if encoded_ns:
            _note(slab, cells.encoding, encoded_ns - prepared_ns)
        if name == INVALID:
            return
        waited_ns = delivery.waited_ns
        sent_ns = delivery.ended_ns - (encoded_ns or began_ns) - waited_ns
        if isinstance(outcome, Success) and (seen_us := outcome.unwrap().visible_us) is not None:
            _note(slab, cells.visible, seen_us * 1000)
            sent_ns -= seen_us * 1000
        _note(slab, cells.waiting, waited_ns)
        _note(slab, cells.acknowledgement, max(0, sent_ns))
        if delivery.tries > 1:
            slab[cells.retries] += delivery.tries - 1
        for events in delivery.pushes if delivery.shared else (1,) * max(1, delivery.tries):
            slab[cells.pushes + bisect_left(EVENTS, events)] += 1.0
            slab[cells.pushes + _EVENTS_SUM] += events


def _note(slab: Slab, start: int, span_ns: int) -> None:
    """Count a span of time in the histogram that begins there."""
    slab[start + bisect_left(_NANOSECONDS, span_ns)] += 1.0
    slab[start + _SECONDS_SUM] += span_ns * 1e-9


class _Cells(NamedTuple):
    """Where in a slab the events of one kind for one sink are counted."""

    outcomes: Mapping[str, int]
    validation: int
    encoding: int
    waiting: int
    acknowledgement: int
    visible: int
    pushes: int
    retries: int


@cache  # the names are the schemas': there are a few hundred combinations
def _cells(signal: str, encoder: str, sink: str) -> _Cells:
    outcomes = FAMILIES[0].labels["outcome"]
    return _Cells(
        {outcome: _EVENTS[(signal, encoder, sink, outcome)] for outcome in outcomes},
        _STAGES[("validation", sink)],
        _STAGES[("encoding", sink)],
        _STAGES[("waiting", sink)],
        _STAGES[("acknowledgement", sink)],
        _VISIBLE[(sink,)],
        _PUSHES[(sink,)],
        _RETRIES[(sink,)],
    )


class _Collector(Collector):
    """The sums of all slabs, as `prometheus_client` collects metrics."""

    def __init__(
        self, all_slabs: Sequence[Slab], scenarios: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._all = all_slabs
        self._scenarios = scenarios

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; a series appears once it has counted something."""
        for family in FAMILIES:
            metric = self._read(family)
            if family is _EVENT_FAMILY:
                for told, count in scenario_events(self._scenarios()):
                    metric.add_metric(told, count)
            yield metric
        yield from scenario_families(self._scenarios())
        build = GaugeMetricFamily(
            "sonda_build_info", "The versions that run.", labels=("version", "python_version")
        )
        build.add_metric((version(), platform.python_version()), 1.0)
        yield build

    def _read(self, family: Family) -> Any:
        names = [*family.labels, *(["error"] if "status" in family.labels else [])]
        names += [ORIGIN] if family is _EVENT_FAMILY else []
        metric = family.kind(family.name, family.help, labels=names)
        for values, start in OFFSETS[family.name].items():
            cells = [sum(slab[start + cell] for slab in self._all) for cell in range(family.width)]
            if not any(cells) and values:
                continue
            told = [*values, CODES[int(values[0])]] if "status" in family.labels else [*values]
            told += [REQUEST] if family is _EVENT_FAMILY else []
            if isinstance(metric, HistogramMetricFamily):
                bounds = [*map(floatToGoString, family.buckets), "+Inf"]
                counts = zip(bounds, accumulate(cells[:-1]), strict=True)
                metric.add_metric(told, list(counts), cells[-1])
            else:
                metric.add_metric(told, cells[0])
        return metric
