"""One process that serves: its sockets, its signals, and uvicorn around the app of `sonda.server.app`."""

from __future__ import annotations

import contextlib
import errno
import gc
import ipaddress
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

import uvicorn

from sonda.config import ConfigError
from sonda.observe.access_log import WRITER
from sonda.observe.log_setup import configure_logging, flush_log, hide_in_tracebacks
from sonda.observe.metrics import Metrics
from sonda.pipeline.values.addresses import Address
from sonda.server.app import ServerApp, assemble
from sonda.server.config import load_config
from sonda.server.live_config import LiveConfig
from sonda.server.protocol import configured
from sonda.server.scenarios.runner_home import RunnerHome, open_runner_home
from sonda.server.settings import Settings
from sonda.server.startup import STOP_SIGNALS, check_threads, stop_signals
from sonda.server.state import StateDir, StateDirError

CLOSING_S: Final = 2.0  # what the end of the grace period leaves for closing connections
BACKLOG: Final = 2048
_MISTAKE: Final = 2  # as of a flag that cannot be read
YOUNG_OBJECTS: Final = 10_000  # that a collection looks at: two milliseconds
_YOUNG_COLLECTIONS: Final = 50  # before one looks at more: a batch of 10,000 events makes fifteen
_LOG: Final = logging.getLogger("sonda")


def serve_until_stopped(settings: Settings) -> int:
    """Serve until SIGTERM, SIGINT or SIGHUP; return the exit status."""
    configure_logging(settings.log_level, settings.log_format)
    try:
        config = LiveConfig(load_config(settings))
        hide_in_tracebacks(config.secrets)
    except ConfigError as exc:
        for fault in exc.faults:
            _LOG.critical("%s", fault)
        return _MISTAKE
    try:
        check_threads()
    except OSError as exc:
        _LOG.critical(
            "cannot start a thread: %s (raise the limit of processes: ulimit -u, pids.max)",
            exc.strerror,
        )
        return 1
    try:
        listeners = listen(settings.bind, settings.port)
    except (OSError, UnicodeError) as exc:
        place = (settings.bind, settings.port)
        _LOG.critical("cannot listen on %s port %d: %s", *place, _reason(exc))
        return 1
    try:
        state_dir = StateDir(settings.state_dir) if settings.state_dir is not None else None
    except StateDirError as exc:
        _LOG.critical("%s", exc)
        return _MISTAKE
    runner_home = open_runner_home()
    listening = partial(announce, settings, listeners, has_key=bool(config.keys()))
    try:
        if settings.workers == 1:
            hang_up = partial(_reload, config, settings)
            return serve(settings, listeners, Metrics(), config, listening, runner_home, hang_up)
        from sonda.server.supervisor import Supervisor

        return Supervisor(settings, listeners, config, runner_home).run(listening)
    finally:
        if runner_home is not None:
            runner_home.close(settings.state_dir, settings.shutdown_timeout_s)
        if state_dir is not None:
            state_dir.close()


def _reload(config: LiveConfig, settings: Settings, *_: object) -> None:
    config.reload_in_thread(settings)


def _reason(exc: Exception) -> str:
    """Return why an address cannot be listened on, and the flag that helps."""
    number = getattr(exc, "errno", None)
    if number == errno.EADDRINUSE:
        return f"{os.strerror(number)} (--port takes another one, and 0 any that is free)"
    if number == errno.EACCES:
        return f"{os.strerror(number)} (--port takes another one, above 1023)"
    if number == errno.EADDRNOTAVAIL:
        return f"{os.strerror(number)} (--bind takes an address of this machine)"
    if isinstance(exc, socket.gaierror):
        return f"{exc.strerror} (--bind takes an address of this machine)"
    return str(exc)


def serve(
    settings: Settings,
    listeners: list[socket.socket],
    metrics: Metrics,
    config: LiveConfig,
    started: Callable[[], object] = lambda: None,
    runner_home: RunnerHome | None = None,
    hang_up: Callable[..., object] | signal.Handlers = signal.SIG_IGN,
) -> int:
    """Serve in this process until a signal stops it; call *started* once it accepts requests.

    With a configuration file *hang_up* is what SIGHUP does.
    """
    addresses = [Address(*listener.getsockname()[:2]) for listener in listeners]
    app = assemble(
        settings, listening=addresses, metrics=metrics, config=config, runner_home=runner_home
    )
    uvicorn_config = uvicorn.Config(
        app,
        interface="asgi3",
        loop="uvloop",
        http=configured(metrics, settings.request_timeout_s),
        ws="none",
        lifespan="on",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(settings.keep_alive_s),
        timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
    )
    server = Server(uvicorn_config, app, started)
    stop: Callable[..., object] = server.handle_exit
    if settings.workers == 1 and runner_home is not None:
        stop = partial(_stop_with_runner, server, runner_home)
    reloads = settings.config is not None
    for number in stop_signals(reloads=reloads):
        signal.signal(number, stop)
    if reloads:
        signal.signal(signal.SIGHUP, hang_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # a worker starts with them blocked
    WRITER.dropped = metrics.log_lines_dropped
    server.run(sockets=listeners)
    flush_log()
    return 0


def _stop_with_runner(
    server: Server, home: RunnerHome, number: int, frame: FrameType | None
) -> None:
    """Stop gracefully; the runs of scenarios drain meanwhile."""
    home.end()
    server.handle_exit(number, frame)


class Server(uvicorn.Server):
    """uvicorn's server, for which being told to stop is no failure, and which always ends."""

    def __init__(
        self, config: uvicorn.Config, app: ServerApp, started: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._app = app
        self._started = started

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Leave the handlers as they are; uvicorn raises the signal once more, and dies of it."""
        return contextlib.nullcontext()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop gracefully; at once when Ctrl-C comes again; by force if something hangs."""
        self._app.readiness.is_ready = False
        again = self.should_exit
        super().handle_exit(sig, frame)
        if again and sig == signal.SIGINT:
            flush_log()
            os._exit(128 + sig)
        if not again:
            grace_s = self.config.timeout_graceful_shutdown or 0
            last_resort = threading.Timer(grace_s + CLOSING_S, os._exit, (0,))
            last_resort.daemon = True
            with contextlib.suppress(RuntimeError):  # no thread to spare: nothing is forced then
                last_resort.start()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests; then exempt everything that is loaded from garbage collection.

        The collector would traverse it again and again, at a sixth of the cost of an event.
        """
        await super().startup(sockets=sockets)
        if self.started:
            self._started()
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, _YOUNG_COLLECTIONS, gc.get_threshold()[2])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Log why nothing more is accepted."""
        _LOG.info("stopping, once the requests in flight are answered")
        await super().shutdown(sockets)


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


def announce(settings: Settings, listeners: list[socket.socket], *, has_key: bool) -> None:
    """Log where the server listens, and whether that is too open."""
    names = [listener.getsockname() for listener in listeners]
    for host, port, *_ in names:
        url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        _LOG.info("listening on %s (POST /events; try it at /docs); stop with Ctrl-C", url)
    if not has_key and not all(ipaddress.ip_address(n[0]).is_loopback for n in names):
        _LOG.warning("no --api-key: whoever reaches %s can send events from here", settings.bind)
