"""The guard of what is fuzzed, put to the test itself."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.fuzz.guard import Forbidden, Guard, guarded


def _connect(host: str) -> Callable[[], object]:
    def connect() -> None:
        with closing(socket.socket()) as sock:
            sock.connect((host, 1))

    return connect


def _send(port: int) -> Callable[[], object]:
    def send() -> None:
        with closing(socket.socket(type=socket.SOCK_DGRAM)) as sock:
            sock.sendto(b"", ("127.0.0.1", port))

    return send


@pytest.mark.parametrize(
    "act",
    [
        _connect("127.0.0.2"),
        _connect("192.0.2.1"),
        _send(2),
        lambda: socket.getaddrinfo("sonda.invalid", 1),
        lambda: os.open("/nowhere/x", os.O_WRONLY | os.O_CREAT),
        lambda: os.open("../x", os.O_WRONLY | os.O_CREAT),
        lambda: Path("/nowhere/x").mkdir(),
        lambda: Path("/nowhere/x").rename("/nowhere/y"),
    ],
)
def test_it_catches(act: Callable[[], object], tmp_path: Path) -> None:
    """What leads away is refused before it happens, and told at the end."""
    guard = Guard(ports={1}, folder=tmp_path / "inside")
    with pytest.raises(AssertionError), guarded(guard), pytest.raises(Forbidden):
        act()


def test_it_lets_pass(tmp_path: Path) -> None:
    """The ports and the folder that it is told are free to use, and so is reading."""
    guard = Guard(ports={1}, folder=tmp_path)
    with guarded(guard):
        with pytest.raises(ConnectionRefusedError):
            _connect("127.0.0.1")()
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "b").write_text("c")
        socket.getaddrinfo("192.0.2.1", 1, flags=socket.AI_NUMERICHOST)
        assert Path(__file__).read_text().startswith('"""The guard')
    assert guard.caught == []
