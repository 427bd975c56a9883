"""Which writes are sure not to wait."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from sonda.pipeline.net.writes import writes_at_once


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Open a pipe: the end to read from, and the one to write to."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_pipe_takes_an_event_while_it_has_much_room(pipe: tuple[int, int]) -> None:
    """Not a full one, nor one that is half full: what a program has printed may come first."""
    reader, writer = pipe
    assert writes_at_once(writer, select.PIPE_BUF)
    os.write(writer, b"x" * 32768)
    assert not writes_at_once(writer, 1)
    os.read(reader, 32768)
    assert writes_at_once(writer, 1)


def test_a_long_event_may_wait_for_the_reader(pipe: tuple[int, int]) -> None:
    """Only up to `PIPE_BUF` bytes go into a pipe in one piece."""
    assert not writes_at_once(pipe[1], select.PIPE_BUF + 1)


def test_a_file_takes_an_event_but_no_large_one(tmp_path: Path) -> None:
    """The system's cache takes it."""
    with (tmp_path / "x").open("wb") as file:
        assert writes_at_once(file.fileno(), 1000)
        assert not writes_at_once(file.fileno(), 1 << 20)


def test_of_what_is_neither_nothing_is_known() -> None:
    """A terminal or a device may wait for its user."""
    with Path(os.devnull).open("wb") as device:
        assert not writes_at_once(device.fileno(), 1)
