"""The pieces of any entry are its events, one by one."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.model import Payload
from sonda.pipeline.scenarios.plan import Entry
from sonda.pipeline.scenarios.rendering import how_pieces_go, pieces
from sonda.pipeline.stages.encode import encode
from tests.property.strategies import unhurried
from tests.support.extras import is_usable
from tests.unit.pipeline.scenarios.support import compiled, log, metric

TEXTS = st.text(st.sampled_from('ab"\\ ,={}é🙂\r\t\u2028'), min_size=1, max_size=6).map(
    "x{}y".format
)
GENERATORS = st.sampled_from(
    [
        {"type": "sine", "amplitude": 5, "period_secs": 7},
        {"type": "uniform", "min": -1, "max": 1},
        {"type": "step", "start": 0, "step_size": 0.1},
        {"type": "sequence", "values": [0, 1e300, -2.5]},
    ]
)
SHAPES = st.fixed_dictionaries(
    {"rate": st.sampled_from([1, 7, 333, 999])},
    optional={
        "labels": st.dictionaries(st.sampled_from(["host", "job"]), TEXTS),
        "dynamic_labels": st.just([{"key": "pod", "cardinality": 3}]),
        "series": st.sampled_from([2, 5]),
        "gaps": st.just({"every": "10s", "for": "4s"}),
        "start_time": st.sampled_from(["1970-01-01T00:00:00Z", "2026-01-01T00:00:00.9995Z"]),
    },
)
TICKS = st.builds(
    lambda first, count: range(first, first + count), st.integers(0, 5000), st.integers(1, 60)
)


def _bodies(entry: Entry, ticks: range) -> tuple[list[Payload], list[Payload]]:
    """Return the payloads of the pieces, and those of the events; the sizes must agree."""
    takes = how_pieces_go(entry)
    assert takes is not None
    made = pieces(entry, ticks, takes)
    alone = [
        encode(entry.route.validated_event(entry.event(tick))).unwrap().payload for tick in ticks
    ]
    assert sum(piece.count for piece in made) == len(ticks)
    assert sum(piece.size_bytes for piece in made) == sum(len(one.body) for one in alone)
    return [piece.encoded.payload for piece in made], alone


@pytest.mark.parametrize("encoder", ["prometheus_text", "influx_lp", "json_lines"])
@unhurried
@given(generator=GENERATORS, shape=SHAPES, ticks=TICKS, size_bytes=st.integers(1, 3000))
def test_metrics_as_lines(
    encoder: str, generator: Any, shape: Any, ticks: range, size_bytes: int
) -> None:
    """Whatever the size of a request."""
    sink = {"type": "http_push", "url": "http://h", "batch_size": size_bytes}
    document = metric(sink=sink, encoder={"type": encoder}, generator=generator, **shape)
    made, alone = _bodies(compiled(document).unwrap().entries[0], ticks)
    assert b"".join(one.body for one in made) == b"".join(one.body for one in alone)
    assert all(len(one.body) <= size_bytes or one.count == 1 for one in made)


@unhurried
@given(text=TEXTS, shape=SHAPES, ticks=TICKS, most=st.integers(2, 40))
def test_logs_for_loki(text: str, shape: Any, ticks: range, most: int) -> None:
    """A push is what the sink itself writes for the same events."""
    from sonda.pipeline.sinks.loki import _compose

    pool = {"message": "{word} {tick} {uuid} {timestamp}", "field_pools": {"word": [text, "b"]}}
    drawn = {"type": "template", "templates": [pool, "plain"], "severity_weights": {"warn": 1}}
    sink = {"type": "loki", "url": "http://h", "batch_size": most}
    entry = compiled(log(sink=sink, log_generator=drawn, **shape)).unwrap().entries[0]
    made, alone = _bodies(entry, ticks)
    rest = iter(alone)
    for one in made:
        assert _compose([one]) == _compose([next(rest) for _ in range(one.count)])


@pytest.mark.skipif(not is_usable("encoder", "remote_write"), reason="needs its extra")
@unhurried
@given(generator=GENERATORS, shape=SHAPES, ticks=TICKS)
def test_samples_for_remote_write(generator: Any, shape: Any, ticks: range) -> None:
    """Each series stands once in a request, with the samples of its events, in their order."""
    from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1

    sink = {"type": "remote_write", "url": "http://h"}
    document = metric(
        sink=sink, generator=generator, **{**shape, "encoder": {"type": "remote_write"}}
    )
    made, alone = _bodies(compiled(document).unwrap().entries[0], ticks)

    def samples(payloads: list[Payload]) -> dict[bytes, list[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        requests = [v1.WriteRequest.FromString(one.body).timeseries for one in payloads]
        for series in chain.from_iterable(requests):
            key = b"".join(label.SerializeToString() for label in series.labels)
            found.setdefault(key, []).extend(one.SerializeToString() for one in series.samples)
        return found

    assert samples(made) == samples(alone)
    for one in made:
        assert len(samples([one])) == len(v1.WriteRequest.FromString(one.body).timeseries)


def _exported(payloads: list[Payload]) -> list[tuple[bytes, bytes, bytes]]:
    """Return each record, or each point as a metric of its own, with its resource and scope."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
        ExportMetricsServiceRequest,
    )

    found: list[tuple[bytes, bytes, bytes]] = []
    for one in payloads:
        is_logs = one.event.signal_type == "logs"
        kind = ExportLogsServiceRequest if is_logs else ExportMetricsServiceRequest
        request: Any = kind.FromString(one.body)
        for of_resource in request.resource_logs if is_logs else request.resource_metrics:
            for of_scope in of_resource.scope_logs if is_logs else of_resource.scope_metrics:
                around = (
                    of_resource.resource.SerializeToString(),
                    of_scope.scope.SerializeToString(),
                )
                if is_logs:
                    found += [(*around, log.SerializeToString()) for log in of_scope.log_records]
                for of in () if is_logs else of_scope.metrics:
                    points = [point.SerializeToString() for point in of.gauge.data_points]
                    found += [(*around, of.name.encode() + point) for point in points]
    return found


@pytest.mark.skipif(not is_usable("encoder", "otlp"), reason="needs its extra")
@pytest.mark.parametrize("signal", ["logs", "metrics"])
@unhurried
@given(text=TEXTS, generator=GENERATORS, shape=SHAPES, ticks=TICKS)
def test_records_for_a_collector(
    signal: str, text: str, generator: Any, shape: Any, ticks: range
) -> None:
    """A receiver reads the same records, with their resource and scope, in each stream's order."""
    pool = {"message": "{word} {tick} {uuid}", "field_pools": {"word": [text, "b"], "host": ["c"]}}
    drawn = {
        "type": "template",
        "templates": [pool, ""],
        "severity_weights": {"warn": 1, "info": 1},
    }
    document = {
        "sink": {"type": "otlp_http", "endpoint": "http://h"},
        "encoder": {"type": "otlp"},
        **shape,
    }
    made_of = (
        log(log_generator=drawn, **document)
        if signal == "logs"
        else metric(generator=generator, **document)
    )
    made, alone = _bodies(compiled(made_of).unwrap().entries[0], ticks)

    def streams(payloads: list[Payload]) -> dict[bytes, list[tuple[bytes, bytes, bytes]]]:
        found: dict[bytes, list[tuple[bytes, bytes, bytes]]] = {}
        for one in _exported(payloads):
            found.setdefault(one[0], []).append(one)
        return found

    assert streams(made) == streams(alone)
