"""One sample as a Prometheus remote-write request, version 1.0.

Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import snappy  # type: ignore[import-untyped]
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders._protobuf import label, varint
from sonda.pipeline.model import ContentEncoding, Metric
from sonda.pipeline.problems import Problem
from sonda.pipeline.values.timestamps import NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteWrite:
    """The `remote_write` encoder; it has no options."""


def encode(metric: Metric, _options: RemoteWrite) -> Result[bytes, Problem]:
    """Serialise a `WriteRequest` of one series with one sample, time in milliseconds; never fails.

    To Prometheus an empty label is one that is not there, and the specification wants none sent.
    """
    request = v1.WriteRequest()  # filled in place: to copy messages into it takes twice the time
    series = request.timeseries.add()
    series.MergeFromString(_labels(metric))
    series.samples.add(value=metric.value, timestamp=metric.time_ns // NS_PER_MS)
    return Success(request.SerializeToString())


def _labels(metric: Metric) -> bytes:
    """Serialise the labels of a series, the metric's name among them.

    They are sorted as code points, which for UTF-8 is the order of the bytes that receivers compare.
    """
    named = {**metric.labels, "__name__": metric.name}
    return b"".join([b"\x0a" + label(*pair) for pair in sorted(named.items()) if pair[1]])


def encode_many(
    series: Metric, values: Sequence[float], times_ns: Sequence[int], _options: RemoteWrite
) -> Result[list[bytes], Problem]:
    """Serialise a `WriteRequest` for each value and time of a series; never fails.

    The labels are serialised once; around them stands what protobuf would write, byte for byte.
    Spec: https://protobuf.dev/programming-guides/encoding/
    """
    labels = _labels(series)
    requests: list[bytes] = []
    for value, time_ns in zip(values, times_ns, strict=True):
        double, time_ms = _DOUBLE.pack(value), time_ns // NS_PER_MS
        sample = (b"\x09" + double if double != _ZERO else b"") + (
            b"\x10" + varint(time_ms) if time_ms else b""
        )
        body = b"%b\x12%b%b" % (labels, varint(len(sample)), sample)
        requests.append(b"\x0a%b%b" % (varint(len(body)), body))
    return Success(requests)


_DOUBLE: Final = struct.Struct("<d")
_ZERO: Final = _DOUBLE.pack(0.0)  # a default, which is not sent; -0.0 is none


def decode(_sample: Metric, body: bytes) -> Mapping[str, Any]:
    """Read a `WriteRequest`, not packed, as protobuf's JSON."""
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(v1.WriteRequest.FromString(body))


PACKING: Final = ContentEncoding(
    {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": "0.1.0"},
    snappy.compress,  # the block format, as the specification says, not the framed one
)
ENCODER: Final = Encoder(
    RemoteWrite, "application/x-protobuf", encode, PACKING, decode, encode_many
)
