"""Repeated pairs of texts in protobuf's wire format, written without an object for each.

An event may have a hundred thousand labels, and an object of the library takes some microseconds.
Spec: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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


def labels(values: Mapping[str, str]) -> bytes:
    """Return each, of those that are not empty, as a `Label` of remote_write, sorted by name.

    That is field 1 of a series: a message of two texts. A length below 128 is one byte, and one
    character of ASCII: as text it takes half as long.
    """
    written = [
        f"\n{_LENGTH[first + second + 4]}\n{_LENGTH[first]}{name}\x12{_LENGTH[second]}{text}".encode()
        if first + second < _SHORT
        else delimited(b"\x0a", _label(name, text))
        for name, first, text, second in _sorted_with_sizes(values)
        if second
    ]
    return b"".join(written)


def _label(name: str, text: str) -> bytes:
    return delimited(b"\x0a", name.encode()) + delimited(b"\x12", text.encode())


def attributes(values: Mapping[str, str]) -> dict[str, bytes]:
    """Return each as a `KeyValue` of OTLP behind its length, sorted by name: equal events are equal."""
    return {
        name: (
            f"{_LENGTH[first + second + 6]}\n{_LENGTH[first]}{name}"
            f"\x12{_LENGTH[second + 2]}\n{_LENGTH[second]}{text}"
        ).encode()
        if first and first + second < _SHORT
        else _attribute(name, text)
        for name, first, text, second in _sorted_with_sizes(values)
    }


def _sorted_with_sizes(values: Mapping[str, str]) -> Iterator[tuple[str, int, str, int]]:
    """Yield each name and text, both with their bytes in UTF-8, in the order of the names."""
    names = sorted(values)
    texts = list(map(values.__getitem__, names))
    return zip(names, _sizes(names), texts, _sizes(texts), strict=True)


def _sizes(texts: list[str]) -> Iterable[int]:
    if "".join(texts).isascii():
        return map(len, texts)
    return map(len, map(str.encode, texts))


_LENGTH: Final = [chr(length) for length in range(_LOW_BITS + 1)]


def _attribute(name: str, value: str) -> bytes:
    """Return a `KeyValue` of OTLP, with a text for its value, behind its length.

    An empty name is a default, which is not written; an empty value is, as it is one of several kinds.
    """
    first, second = name.encode(), value.encode()
    key = delimited(b"\x0a", first) if first else b""
    return delimited(b"", key + delimited(b"\x12", delimited(b"\x0a", second)))
