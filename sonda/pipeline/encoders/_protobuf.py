"""Repeated pairs of texts in protobuf's wire format, written without an object for each.

An event may have a hundred thousand labels, and an object of the library takes some microseconds.
Spec: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

_LOW_BITS: Final = 0x7F
_SHORT: Final = 120  # with all that stands around it a length below 128, which is one byte


def varint(number: int) -> bytes:
    """Return a number that is not negative: seven bits a byte, the low ones first."""
    written = bytearray()
    while number > _LOW_BITS:
        written.append(number & _LOW_BITS | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def delimited(field: bytes, value: bytes) -> bytes:
    """Return a field of a text or of a message: its tag, its length and its value."""
    return b"%b%b%b" % (field, varint(len(value)), value)


def label(name: str, value: str) -> bytes:
    """Return a message of two texts, neither of them empty, behind its length."""
    first, second = name.encode(), value.encode()
    if len(first) + len(second) < _SHORT:
        sizes = len(first), len(second)
        return b"%c\x0a%c%b\x12%c%b" % (sum(sizes) + 4, sizes[0], first, sizes[1], second)
    return delimited(b"", delimited(b"\x0a", first) + delimited(b"\x12", second))


def attribute(name: str, value: str) -> bytes:
    """Return a `KeyValue` of OTLP, with a text for its value, behind its length.

    An empty name is a default, which is not written; an empty value is, as it is one of several kinds.
    """
    first, second = name.encode(), value.encode()
    size = len(second)
    if first and len(first) + size < _SHORT:
        return b"%c\x0a%c%b\x12%c\x0a%c%b" % (
            len(first) + size + 6,
            len(first),
            first,
            size + 2,
            size,
            second,
        )
    key = delimited(b"\x0a", first) if first else b""
    return delimited(b"", key + delimited(b"\x12", delimited(b"\x0a", second)))
