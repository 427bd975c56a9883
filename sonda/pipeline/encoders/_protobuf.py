"""Repeated pairs of texts in protobuf's wire format, written without an object for each.

An event may have a hundred thousand labels, and an object of the library takes some microseconds.
Spec: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Mapping
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


def attributes(values: Mapping[str, str]) -> dict[str, bytes]:
    """Return each as a `KeyValue` of OTLP behind its length, sorted by name: equal events are equal.

    A length below 128 is one byte, and one character of ASCII: as text it takes half as long.
    """
    written = {}
    for name in sorted(values):
        value = values[name]
        first = len(name) if name.isascii() else len(name.encode())
        second = len(value) if value.isascii() else len(value.encode())
        if first and first + second < _SHORT:
            written[name] = (
                f"{_LENGTH[first + second + 6]}\n{_LENGTH[first]}{name}"
                f"\x12{_LENGTH[second + 2]}\n{_LENGTH[second]}{value}"
            ).encode()
        else:
            written[name] = _attribute(name, value)
    return written


_LENGTH: Final = [chr(length) for length in range(_LOW_BITS + 1)]


def _attribute(name: str, value: str) -> bytes:
    """Return a `KeyValue` of OTLP, with a text for its value, behind its length.

    An empty name is a default, which is not written; an empty value is, as it is one of several kinds.
    """
    first, second = name.encode(), value.encode()
    key = delimited(b"\x0a", first) if first else b""
    return delimited(b"", key + delimited(b"\x12", delimited(b"\x0a", second)))
