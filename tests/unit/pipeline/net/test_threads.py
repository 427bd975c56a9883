"""Where the system has no thread to spare, that is a problem value and no bug."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from returns.result import Failure, Result

from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net.threads import in_thread
from sonda.pipeline.problems import Problem, Unreachable
from sonda.pipeline.wire_preview import Preview
from tests.support.bodies import LOG, raw
from tests.support.destinations import deliver, log_event
from tests.support.extras import needs

NO_THREAD = "Resource temporarily unavailable"


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of processes is reached."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.usefixtures("no_threads")
def test_a_call_without_a_thread() -> None:
    """It fails as other things do that the system refuses."""
    with pytest.raises(OSError, match=NO_THREAD) as caught:
        asyncio.run(in_thread(lambda: 1))
    assert caught.value.errno == errno.EAGAIN


@pytest.mark.parametrize(
    ("sink", "step"),
    [
        ({"type": "file", "path": "ending.log"}, 'write to "ending.log"'),
        ({"type": "tcp", "address": "name.invalid:514"}, "TCP connect to name.invalid:514"),
        ({"type": "loki", "url": "https://a"}, "read the system's certificate authorities"),
    ],
)
def test_an_interpreter_that_is_ending(
    monkeypatch: pytest.MonkeyPatch, sink: dict[str, Any], step: str
) -> None:
    """Python 3.12 starts no thread in `atexit`: the limit of processes has nothing to do with it."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", start)
    (result,) = deliver(log_event(sink))
    ending = "the interpreter is ending, and starts no thread any more"
    assert result == Failure(Unreachable(step, ending))


@pytest.mark.usefixtures("no_threads")
def test_a_file_without_a_thread(tmp_path: Path) -> None:
    """The event was never written, and the answer says why."""
    path = str(tmp_path / "x.log")
    (result,) = deliver(log_event({"type": "file", "path": path}))
    assert result == Failure(Unreachable(f'write to "{path}"', NO_THREAD))


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize("sink", ["tcp", "udp"])
def test_a_name_without_a_thread(sink: str) -> None:
    """A name that cannot be looked up is a destination that cannot be reached."""
    (result,) = deliver(log_event({"type": sink, "address": "name.invalid:514"}))
    step = "TCP connect to" if sink == "tcp" else "UDP send to"
    assert result == Failure(Unreachable(f"{step} name.invalid:514", NO_THREAD))


@pytest.mark.usefixtures("no_threads")
def test_a_preview_without_a_thread() -> None:
    """What cannot be looked at is no bug."""

    async def main() -> Result[Preview, Problem]:
        async with Pipeline() as pipeline:
            return await pipeline.preview(raw(LOG))

    step = f"look at the paths of sink {LOG['sink']['type']}"
    assert asyncio.run(main()) == Failure(Unreachable(step, NO_THREAD))


@pytest.mark.usefixtures("no_threads")
@pytest.mark.parametrize(
    "sink",
    [
        {"type": "tcp", "address": "127.0.0.1:1", "tls": {}},
        {"type": "loki", "url": "https://127.0.0.1:1"},
        {"type": "http_push", "url": "http://name.invalid"},
        pytest.param(
            {"type": "kafka", "brokers": "name.invalid:1", "topic": "t", "timeout": "1s"},
            marks=needs("sink", "kafka"),
        ),
        pytest.param(
            {"type": "kafka", "brokers": "127.0.0.1:1", "topic": "t", "tls": {}, "timeout": "1s"},
            marks=needs("sink", "kafka"),
        ),
    ],
    ids=lambda sink: "-".join(map(str, sink.values())),
)
def test_no_sink_needs_a_thread_to_answer(sink: dict[str, Any]) -> None:
    """Nothing was sent, and it is a problem value."""
    (result,) = deliver(log_event(sink))
    assert isinstance(result.failure(), Unreachable)


def test_a_stalled_connection_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that nobody acknowledges for over a second, and that the kernel sends again."""
    from sonda.pipeline.net import sockets

    now_s = 100.0
    monkeypatch.setattr(sockets, "monotonic", lambda: now_s)

    class Kernel(socket.socket):
        info = sockets._TCP_INFO.pack(3, 2, 2000)

        def getsockopt(self, *_: int) -> bytes:  # type: ignore[override]
            return self.info

    async def main() -> list[bool]:
        nonlocal now_s
        with Kernel() as raw:
            sock = sockets.Socket(raw)
            sock._unacked_since_s = now_s
            seen = []
            seen.append(sock.is_stalled())  # it has just been sent
            now_s += 1.5
            seen.append(sock.is_stalled())
            raw.info = sockets._TCP_INFO.pack(0, 2, 2000)  # a slow way: nothing is sent again
            seen.append(sock.is_stalled())
            raw.info = sockets._TCP_INFO.pack(
                1, 2, 200
            )  # a packet was lost, and others come through
            seen.append(sock.is_stalled())
            raw.info = sockets._TCP_INFO.pack(3, 0, 2000)  # all came through after all
            seen.append(sock.is_stalled())
            return seen

    assert asyncio.run(main()) == [False, True, False, False, False]
