"""`sonda-server`: sockets, processes and signals around the app of `sonda.http`."""

from __future__ import annotations

import contextlib
import errno
import gc
import ipaddress
import logging
import math
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType
from typing import Final

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from sonda.http import App, create_app
from sonda.observe.access_log import configure_logging
from sonda.observe.metrics import Metrics, replace_worker, slabs
from sonda.pipeline.values.addresses import Address
from sonda.server.protocol import counting
from sonda.server.settings import Settings, read_settings

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
CLOSING_S: Final = 2.0  # what the end of the grace period leaves for closing connections
BACKLOG: Final = 2048
YOUNG_OBJECTS: Final = 50_000  # a request in flight has some dozens
_LOG: Final = logging.getLogger("sonda")


def serve_until_stopped(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    settings = read_settings(argv, os.environ)
    configure_logging(settings.log_level, settings.log_format)
    try:
        listeners = listen(settings.bind, settings.port)
    except (OSError, UnicodeError) as exc:
        _LOG.critical("cannot listen on %s port %d: %s", settings.bind, settings.port, exc)
        return 1
    announce(settings, listeners)
    if settings.workers == 1:
        return serve(settings, listeners)
    return Supervisor(settings, listeners).run()


def serve(
    settings: Settings, listeners: list[socket.socket], metrics: Metrics | None = None
) -> int:
    """Serve in this process until it is told to stop."""
    metrics = metrics or Metrics()
    addresses = [Address(*listener.getsockname()[:2]) for listener in listeners]
    app = create_app(settings, listening=addresses, metrics=metrics)
    config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=counting(metrics),
        ws="none",
        lifespan="on",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(settings.request_timeout_s),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
    )
    server = Server(config, app)
    for number in STOP_SIGNALS:
        signal.signal(number, server.handle_exit)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # a worker starts with them blocked
    server.run(sockets=listeners)
    return 0


class Server(uvicorn.Server):
    """uvicorn's server, for which being told to stop is no failure, and which always ends."""

    def __init__(self, config: uvicorn.Config, app: App) -> None:
        super().__init__(config)
        self._app = app

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Leave the handlers as they are; uvicorn raises the signal once more, and dies of it."""
        return contextlib.nullcontext()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully; at once when Ctrl-C comes again; by force if something hangs."""
        self._app.is_ready = False
        again = self.should_exit
        super().handle_exit(sig, frame)
        if again and sig == signal.SIGINT:
            os._exit(128 + sig)
        if not again:
            grace_s = self.config.timeout_graceful_shutdown or 0
            last_resort = threading.Timer(grace_s + CLOSING_S, os._exit, (0,))
            last_resort.daemon = True
            last_resort.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open for business; then spare the collector of cyclic garbage what will stay for good.

        It would look at all that is loaded again and again, at a sixth of the cost of an event.
        """
        await super().startup(sockets=sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say why nothing more is accepted."""
        _LOG.info("stopping, once the requests in flight are answered")
        await super().shutdown(sockets)


class Supervisor:
    """Keeps several workers running until SIGTERM or SIGINT, or until one cannot start."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._workers: dict[ForkProcess, int] = {}  # and which of the sheets each one has
        self._sheets = slabs(settings.workers)
        self._stopping = False
        self._status = 0

    def run(self) -> int:
        """Start workers, and new ones for those that end; gives the exit status."""
        for number in STOP_SIGNALS:
            signal.signal(number, self.stop)
        while self._workers or not self._stopping:
            while len(self._workers) < self._settings.workers and not self._stopping:
                self._start()
            ended = wait([worker.sentinel for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.sentinel in ended]:
                self._bury(worker)
        return self._status

    def stop(self, *_: object) -> None:
        """Accept no more, and have the workers end."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for worker in list(self._workers):
            worker.terminate()

    def _start(self) -> None:
        """Fork a worker, which inherits the settings: on a command line the key could be read."""
        fork = multiprocessing.get_context("fork")
        number = min(set(range(self._settings.workers)) - set(self._workers.values()))
        metrics = Metrics(self._sheets, number)
        worker = fork.Process(target=work, args=(self._settings, self._listeners, metrics))
        allowed = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            worker.start()
            self._workers[worker] = number
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, allowed)

    def _bury(self, worker: ForkProcess) -> None:
        worker.join()
        number = self._workers.pop(worker)
        if worker.exitcode == STARTUP_FAILURE:
            self._status = STARTUP_FAILURE
            self.stop()
        elif not self._stopping:
            replace_worker(self._sheets[number])
            _LOG.error("worker %s ended with %s: starting another", worker.pid, worker.exitcode)


def work(settings: Settings, listeners: list[socket.socket], metrics: Metrics) -> None:
    """Serve as one of several workers, but not longer than the parent lives."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            wait([parent.sentinel])
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    serve(settings, listeners, metrics)


def listen(bind: str, port: int) -> list[socket.socket]:
    """Listen on every address of *bind*, on one port; raises `OSError`.

    Connections wait in the backlog until a worker is ready for them.
    """
    listeners: list[socket.socket] = []
    unavailable = OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    found = socket.getaddrinfo(bind, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, (host, _, *scope) in dict.fromkeys(found):
        free_port = listeners[0].getsockname()[1] if listeners else port
        both_families = host == "::" and socket.has_dualstack_ipv6()
        try:
            listener = socket.create_server(
                (host, free_port, *scope),
                family=family,
                backlog=BACKLOG,
                dualstack_ipv6=both_families,
            )
        except OSError as exc:
            if exc.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
            unavailable = exc  # `localhost` may have an address of a family that is turned off
        else:
            listeners.append(listener)
    if not listeners:
        raise unavailable
    return listeners


def announce(settings: Settings, listeners: list[socket.socket]) -> None:
    """Log where the server listens, and whether that is too open."""
    names = [listener.getsockname() for listener in listeners]
    for host, port, *_ in names:
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _LOG.info("listening on %s (POST /events; try it at /docs); stop with Ctrl-C", url)
    if not settings.api_key and not all(ipaddress.ip_address(n[0]).is_loopback for n in names):
        _LOG.warning("no --api-key: whoever reaches %s can send events from here", settings.bind)
