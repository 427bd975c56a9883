"""Sockets that a library does not show: found by where they are connected to."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from sonda.pipeline.net import descriptors
from sonda.pipeline.net.descriptors import Descriptor, connected_since, next_number


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both sides of one connection over IPv4."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
        listener.accept()[0] as theirs,
    ):
        yield ours, theirs


def test_finds_what_is_connected_there(pair: tuple[socket.socket, socket.socket]) -> None:
    """The one socket that has this peer is found, and stays open and its owner's."""
    ours, theirs = pair
    [found] = connected_since(ours.fileno(), [ours.getpeername()], ())
    assert found == Descriptor(ours.fileno(), ours.getsockname(), ours.getpeername())
    assert not found.peer_closed()
    ours.sendall(b"x")
    assert theirs.recv(1) == b"x"


def test_ipv4_in_a_socket_for_both() -> None:
    """A socket for IPv6 that is connected over IPv4 is the same."""
    try:
        both = socket.socket(socket.AF_INET6)
        both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with both, socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        both.connect((f"::ffff:{host}", port))
        found = connected_since(both.fileno(), [(host, port)], ())
        assert [one.number for one in found] == [both.fileno()]


@pytest.mark.parametrize("ending", ["shut down", "closed", "ours closed"])
def test_a_connection_that_has_ended(
    pair: tuple[socket.socket, socket.socket], ending: str
) -> None:
    """Whoever has closed it, it is no longer to be used; data that waits to be read is no end."""
    ours, theirs = pair
    [found] = connected_since(ours.fileno(), [ours.getpeername()], ())
    theirs.sendall(b"x")
    assert not found.peer_closed()
    match ending:
        case "shut down":
            theirs.shutdown(socket.SHUT_WR)
        case "closed":
            theirs.close()
        case _:
            ours.close()
    assert found.peer_closed()


def test_a_number_that_was_given_anew(pair: tuple[socket.socket, socket.socket]) -> None:
    """Another file under the same number is not the connection."""
    ours, _ = pair
    [found] = connected_since(ours.fileno(), [ours.getpeername()], ())
    number = ours.fileno()
    ours.close()
    with socket.socket() as other:
        assert other.fileno() == number
        assert found.peer_closed()


def test_only_what_was_opened_since(pair: tuple[socket.socket, socket.socket]) -> None:
    """A socket that was open before, or that is somebody's already, is not the new one."""
    ours, _ = pair
    peer = ours.getpeername()
    [known] = connected_since(ours.fileno(), [peer], ())
    assert connected_since(ours.fileno(), [peer], {known}) == frozenset()
    assert connected_since(ours.fileno() + 1, [peer], ()) == frozenset()


def test_how_much_is_looked_at(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of other open files does not count: a few numbers are looked at."""
    looked_at: list[int] = []
    monkeypatch.setattr(descriptors, "_ends", looked_at.append)
    first = next_number()
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(200)]
    try:
        assert connected_since(first, [pair[0].getpeername()], ()) == frozenset()
    finally:
        for number in files:
            os.close(number)
    assert looked_at == list(range(first, first + 64))


def test_no_file_can_be_opened(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the limit of open files nothing is found, and nothing fails."""
    monkeypatch.setattr(os, "devnull", "/nowhere")
    assert next_number() == -1
    assert connected_since(-1, [pair[0].getpeername()], ()) == frozenset()
