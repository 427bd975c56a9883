"""Readers of our own for what the libraries write: protobuf's wire format, and snappy's blocks.

They know nothing of the libraries that made the bytes, and fail on any byte that is out of place.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

LENGTH_DELIMITED = 2
SIGN_BIT = 2**63

Field: TypeAlias = tuple[int, int, int | bytes]
"""Number, wire type, and the value: bytes where it is delimited or of a fixed width."""


class Series(NamedTuple):
    """One time series of a remote-write request, everything in the order of the wire."""

    labels: list[tuple[str, str]]
    samples: list[tuple[float, int]]


def varint(text: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; gives it, and where the next byte stands."""
    value = 0
    for shift in range(0, 70, 7):
        byte = text[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            assert value < 2**64
            return value, at
    raise AssertionError("a number of more than ten bytes")


def fields(message: bytes) -> Iterator[Field]:
    """Read a message field by field; spec: https://protobuf.dev/programming-guides/encoding/."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = varint(message, at)
            yield number, wire_type, value
            continue
        if wire_type == LENGTH_DELIMITED:
            size, at = varint(message, at)
        else:
            size = {1: 8, 5: 4}[wire_type]
        assert at + size <= len(message)
        yield number, wire_type, message[at : at + size]
        at += size


def write_request(body: bytes) -> list[Series]:
    """Read a remote-write 1.0 request; spec: https://prometheus.io/docs/specs/prw/remote_write_spec/."""
    return [_series(part) for part in _messages(body, 1)]


def _series(message: bytes) -> Series:
    labels: list[tuple[str, str]] = []
    samples: list[tuple[float, int]] = []
    for number, wire_type, part in fields(message):
        assert isinstance(part, bytes)
        assert wire_type == LENGTH_DELIMITED
        if number == 1:
            labels.append(_label(part))
        else:
            assert number == 2
            samples.append(_sample(part))
    return Series(labels, samples)


def _messages(message: bytes, only: int) -> Iterator[bytes]:
    for number, wire_type, part in fields(message):
        assert (number, wire_type) == (only, LENGTH_DELIMITED)
        assert isinstance(part, bytes)
        yield part


def _label(message: bytes) -> tuple[str, str]:
    texts = {1: "", 2: ""}
    for number, wire_type, part in fields(message):
        assert number in texts
        assert wire_type == LENGTH_DELIMITED
        assert isinstance(part, bytes)
        texts[number] = part.decode()
    return texts[1], texts[2]


def _sample(message: bytes) -> tuple[float, int]:
    value, timestamp = 0.0, 0  # what is not on the wire is zero
    for number, wire_type, part in fields(message):
        if isinstance(part, bytes):
            assert (number, wire_type) == (1, 1)
            [value] = struct.unpack("<d", part)
        else:
            assert (number, wire_type) == (2, 0)
            timestamp = part - 2**64 if part >= SIGN_BIT else part
    return value, timestamp


def unsnap(block: bytes) -> bytes:
    """Read snappy's block format.

    Spec: https://github.com/google/snappy/blob/main/format_description.txt
    """
    size, at = varint(block, 0)
    text = bytearray()
    while at < len(block):
        tag = block[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                wide = length - 59
                length = int.from_bytes(block[at : at + wide], "little")
                at += wide
            length += 1
            assert at + length <= len(block)
            text += block[at : at + length]
            at += length
            continue
        if tag & 3 == 1:
            length, offset = (tag >> 2 & 7) + 4, (tag >> 5 << 8) | block[at]
            at += 1
        else:
            wide = {2: 2, 3: 4}[tag & 3]
            length, offset = (tag >> 2) + 1, int.from_bytes(block[at : at + wide], "little")
            at += wide
        assert 0 < offset <= len(text)
        for _ in range(length):  # byte by byte: a copy may reach into what it has just written
            text.append(text[-offset])
    assert len(text) == size
    return bytes(text)
