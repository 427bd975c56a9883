"""The process that runs a server's scenarios: `python -m sonda.server.scenarios.runner`.

Its settings come through standard input; it serves a Unix socket, and ends when every process of the
server has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from sonda.observe.access_log import log_warning
from sonda.observe.log_setup import configure_logging, hide_in_tracebacks
from sonda.pipeline.deliver import Pipeline
from sonda.pipeline.net import AccessPolicy, Network
from sonda.pipeline.net.resolve import listening_on
from sonda.pipeline.policy.destinations import Policy
from sonda.pipeline.values.addresses import Address
from sonda.server.config import Source, build
from sonda.server.live_config import LiveConfig
from sonda.server.scenarios.ownership import own
from sonda.server.scenarios.records import Records
from sonda.server.scenarios.registry import Registry
from sonda.server.scenarios.resources import make_app
from sonda.server.scenarios.room import Room
from sonda.server.settings import Settings

READY: Final = b"ready\n"
_PATIENCE_S: Final = 15.0  # for the runner of a server that was killed
_KEEP_ALIVE_S: Final = 75  # longer than a worker keeps a connection that it does not use
_LOG: Final = logging.getLogger("sonda")


@dataclass(frozen=True, slots=True)
class RunnerSettings:
    """What the runner needs: the server's settings and configuration, and where they both listen.

    *alive_fd* is the read end of a pipe whose other end every process of the server holds;
    `READY` is written to *ready_fd*, for standard output carries the events of the `stdout` sink.
    """

    settings: Settings
    source: Source
    listening: tuple[Address, ...]
    socket: Path
    database: Path
    alive_fd: int
    ready_fd: int


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to us."""

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Leave the handlers as they are."""
        return contextlib.nullcontext()


async def _serve(given: RunnerSettings) -> None:
    settings, config = given.settings, LiveConfig(build(given.source))
    hide_in_tracebacks(config.secrets)
    policy = Policy(settings.allow_destination, listening_on(given.listening))
    own = (given.database.parent, given.socket.parent)
    access_policy = AccessPolicy(
        settings.file_root, settings.tls_root, policy, lambda: (*config.files(), *own)
    )
    async with Pipeline(access_policy=access_policy, in_server=True, warn=log_warning) as pipeline:
        registry = Registry(
            pipeline,
            Network(access_policy),
            Records(given.database),
            room=Room(settings.max_scenarios, settings.max_rate),
            keep=settings.keep_scenarios,
        )
        await registry.open()
        uvicorn_config = uvicorn.Config(
            make_app(registry, config),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            timeout_keep_alive=_KEEP_ALIVE_S,
        )
        server = _Server(uvicorn_config)
        given.socket.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(given.socket))
        listener.listen()
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(given.alive_fd, ended.set)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, ended.set)
        os.write(given.ready_fd, READY)
        os.close(given.ready_fd)
        await ended.wait()
        await registry.close(settings.shutdown_timeout_s)
        server.should_exit = True
        await serving


def main() -> None:
    """Read the settings, and serve until the server has gone."""
    given: RunnerSettings = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the process that began this one
    configure_logging(given.settings.log_level, given.settings.log_format)
    if own(given.database.parent, _PATIENCE_S) is None:
        _LOG.critical("another runner of scenarios does not end: %s is its", given.database)
        sys.exit(1)
    asyncio.run(_serve(given))


if __name__ == "__main__":
    main()
