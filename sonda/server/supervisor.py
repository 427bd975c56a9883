"""Several worker processes of one server: their start, their replacement and their end."""

from __future__ import annotations

import logging
import mmap
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from time import monotonic
from typing import Final

from uvicorn.config import STARTUP_FAILURE

from sonda.observe.metrics import Metrics, replace_worker, slabs
from sonda.server.live_config import LiveConfig
from sonda.server.resume import resume_on_end
from sonda.server.scenarios.runner_home import RunnerHome
from sonda.server.serving import serve
from sonda.server.settings import Settings
from sonda.server.startup import STOP_SIGNALS, stop_signals

FIRST_BACKOFF_S: Final = 0.1
MAX_BACKOFF_S: Final = 5.0
STABLE_S: Final = 10.0  # a worker that has lived as long does not count as one of a row of failures
MAX_FAILURES: Final = 8  # in a row, with no worker that serves: about 20 s
CANNOT_START: Final = 1
_LOG: Final = logging.getLogger("sonda")


class Supervisor:
    """Keeps several workers running until a signal stops them, or until none can start.

    A worker that ends is replaced at once; after several short-lived ones in a row each
    replacement waits for an exponential back-off.
    """

    def __init__(
        self,
        settings: Settings,
        listeners: list[socket.socket],
        config: LiveConfig,
        runner_home: RunnerHome | None = None,
    ) -> None:
        self._settings = settings
        self._config = config
        self._reloads = settings.config is not None
        self._hung_up = False
        self._channels: dict[ForkProcess, Connection] = {}
        self._runner_home = runner_home
        self._listeners = listeners
        self._workers: dict[ForkProcess, int] = {}  # and which of the slabs each one has
        self._slabs = slabs(settings.workers)
        self._serving = mmap.mmap(-1, settings.workers)  # a byte each: whether it has started
        self._started_s = [0.0] * settings.workers
        self._failures = 0  # in a row
        self._next_start_s = 0.0
        self._stopping = False
        self._status = 0
        self._wakeup, self._woken = socket.socketpair()

    def run(self, started: Callable[[], object] = lambda: None) -> int:
        """Start workers, and new ones for those that end; return the exit status.

        Call *started* once a signal stops the workers, too: connections wait until one accepts.
        """
        for number in stop_signals(reloads=self._reloads):
            signal.signal(number, self.stop)
        if self._reloads:
            signal.signal(signal.SIGHUP, self.hang_up)
        # A signal just before the wait does not interrupt it: what C writes there then wakes it.
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        started()
        while self._workers or not self._stopping:
            self._start_missing()
            if self._stopping and not self._workers:  # none could be started, and no signal comes
                break
            sentinels = [worker.sentinel for worker in self._workers]
            ended = wait([*sentinels, self._woken], self._pause_s())
            if self._woken in ended:
                self._woken.recv(64)
                self._reload()
            for worker in [worker for worker in self._workers if worker.sentinel in ended]:
                self._bury(worker)
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # nothing is left to stop
        signal.set_wakeup_fd(-1)
        self._wakeup.close()
        self._woken.close()
        return self._status

    def hang_up(self, *_: object) -> None:
        """Request that the configuration is read again."""
        self._hung_up = True

    def _reload(self) -> None:
        """Read the configuration again, once, and hand it to every worker, or to none."""
        if not self._hung_up or self._stopping:
            return
        self._hung_up = False
        source = self._config.reload(self._settings)
        if source is None:
            return
        for channel in self._channels.values():
            with suppress(OSError):  # the worker has ended: its successor inherits what is new
                channel.send(source)

    def stop(self, *_: object) -> None:
        """Accept no more requests, and let the workers drain and end."""
        self._stopping = True
        if self._runner_home is not None:
            self._runner_home.end()
        for listener in self._listeners:
            listener.close()
        for worker in list(self._workers):
            worker.terminate()

    def _start_missing(self) -> None:
        while (
            len(self._workers) < self._settings.workers
            and not self._stopping
            and monotonic() >= self._next_start_s
        ):
            self._start()

    def _pause_s(self) -> float | None:
        """Return how long to wait for an ending worker before another one is to be started."""
        if self._stopping or len(self._workers) == self._settings.workers:
            return None
        return max(0.0, self._next_start_s - monotonic())

    def _start(self) -> None:
        """Fork a worker, which inherits the settings: on a command line the key could be read."""
        fork = multiprocessing.get_context("fork")
        number = min(set(range(self._settings.workers)) - set(self._workers.values()))
        self._serving[number] = 0
        self._started_s[number] = monotonic()
        started = (self._serving, number)
        metrics = Metrics(self._slabs, number)
        allowed = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            reader, channel = multiprocessing.Pipe(duplex=False)
            inherited = (self._settings, self._listeners, metrics, started, self._config, reader)
            worker = fork.Process(target=work, args=(*inherited, self._runner_home))
            with reader:
                if not self._stopping:  # `stop` may just have ended all workers that there were
                    worker.start()
                    self._workers[worker] = number
                    self._channels[worker] = channel
        except OSError as exc:  # no process, descriptor or memory is left
            self._failed(f"a worker cannot be started: {exc.strerror}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, allowed)

    def _bury(self, worker: ForkProcess) -> None:
        worker.join()
        number = self._workers.pop(worker)
        self._channels.pop(worker).close()
        if self._stopping:
            return
        if worker.exitcode == STARTUP_FAILURE:
            self._status = STARTUP_FAILURE
            self.stop()
            return
        replace_worker(self._slabs[number])
        ended = f"worker {worker.pid} ended with {worker.exitcode}"
        if not self._serving[number]:
            self._failed(f"{ended} before it served")
        elif monotonic() - self._started_s[number] < STABLE_S:
            self._failed(ended)
        else:
            self._failures = 0
            _LOG.error("%s: starting another", ended)

    def _failed(self, what: str) -> None:
        """Start the next worker later; give up where no worker serves after many failures."""
        self._failures += 1
        if self._failures >= MAX_FAILURES and not self._any_serves():
            _LOG.critical("%s: giving up, after %d of them in a row", what, self._failures)
            self._status = CANNOT_START
            self.stop()
            return
        backoff_s = FIRST_BACKOFF_S * 2 ** min(self._failures - 2, 10) if self._failures > 1 else 0
        backoff_s = min(backoff_s, MAX_BACKOFF_S)
        self._next_start_s = monotonic() + backoff_s
        after = f" in {backoff_s:g}s" if backoff_s else ""
        _LOG.error("%s: starting another%s", what, after)

    def _any_serves(self) -> bool:
        return any(self._serving[number] for number in self._workers.values())


def work(
    settings: Settings,
    listeners: list[socket.socket],
    metrics: Metrics,
    started: tuple[mmap.mmap, int],
    config: LiveConfig,
    channel: Connection,
    runner_home: RunnerHome | None,
) -> None:
    """Serve as one of several workers, but not longer than the parent lives."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            resume_on_end(parent.sentinel, os.getpid())
            wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)

    serving, number = started
    threading.Thread(target=follow, daemon=True).start()
    threading.Thread(target=_take_over, args=(config, channel), daemon=True).start()
    serve(
        settings,
        listeners,
        metrics,
        config,
        lambda: serving.__setitem__(number, 1),
        runner_home,
    )


def _take_over(config: LiveConfig, channel: Connection) -> None:
    """Put in force each configuration that the parent has read, until it ends."""
    with suppress(EOFError, OSError):
        while True:
            config.apply(channel.recv())
