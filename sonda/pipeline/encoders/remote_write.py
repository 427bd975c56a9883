"""One sample as a Prometheus remote-write request, version 1.0.

Spec: https://prometheus.io/docs/specs/prw/remote_write_spec/
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import snappy  # type: ignore[import-untyped]
from returns.result import Result, Success

from sonda.pipeline.encoders import Encoder, Joined
from sonda.pipeline.encoders import _remote_write_v1_pb2 as v1
from sonda.pipeline.encoders._protobuf import labels, varint
from sonda.pipeline.encoders._series import by_series
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
    series.MergeFromString(_labels(metric.name, metric.labels))
    series.samples.add(value=metric.value, timestamp=metric.time_ns // NS_PER_MS)
    return Success(request.SerializeToString())


def _labels(metric: str, of: Mapping[str, str]) -> bytes:
    """Serialise the labels of a series, the metric's name among them.

    They are sorted as code points, which for UTF-8 is the order of the bytes that receivers compare.
    """
    return labels({**of, "__name__": metric})


_kept_labels: Final = by_series(_labels)


def encode_many(
    series: Metric, values: Sequence[float], times_ns: Sequence[int], _options: RemoteWrite
) -> Result[Joined, Problem]:
    """Serialise a `WriteRequest` of one series with a sample for each value and time; never fails.

    The specification wants the times of a series to ascend. Written is what protobuf would write,
    byte for byte. Spec: https://protobuf.dev/programming-guides/encoding/
    """
    named = _kept_labels(series.name, series.labels)
    frames = _frames(tuple([time_ns // NS_PER_MS for time_ns in times_ns]))
    if frames and 0.0 not in values:
        written = _filled(frames, values)
        sizes = {len(written) // len(values): len(values)}
    else:
        samples = [
            b"\x12%c%b%b" % (len(double) + len(time), double, time)
            for double, time in zip(_doubles(values), _times(times_ns), strict=True)
        ]
        written = b"".join(samples)
        sizes = Counter(map(len, samples))
    body = b"\x0a%b%b%b" % (varint(len(named) + len(written)), named, written)
    return Success(Joined(body, _size_of_each(sizes, len(named))))


_AT_VALUE: Final = 3  # of a sample: its tag, its length, the tag of the value
_WORD_BYTES: Final = 8
_LOW_SEVEN: Final = bytes([byte & 0x7F for byte in range(256)])
_LOW_SEVEN_AND_MORE: Final = bytes([byte | 0x80 for byte in range(256)])


@lru_cache(maxsize=8)  # the series of a fleet have the same times
def _frames(times_ms: tuple[int, ...]) -> bytes:
    """Return a sample for each time, its value still zeros; nothing where they differ in length.

    The work is the same few calls for any number of samples: byte k of a time as protobuf writes
    it is its bits from 7k on, which in an integer of all the times, shifted by k, are byte k of each.
    """
    size = len(varint(max(times_ms)))
    if len(varint(min(times_ms))) != size or not min(times_ms):  # a time of 0 is not sent
        return b""
    frame = b"\x12%c\x09%b\x10%b" % (size + 10, bytes(_WORD_BYTES), bytes(size))
    frames = bytearray(frame * len(times_ms))
    packed = _little(array("Q", times_ms))
    together = int.from_bytes(packed, "little")
    for byte in range(size):
        bits = (together << byte).to_bytes(len(packed), "little")[byte::_WORD_BYTES]
        last = byte == size - 1
        place = len(frame) - size + byte
        frames[place :: len(frame)] = bits.translate(_LOW_SEVEN if last else _LOW_SEVEN_AND_MORE)
    return bytes(frames)


def _filled(frames: bytes, values: Sequence[float]) -> bytes:
    """Return samples with their values, none of which is zero: a default is not sent."""
    samples, size = bytearray(frames), len(frames) // len(values)
    doubles = _little(array("d", values))
    for byte in range(_WORD_BYTES):
        samples[_AT_VALUE + byte :: size] = doubles[byte::_WORD_BYTES]
    return bytes(samples)


def _little(words: array[Any]) -> bytes:
    """Return the bytes of 64-bit words, the low ones first."""
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


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


def _size_of_each(sizes: Mapping[int, int], labels_bytes: int) -> int:
    """Return the bytes of requests that have one sample each: it, the labels, and the lengths.

    *sizes* has how many samples have which length.
    """
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
