"""Lines of a body: which ones are events, their numbers, and what they cost."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sonda.http_answers import Answer
from sonda.pipeline.problems import NotJson
from sonda.rejections import TooManyEvents
from sonda.resources import ndjson
from sonda.resources.ndjson import (
    LineAnswer,
    LineLimits,
    NdjsonLine,
    join_answers,
    kept_lines,
    split_lines,
)
from tests.support.loop_turns import counted_turns

T = TypeVar("T")

LIMITS = LineLimits(events=5, bytes=100)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_numbers_are_of_the_physical_lines() -> None:
    """A carriage return ends no line, and blanks before an event are part of its line."""
    raw = b"\n{}\r\n \t\r\n  {1}\n\n\n{2}"
    expected = [(2, b"{}\r", 0), (4, b"  {1}", 1), (7, b"{2}", 2)]
    assert run(split_lines(raw, LIMITS)) == [NdjsonLine(*line) for line in expected]


@given(raw=st.binary(max_size=30).map(lambda raw: bytes(b"x \n\r\t"[byte % 5] for byte in raw)))
def test_lines_are_those_that_are_not_blank(raw: bytes) -> None:
    """Wherever the pieces of a run of blanks end."""
    lines = [(n, line) for n, line in enumerate(raw.split(b"\n"), 1) if line.strip(b" \r\t")]
    for piece in (1, 2, 3, 65_536):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ndjson, "_PIECE", piece)
            found = run(split_lines(raw, LineLimits(1000, 1000)))
        if not lines:
            assert isinstance(found, NotJson)
        else:
            assert found == [NdjsonLine(*line, place=place) for place, line in enumerate(lines)]


def test_too_many_events_are_counted_no_further() -> None:
    """Exactly as many as allowed are lines; one more is the whole body's fault."""
    assert len(run(split_lines(b"{}\n" * 5, LIMITS))) == 5  # type: ignore[arg-type]
    assert run(split_lines(b"{}\n" * 5 + b"\n\n{}", LIMITS)) == TooManyEvents(5)


def test_blank_lines_are_no_objects() -> None:
    """A body of blanks alone lets others have their turn, many times."""

    async def count() -> int:
        async with counted_turns() as others:
            assert isinstance(await split_lines(b"\n" * 2**24, LIMITS), NotJson)
        return others.count

    assert run(count()) > 2


def test_kept_answers_are_the_answers() -> None:
    """What `join_answers` has joined is read again, line by line."""
    lines = [
        LineAnswer(1, Answer(200, b'{"sent":true,"signal_type":"logs","latency_ms":1}\n'), False),
        LineAnswer(3, Answer(502, '{"error":"bad_gateway","detail":"né\\n"}\n'.encode()), True),
    ]
    joined = run(join_answers([*lines]))
    assert joined.status == 207
    assert run(kept_lines(joined, (False, True))) == [
        line._replace(is_replayed=True) for line in lines
    ]
