"""Workers that cannot start, and workers that do not live long: without any process."""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import dataclass, field
from threading import Timer
from typing import Any

import pytest

from sonda.server import supervisor
from sonda.server.live_config import LiveConfig
from sonda.server.settings import Settings
from sonda.server.startup import STOP_SIGNALS
from sonda.server.supervisor import MAX_BACKOFF_S, MAX_FAILURES, STABLE_S, Supervisor


@dataclass
class World:
    """A clock, and workers whose lives a test describes: seconds, and whether they ever served."""

    lives: list[tuple[float, bool]]
    now_s: float = 0.0
    started_s: list[float] = field(default_factory=list)
    alive: list[tuple[float, Any]] = field(default_factory=list)
    stop: Any = None
    endless_waits: int = 0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, _sentinels: object, timeout: float | None) -> list[object]:
        """Go to the end of the next worker, or of the pause; stop once all lives are lived."""
        ends = sorted(self.alive, key=lambda one: one[0])
        if ends and (timeout is None or ends[0][0] <= self.now_s + timeout):
            end_s, worker = ends[0]
            self.alive.remove(ends[0])
            self.now_s = end_s
            return [worker.sentinel]
        if timeout is None:
            self.endless_waits += 1
            self.stop()
            return []
        self.now_s += timeout
        return []


class Worker:
    """A worker of that world."""

    exitcode = 1
    pid = 1

    def __init__(self, world: World, serving: tuple[Any, int]) -> None:
        self._world = world
        self._serving = serving
        self.sentinel = object()

    def start(self) -> None:
        world = self._world
        world.started_s.append(world.now_s)
        if not world.lives:
            return
        life_s, serves = world.lives.pop(0)
        flags, number = self._serving
        flags[number] = int(serves)
        world.alive.append((world.now_s + life_s, self))

    def join(self) -> None: ...

    def terminate(self) -> None:
        self._world.alive.append((self._world.now_s, self))


def run(world: World, monkeypatch: pytest.MonkeyPatch, workers: int = 1) -> int:
    """Run a supervisor in that world, and return its exit status."""

    class Context:
        @staticmethod
        def Process(target: object, args: tuple[Any, ...]) -> Worker:  # noqa: N802
            return Worker(world, args[3])

    monkeypatch.setattr(multiprocessing, "get_context", lambda _: Context)
    monkeypatch.setattr(supervisor, "wait", world.wait)
    monkeypatch.setattr(supervisor, "monotonic", world.monotonic)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    one = Supervisor(Settings(workers=workers), [], LiveConfig())
    world.stop = one.stop
    return one.run()


def test_workers_that_cannot_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each is started later than the one before, and in the end the server gives up and says why."""
    world = World([(0.0, False)] * 100)
    assert run(world, monkeypatch) == 1
    assert len(world.started_s) == MAX_FAILURES
    pauses = [b - a for a, b in zip(world.started_s, world.started_s[1:], strict=False)]
    assert pauses[0] == 0
    assert pauses[1:-1] == sorted(pauses[1:-1])
    assert max(pauses) <= MAX_BACKOFF_S
    assert sum(pauses) > 5
    last = caplog.records[-1]
    assert last.levelname == "CRITICAL"
    assert "worker 1 ended with 1 before it served: giving up" in last.getMessage()


def test_one_that_cannot_start_beside_one_that_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as one worker serves, the others are tried again and again, but not often."""
    world = World([(1000.0, True), *[(0.0, False)] * 50])
    run(world, monkeypatch, workers=2)
    assert len(world.started_s) > MAX_FAILURES + 2
    assert world.started_s[20] - world.started_s[19] == MAX_BACKOFF_S


def test_one_that_dies_late_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has served for a while is no failed start."""
    world = World([(STABLE_S, True)] * 30)
    assert run(world, monkeypatch) == 0
    assert world.started_s[:31] == [STABLE_S * n for n in range(31)]


@pytest.mark.parametrize("of", [(Worker, "start"), (multiprocessing, "Pipe")])
def test_no_process_is_left(
    of: tuple[object, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system has no process or no descriptor to give, that is the reason; then it ends."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(*of, refuse)
    world = World([])
    assert run(world, monkeypatch) == 1
    assert world.endless_waits == 0
    assert "cannot be started: Resource temporarily unavailable: giving up" in caplog.text


def test_a_signal_that_interrupts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its handler runs at once all the same: the wait ends by what the signal itself has written."""
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    one = Supervisor(Settings(), [], LiveConfig())
    monkeypatch.setattr(one, "_start_missing", lambda: None)
    # In a thread of its own the signal interrupts no system call of this one.
    sender = Timer(0.05, signal.raise_signal, [signal.SIGTERM])

    def pause() -> None:
        """Pause for ever, but for a signal: without its handler, before, it would end this process."""
        if sender.ident is None:
            sender.start()

    monkeypatch.setattr(one, "_pause_s", pause)
    try:
        assert one.run() == 0
    finally:
        for number, found in before.items():
            signal.signal(number, found)
        sender.join()
