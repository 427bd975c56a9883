"""What the README says of curl and logger, tried with the ones that are installed.

`promtool push metrics` is tried by hand: the Prometheus of the backends is older than it.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

import pytest

from tests.support.ports import free_ports

CURL: Final = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
LOGGER: Final = pytest.mark.skipif(shutil.which("logger") is None, reason="there is no logger here")
REFUSAL: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
LINGER_0: Final = struct.pack("ii", 1, 0)

Way = Literal["refuses", "says nothing", "resets"]


@contextmanager
def server(way: Way) -> Iterator[int]:
    """Serve one connection in this *way*; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = threading.Event()

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                if way == "refuses":
                    connection.sendall(REFUSAL)
                elif way == "says nothing":
                    ended.wait()
                else:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_0)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        ended.set()
        thread.join()


def status(*words: str) -> int:
    return subprocess.run(words, capture_output=True, timeout=60, check=False).returncode  # ours


@CURL
@pytest.mark.parametrize(
    ("way", "words", "expected"),
    [
        ("refuses", [], 0),
        ("refuses", ["--fail"], 22),
        ("says nothing", ["--fail", "--max-time", "1"], 28),
        ("resets", ["--fail"], 56),
    ],
)
def test_curl(way: Way, words: list[str], expected: int) -> None:
    """A refusal fails only with `--fail`."""
    with server(way) as port:
        url = f"http://127.0.0.1:{port}/"
        assert status("curl", "--noproxy", "*", *words, "--data", "x", url) == expected


@LOGGER
def test_logger_over_udp() -> None:
    """Nobody listens, and it succeeds."""
    (port,) = free_ports(1, socket.SOCK_DGRAM)
    assert status("logger", "--server", "127.0.0.1", "--port", str(port), "--udp", "x") == 0


@LOGGER
@pytest.mark.parametrize("way", ["says nothing", "resets"])
def test_logger_over_tcp(way: Way) -> None:
    """What becomes of the line after it was written is not asked."""
    with server(way) as port:
        assert status("logger", "--server", "127.0.0.1", "--port", str(port), "--tcp", "x") == 0


@LOGGER
def test_logger_that_cannot_connect() -> None:
    """That much it tells."""
    (port,) = free_ports(1)
    assert status("logger", "--server", "127.0.0.1", "--port", str(port), "--tcp", "x") == 1
