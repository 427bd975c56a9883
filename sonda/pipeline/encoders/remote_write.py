"""One sample as a Prometheus remote-write request, version 1.0.

Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import snappy  # type: ignore[import-untyped]
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.model import ContentEncoding, Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWrite:
    """The `remote_write` encoder; it has no options."""


def encode(sample: Metric, _options: RemoteWrite) -> Result[bytes, Problem]:
    """Serialise a `WriteRequest` of one series with one sample, time in milliseconds; never fails.

    To Prometheus an empty label is one that is not there, and the specification wants none sent.
    """
    request = v1.WriteRequest()  # filled in place: to copy messages into it takes twice the time
    series = request.timeseries.add()
    # As code points, which for UTF-8 is the order of the bytes that receivers compare.
    for name, value in sorted({**sample.labels, "__name__": sample.name}.items()):
        if value:
            series.labels.add(name=name, value=value)
    series.samples.add(value=sample.value, timestamp=sample.time_ns // NS_PER_MS)
    return Success(request.SerializeToString())


def decode(_sample: Metric, body: bytes) -> Mapping[str, Any]:
    """Read a `WriteRequest`, not packed, as protobuf's JSON."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(v1.WriteRequest.FromString(body))


PACKING: Final = ContentEncoding(
    {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"},
    snappy.compress,  # the block format, as the specification says, not the framed one
)
ENCODER: Final = Encoder(RemoteWrite, "application/x-protobuf", encode, PACKING, decode)
