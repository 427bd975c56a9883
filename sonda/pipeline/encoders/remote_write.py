"""One sample as a Prometheus remote-write request, version 1.0.

Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import snappy  # type: ignore[import-untyped]
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder, Joined
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders._protobuf import labels, varint
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
    return labels({**metric.labels, "__name__": metric.name})


def encode_many(
    series: Metric, values: Sequence[float], times_ns: Sequence[int], _options: RemoteWrite
) -> Result[Joined, Problem]:
    """Serialise a `WriteRequest` of one series with a sample for each value and time; never fails.

    The specification wants the times of a series to ascend. Written is what protobuf would write,
    byte for byte. Spec: https://protobuf.dev/programming-guides/encoding/
    """
    named = _labels(series)
    samples = [
        b"\x12%c%b%b" % (len(double) + len(time), double, time)
        for double, time in zip(_doubles(values), _times(times_ns), strict=True)
    ]
    written = b"".join(samples)
    body = b"\x0a%b%b%b" % (varint(len(named) + len(written)), named, written)
    return Success(Joined(body, _size_of_each(samples, len(named))))


_DOUBLE: Final = struct.Struct("<d")
_ZERO: Final = _DOUBLE.pack(0.0)  # a default, which is not sent; -0.0 is none
_LOW_BITS: Final = 0x7F
_MORE: Final = [bytes((bits | 0x80,)) for bits in range(_LOW_BITS + 1)]
"""Seven bits of a number, after which more of it follows."""


def _doubles(values: Sequence[float]) -> list[bytes]:
    """Return each value as a sample's field 1, which a zero does not have."""
    packed = map(_DOUBLE.pack, values)
    return [b"\x09" + double if double != _ZERO else b"" for double in packed]


def _times(times_ns: Sequence[int]) -> list[bytes]:
    """Return each time as a sample's field 2; the high bits of neighbours are mostly the same."""
    fields: list[bytes] = []
    above, end = 0, b""
    for time_ns in times_ns:
        time_ms = time_ns // NS_PER_MS
        if time_ms >> 14 != above:
            above = time_ms >> 14
            end = varint(above)
        if above:
            low = _MORE[time_ms & _LOW_BITS] + _MORE[time_ms >> 7 & _LOW_BITS]
            fields.append(b"\x10" + low + end)
        else:
            fields.append(b"\x10" + varint(time_ms) if time_ms else b"")
    return fields


def _size_of_each(samples: Sequence[bytes], labels_bytes: int) -> int:
    """Return the bytes of requests that have one sample each: it, the labels, and the lengths."""
    sizes = Counter(map(len, samples))
    return sum(
        count * (1 + len(varint(labels_bytes + size)) + labels_bytes + size)
        for size, count in sizes.items()
    )


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
