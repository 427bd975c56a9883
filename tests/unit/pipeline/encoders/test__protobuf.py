"""Protobuf's wire format, written without its objects: what the library reads, and writes itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.pipeline.encoders._protobuf import attributes, delimited, labels, varint
from tests.property.strategies import texts, unhurried
from tests.support import wire

NAMES = st.dictionaries(texts(max_size=150), texts(max_size=150), max_size=6)


@unhurried
@given(st.integers(0, 2**64 - 1))
def test_a_number_reads_back(number: int) -> None:
    """In as few bytes as seven bits a byte need."""
    written = varint(number)
    assert wire.varint(written, 0) == (number, len(written))
    assert len(written) == max(1, -(-number.bit_length() // 7))


@pytest.mark.parametrize("size", [0, 127, 128, 20_000])
def test_a_field_has_its_length(size: int) -> None:
    """Also where that takes more than a byte."""
    (field,) = wire.fields(delimited(b"\x0a", bytes(size)))
    assert field == (1, wire.LENGTH_DELIMITED, bytes(size))


def _pairs(written: bytes) -> list[tuple[bytes, bytes]]:
    """Read the messages of field 1: two texts each."""
    pairs = [dict.fromkeys((1, 2), b"") for _ in wire.fields(written)]
    for pair, (number, _, message) in zip(pairs, wire.fields(written), strict=True):
        assert number == 1
        assert isinstance(message, bytes)
        pair.update((n, text) for n, _, text in wire.fields(message) if isinstance(text, bytes))
    return [(pair[1], pair[2]) for pair in pairs]


@unhurried
@given(NAMES)
def test_labels_are_sorted_and_none_is_empty(values: dict[str, str]) -> None:
    """Each once, by its name, whatever the length of its texts and however they are encoded."""
    assert _pairs(labels(values)) == [
        (name.encode(), text.encode()) for name, text in sorted(values.items()) if text
    ]


@unhurried
@given(NAMES)
def test_attributes_keep_what_is_empty(values: dict[str, str]) -> None:
    """An empty value is of a kind, and so is written; an empty name is a default, and is not."""
    found = attributes(values)
    assert list(found) == sorted(values)
    for name, written in found.items():
        (key, value) = _pairs(b"\x0a" + written)[0]
        assert (key, list(wire.fields(value))) == (
            name.encode(),
            [(1, wire.LENGTH_DELIMITED, values[name].encode())],
        )
