"""Whether a runner answers at a path."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sonda.server.scenarios.execution import answers


@pytest.fixture
def path() -> Iterator[Path]:
    """Return a short path: that of a Unix socket has a hundred bytes."""
    with TemporaryDirectory() as folder:
        yield Path(folder) / "s"


def test_somebody_listens(path: Path) -> None:
    """Also where many wait to be accepted."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        assert not answers(path)  # bound is not listening
        listening.listen(0)
        assert [answers(path) for _ in range(5)] == [True] * 5


def test_nobody_listens(path: Path) -> None:
    """Neither where nothing is, nor where a dead runner has left its socket, nor at a file."""
    assert not answers(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
        dead.listen()
    assert not answers(path)
    path.unlink()
    path.write_text("")
    assert not answers(path)
